"""The bootstrap by itself, on this CPython."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.sandbox import GuestRaise
from tests.wasm.hosted import HostedSession

Start = Callable[..., HostedSession]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with ExitStack() as sessions:

        def start(*texts: str, single: bool = True, **options: Any) -> HostedSession:
            session = HostedSession(monkeypatch, texts or ["text"], single=single, **options)
            sessions.callback(session.close)
            return session

        yield start


@pytest.fixture(scope="module")
def shown() -> Iterator[Callable[[object, int], str]]:
    with pytest.MonkeyPatch.context() as patch:
        yield HostedSession(patch, ["text"], single=True).shown.shown


def test_a_traceback_shows_the_cell_and_not_the_machinery(start: Start) -> None:
    session = start()
    session.run("def half(n):\n    return n / 0")
    error = session.run("x = 1\nhalf(x)")["error"]
    assert error == {
        "type": "ZeroDivisionError",
        "message": "division by zero",
        "traceback": "Traceback (most recent call last):\n"
        '  File "<cell 2>", line 2, in <module>\n'
        "    half(x)\n"
        '  File "<cell 1>", line 2, in half\n'
        "    return n / 0\n"
        "ZeroDivisionError: division by zero",
    }


@pytest.mark.parametrize("inside", ["\f", "\v", "\x1c", "\x85", "\u2028"])
def test_a_traceback_shows_the_line_though_a_text_has_other_line_ends(
    start: Start, inside: str
) -> None:
    for end in ("\n", "\r\n", "\r"):
        code = end.join([f"x = '{inside}'", "1 / 0", "x = 2"])
        trace = start().run(code)["error"]["traceback"].splitlines()
        assert trace[1:3] == ['  File "<cell 1>", line 2, in <module>', "    1 / 0"]


def test_a_syntax_error_shows_its_line_only(start: Start) -> None:
    trace = start().run("x = 1\ny = = 2")["error"]["traceback"]
    assert trace.splitlines()[:2] == ['  File "<cell 1>", line 2', "    y = = 2"]
    assert "bootstrap" not in trace


def test_annotations_are_those_of_ordinary_code(start: Start) -> None:
    session = start()
    assert session.run("def f(n: int): pass\nf.__annotations__")["value"] == "{'n': <class 'int'>}"
    assert session.run("n: nothing = 1")["error"]["type"] == "NameError"
    code = "from __future__ import annotations\ndef f(n: int): pass\nf.__annotations__"
    assert session.run(code)["value"] == "{'n': 'int'}"


def test_an_error_in_a_helper_hides_the_helper(start: Start) -> None:
    trace = start().run("cite(5, 1)")["error"]["traceback"]
    assert [line for line in trace.splitlines() if "File" in line] == [
        '  File "<cell 1>", line 1, in <module>'
    ]


def test_a_deep_traceback_is_cut_in_the_middle(start: Start) -> None:
    code = "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(500)"
    trace = start(output_chars=4000).run(code)["error"]["traceback"]
    assert trace.count("File") == 8
    assert "... 494 more calls ..." in trace


def test_what_an_exception_followed_is_told(start: Start) -> None:
    session = start()
    handled = "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')"
    assert session.run(handled)["error"]["traceback"].endswith("(while handling KeyError)")
    caused = "raise ValueError('b') from KeyError('a')"
    assert session.run(caused)["error"]["traceback"].endswith("(caused by KeyError)")


def test_a_group_of_exceptions_tells_what_is_in_it(start: Start) -> None:
    session = start(output_chars=1000)
    group = "raise ExceptionGroup('some', [KeyError('a'), ExceptionGroup('in', [OSError('b')])])"
    assert session.run(group)["error"]["traceback"].endswith(
        "\nExceptionGroup: some (2 sub-exceptions)\n  | KeyError: 'a'\n  | OSError: b"
    )
    many = "raise ExceptionGroup('many', [ValueError('x' * 10**6)] * 100)"
    trace = session.run(many)["error"]["traceback"]
    assert trace.count("ValueError") == 4  # one is in the line of code
    assert len(trace) < 1100


def test_a_long_message_is_cut(start: Start) -> None:
    error = start(output_chars=300).run("raise ValueError('x' * 10**6)")["error"]
    assert all(len(text) < 400 for text in error.values())
    assert "999,700 characters" in error["message"]


def test_an_error_does_not_keep_the_cell_s_values(start: Start) -> None:
    session = start()
    session.run("import weakref\nclass Big: pass\ndef f():\n    b = Big()\n    global ref\n"
                "    ref = weakref.ref(b)\n    1 / 0\nf()")  # fmt: skip
    assert session.run("ref()")["value"] is None


def test_several_documents(start: Start) -> None:
    session = start("alpha one", "beta two", single=False)
    assert session.run("context")["value"] == "['alpha one', 'beta two']"
    assert session.run("context_names")["value"] == "['0.txt', '1.txt']"
    assert session.run("[(p.name, p.start) for p in grep('two|one', 0)]")["value"] == (
        "[('0.txt', 6), ('1.txt', 5)]"
    )
    assert session.run("cite(0, 4, '1.txt')")["value"] == ("'\"beta\" [1.txt, characters 0-4]'")
    assert session.run("cite(0, 4)")["error"]["message"].startswith("say which of the 2 documents")


def test_documents_of_one_name_are_cited_by_their_number(start: Start) -> None:
    session = start("alpha one", "beta two", single=False, names=["a", "a"])
    error = session.run("cite(0, 4, 'a')")["error"]
    assert (error["type"], error["message"][:27]) == ("ValueError", "2 documents are called 'a':")
    cited = session.run("p = grep('beta', 0)[0]\ncite(p.start, p.end, p.number)")["value"]
    assert cited == repr('"beta" [a, characters 0-4]')
    assert session.run("cite(0, 4, 2)")["error"]["type"] == "IndexError"
    assert session.run("cite(0, 4, 'b')")["error"]["type"] == "KeyError"


def test_grep_has_no_negative_surroundings(start: Start) -> None:
    session = start("one two three " * 20)
    assert session.run("grep('two', around=-1)")["error"]["type"] == "ValueError"
    assert session.run("grep('two', around=0, limit=1)")["value"] == "['two']"


@pytest.mark.parametrize("arguments", ["10.0", "10, 1.5"])
def test_chunks_of_no_whole_number_are_refused_at_once(start: Start, arguments: str) -> None:
    error = start("text" * 20).run(f"pieces = chunks(context, {arguments})")["error"]
    assert (error["type"], "line 1" in error["traceback"]) == ("TypeError", True)


def test_what_is_provided_comes_back_after_each_cell(start: Start) -> None:
    session = start("kept", question="why?")
    names = "context context_names question FINAL FINAL_VAR SHOW_VARS grep chunks cite llm_query"
    session.run("\n".join(f"{name} = None" for name in names.split()))
    assert session.run("context, question")["value"] == "('kept', 'why?')"
    assert session.run("all([FINAL, FINAL_VAR, SHOW_VARS, grep, chunks, cite, llm_query])")[
        "value"
    ] == ("True")
    session.run("del context, FINAL\n1 / 0")
    assert session.run("context, callable(FINAL)")["value"] == "('kept', True)"


def test_lists_that_a_cell_changed_in_place_come_back_too(start: Start) -> None:
    session = start("one", "two", single=False)
    session.run("context.reverse(); context_names.clear()")
    assert session.run("context, context_names")["value"] == "(['one', 'two'], ['0.txt', '1.txt'])"
    found = "context.sort(reverse=True)\np = grep('one')[0]\np.name, cite(0, 3, '0.txt')"
    assert session.run(found)["value"] == repr(("0.txt", '"one" [0.txt, characters 0-3]'))


def test_a_context_that_was_changed_in_place_is_handed_over_as_it_is(start: Start) -> None:
    session = start(
        "one", "two", single=False, host=lambda *_: [{"text": ""}], functions=["rlm_query"]
    )
    session.run("rlm_query('q', context)\ncontext.pop(0)\nrlm_query('q', context)")
    queries = [arguments[0] for _, arguments in session.calls]
    assert queries == [["q", {"$context": None}], ["q", ["two"]]]


def test_final_hands_over_and_ends_the_cell(start: Start) -> None:
    session = start()
    ran = session.run("print(1)\ntry:\n    FINAL(3.5)\nexcept Exception:\n    print(2)\nprint(3)")
    assert ran["stdout"] == "1\n"
    assert ran["error"] is None
    assert session.calls == [("final", ["3.5"])]


@pytest.mark.parametrize(
    "code",
    [
        "FINAL(None)",
        "import re; FINAL(re.search('a', 'b'))",
        "x = None; FINAL_VAR('x')",
        "answer['content'] = None; answer['ready'] = True",
    ],
)
def test_none_is_no_answer(start: Start, code: str) -> None:
    session = start()
    error = session.run(code)["error"]
    assert (error["type"], error["message"][:18]) == ("ValueError", "the answer is None")
    assert session.run("1")["value"] == "1"
    assert session.calls == []
    session.run("FINAL('None')")
    assert session.calls == [("final", ["None"])]


def test_a_refused_final_is_an_ordinary_error(start: Start) -> None:
    def refuse(name: str, arguments: list[object]) -> object:
        raise GuestRaise("ValueError", "too long")

    session = start(host=refuse)
    assert session.run("FINAL('x')")["error"]["message"] == "too long"
    assert session.run("FINAL('y')")["error"]["message"] == "too long"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'text'", "text"),
        ("''", ""),
        ("42", "42"),
        ("['a', 1]", "['a', 1]"),
        ("__import__('re').search('t(e)(x)?', context)", "x"),
        ("__import__('re').search('t(e)(q)?', context)", ""),
        ("__import__('re').search('te', context)", "te"),
    ],
)
def test_the_text_of_a_final_value(start: Start, value: str, text: str) -> None:
    session = start()
    session.run(f"FINAL({value})")
    assert session.calls == [("final", [text])]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("'found'", "the value"),
        ("' \"found\" '", "the value"),
        ("found", "the value"),
        ("other", "other"),
        ("17", "17"),
        ("'two words'", "two words"),
    ],
)
def test_final_var_takes_a_name_or_a_value(start: Start, argument: str, text: str) -> None:
    session = start()
    session.run("found = 'the value'; other = 'oth' + 'er'")
    session.run(f"FINAL_VAR({argument})")
    assert session.calls == [("final", [text])]


def test_an_answer_that_is_ready_ends_the_run_once(start: Start) -> None:
    session = start()
    assert session.run("answer['content'] = 'draft'")["partial"] == "draft"
    assert "partial" not in session.run("x = 1")
    session.run("answer = {'content': ['new'], 'ready': True}")
    session.run("1")
    assert session.calls == [("final", ["['new']"])]


def test_a_partial_answer_is_told_though_a_call_cannot_be_made(start: Start) -> None:
    session = start()
    code = "answer['content'] = 'half'\ntry:\n    llm_query_batched([b'-'])\nexcept TypeError: pass"
    assert session.run(code)["partial"] == "half"
    assert session.calls == []
    assert "partial" not in session.run("x = 1")


def test_a_long_partial_answer_is_told_once(start: Start) -> None:
    session = start()
    long = "answer['content'] = 'x' * (1 << 20) + 'y'"
    assert session.run(long)["partial"] == "x" * (1 << 20)
    assert "partial" not in session.run("x = 1")


def test_an_answer_of_another_type_is_the_model_s_own(start: Start) -> None:
    session = start()
    assert session.run("answer = 'my text'\nanswer")["value"] == "'my text'"
    assert session.run("answer")["value"] == "'my text'"
    assert session.calls == []


def test_variables_whose_names_are_no_text_do_not_hide_the_others(start: Start) -> None:
    session = start()
    session.run("globals()[7] = 'seven'\nfound = 'value'")
    assert session.run("SHOW_VARS()")["value"] == "{'found': 'str of 5'}"
    assert "the variables are: found" in session.run("FINAL_VAR('lost')")["error"]["message"]


def test_a_long_final_comes_in_pieces(start: Start) -> None:
    session = start()
    pieces = session.module.PIECE_CHARS
    session.run(f"FINAL('ab' * {pieces})")
    assert session.calls == [("final", ["ab" * pieces])]


def test_streams_come_back_after_a_cell_replaced_them(start: Start) -> None:
    session = start()
    session.run("import sys\nsys.stdout = None\nsys.stderr.close()")
    ran = session.run("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (ran["stdout"], ran["stderr"]) == ("out\n", "err\n")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers() | st.text())
        | st.sets(st.integers())
        | st.lists(inner).map(deque)
        | st.dictionaries(st.text(), st.integers()).map(Counter)
        | st.dictionaries(st.text(), inner).map(lambda made: made.keys())
        | st.dictionaries(st.text(), inner).map(lambda made: made.items())
    ),
    max_leaves=30,
)


@given(values)
def test_a_short_value_is_shown_as_repr_shows_it(
    shown: Callable[[object, int], str], value: object
) -> None:
    text = repr(value)
    assert shown(value, len(text)) == text


class Tags(set[str]):
    pass


class Tally(Counter[str]):
    pass


class Recent(deque[int]):
    pass


SELF = deque[object]()
SELF.append(SELF)


@pytest.mark.parametrize(
    "value",
    [
        Tags({"a"}),
        Recent([1, 2]),
        Tally("aab"),
        Counter({"a": None, "b": 1}),  # type: ignore[dict-item] # as code makes them
        OrderedDict(a=1).keys(),
        SELF,
    ],
    ids=repr,
)
def test_a_kind_of_a_builtin_type_is_shown_as_repr_shows_it(
    shown: Callable[[object, int], str], value: object
) -> None:
    assert shown(value, 100) == repr(value)


def test_a_type_s_long_name_is_cut(shown: Callable[[object, int], str]) -> None:
    assert len(shown(type("S" * 10**6, (set,), {})("a"), 100)) < 300


@given(values, st.integers(1, 200))
def test_a_long_value_is_shown_within_bounds(
    shown: Callable[[object, int], str], value: object, cap: int
) -> None:
    # Marks of what was left out, and brackets, come on top.
    assert len(shown(value, cap)) <= 2 * cap + 400


def test_giant_values_are_never_written_out(shown: Callable[[object, int], str]) -> None:
    class Counted(str):
        asked = 0

        def __getitem__(self, key: Any) -> str:
            Counted.asked = max(Counted.asked, len(range(len(self))[key]))
            return super().__getitem__(key)

    text = shown([Counted("x" * 10**7)], 100)
    assert len(text) < 300
    assert "(10,000,000 characters)" in text
    assert Counted.asked <= 100
    assert shown(list(range(10**6)), 50).endswith(" more]")
    assert shown({i: i for i in range(10**6)}, 50).endswith(" more}")


@pytest.mark.parametrize(
    "code",
    [
        "async def ask(llm_query):\n    return await llm_query('p')\n"
        "import own\nawait ask(own.mine)",
        "from own import mine as llm_query\nawait llm_query('p')",
    ],
)
def test_what_a_cell_calls_by_a_provided_name_is_awaited_as_it_is(
    start: Start, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    async def mine(prompt: str) -> str:
        return f"mine: {prompt}"

    session = start(host=lambda *_: 1, functions=["llm_query", "submit", "collect", "poll"])
    own = ModuleType("own")
    own.mine = mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own", own)
    assert session.run(code)["value"] == "'mine: p'"


def test_a_call_that_was_cancelled_before_it_began_is_never_made(start: Start) -> None:
    def host(name: str, arguments: list[Any]) -> object:
        return 1 if name == "submit" else [{"text": "said"}]

    session = start(host=host, functions=["llm_query", "submit", "collect", "poll"])
    session.run(
        "import asyncio\n"
        "dear = asyncio.create_task(llm_query_async('dear'))\n"
        "await asyncio.sleep(0)\n"
        "dear.cancel()\n"
        "await llm_query_async('cheap')"
    )
    assert session.calls[0] == ("submit", ["llm", ["cheap"]])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_coroutines_can_be_gathered(start: Start, count: int) -> None:
    def host(name: str, arguments: list[Any]) -> object:
        return 1 if name == "submit" else [{"text": f"said {at}"} for _, at in arguments[0]]

    session = start(host=host, functions=["llm_query", "submit", "collect", "poll"])
    gathered = session.run(f"await gather(*[llm_query(p) for p in 'abc'[:{count}]])")
    assert gathered["value"] == repr([f"said {at}" for at in range(count)])


def test_an_awaited_batch_of_children_shares_its_budget(start: Start) -> None:
    def host(name: str, arguments: list[Any]) -> object:
        return 1 if name == "submit" else [{"text": f"said {at}"} for _, at in arguments[0]]

    names = ["rlm_query_batched", "submit", "collect", "poll"]
    session = start(host=host, functions=names)
    code = "await rlm_query_batched([('q', 'a'), ('q', 'b')], budget=0.2)"
    assert session.run(code)["value"] == "['said 0', 'said 1']"
    assert session.calls[0] == ("submit", ["rlm", [["q", "a"], ["q", "b"]], 0.2])
    assert session.run("await rlm_query_batched([], budget=0.2)")["value"] == "[]"


def test_a_call_that_cannot_be_collected_fails_where_it_is_awaited(start: Start) -> None:
    def host(name: str, arguments: list[Any]) -> object:
        if name == "submit":
            return 1
        if arguments[0] == [[1, 0]]:
            return [{"text": "said"}]
        raise GuestRaise("ValueError", "there is no such call")

    session = start(host=host, functions=["llm_query", "submit", "collect", "poll"])
    session.run("good = submit('a'); bad = type(good)(99)")
    awaited = "import asyncio\nawait asyncio.gather(bad, good, return_exceptions=True)"
    assert session.run(awaited)["value"] == "[ValueError('there is no such call'), 'said']"


def test_the_standard_streams_are_there_by_their_other_name_too(start: Start) -> None:
    session = start()
    ran = session.run("import io, sys\nsys.stdout = io.StringIO()\nprint('kept')\n"
                      "sys.stdout = sys.__stdout__\nprint('shown')")  # fmt: skip
    assert ran["stdout"] == "shown\n"
