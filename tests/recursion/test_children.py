"""`rlm_query`: children with a Python, a dialogue and a context of their own."""

from __future__ import annotations

import pytest

from rlm_local.errors import WindowError
from rlm_local.records import (
    CallRaised,
    Event,
    NodeEnded,
    NodeStarted,
    Ran,
    Replied,
    Request,
    StopReason,
    SubCalled,
)
from tests.recursion.conftest import TEXT, Asker, by_depth, cell, question_of

SEEN = "FINAL(f'{question}|{type(context).__name__}|{len(context)}|{context[:1]}')"


def test_a_child_answers_about_a_slice(ask: Asker) -> None:
    answer = ask(by_depth("FINAL(rlm_query('child?', context[5:15]))", SEEN))
    assert answer.text == "child?|str|10|0"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("context", f"str|{len(TEXT)}|l"),
        ("context[1:]", f"str|{len(TEXT) - 1}|i"),
        ("'é' * 3", "str|3|é"),
        ("'日本' * 40_000", "str|80000|日"),
        ("'🙂' * 70_000", "str|70000|🙂"),
        ("'ÿ' + context[:70_000]", f"str|{len(TEXT[:70_000]) + 1}|ÿ"),
        ("['a', 'ü', '日']", "list|3|['a']"),
        ("context.splitlines()[:7]", "list|7|['line 0 of the text']"),
        ("('x',)", "list|1|['x']"),
        ("{'a.txt': 'A', 'b.txt': 'B'}", "list|2|['A']"),
        ("{'': 'A'}", "list|1|['A']"),
        ("['long' * 50_000, 'short']", "list|2|"),
        ("'lone \\ud800'", "str|6|l"),
    ],
)
def test_every_form_of_a_context(ask: Asker, given: str, seen: str) -> None:
    answer = ask(by_depth(f"FINAL(rlm_query('q', {given}))", SEEN))
    assert answer.text.startswith(f"q|{seen}")


def test_a_long_context_arrives_whole(ask: Asker) -> None:
    code = "total = sum(map(ord, context)); FINAL((len(context), total))"
    text = "äbc" * 100_000
    answer = ask(by_depth("FINAL(rlm_query('q', 'äbc' * 100_000))", code))
    assert answer.text == str((len(text), sum(map(ord, text))))


def test_names_of_documents_are_handed_on(ask: Asker) -> None:
    answer = ask(
        by_depth("FINAL(rlm_query('q', {'a.txt': 'A', 'b': 'B'}))", "FINAL(context_names)")
    )
    assert answer.text == "['a.txt', 'b']"


def test_the_whole_of_many_documents(ask: Asker) -> None:
    answer = ask(by_depth("FINAL(rlm_query('q', context))", SEEN), context=["x", "y" * 9])
    assert answer.text == "q|list|2|['x']"


def test_a_prompt_alone_is_question_and_context(ask: Asker, events: list[Event]) -> None:
    assert ask(by_depth("FINAL(rlm_query('do it'))", SEEN)).text == "do it|str|5|d"
    assert ask(by_depth("FINAL(rlm_query('do it' * 999))", SEEN)).text.endswith("|str|4995|d")


def test_a_question_that_is_not_quite_text(ask: Asker) -> None:
    """A long one is read from the guest's memory, lone surrogates and all."""
    answer = ask(by_depth("FINAL(rlm_query('q' * 70_000 + '\\ud800', 'x'))", SEEN))
    assert answer.text == f"{'q' * 70_000}?|str|1|x"


def test_children_know_nothing_of_their_parents_variables(ask: Asker) -> None:
    answer = ask(by_depth("secret = 5\nFINAL(rlm_query('q', 'x'))", "FINAL('secret' in globals())"))
    assert answer.text == "False"


def test_a_batch_keeps_its_order(ask: Asker) -> None:
    code = "FINAL(rlm_query_batched([(str(n), 'x' * n) for n in range(1, 13)]))"
    answer = ask(by_depth(code, "FINAL(question + '/' + str(len(context)))"))
    assert answer.text == str([f"{n}/{n}" for n in range(1, 13)])
    assert answer.usage.sub_calls == 12


def test_an_empty_batch_costs_nothing(ask: Asker) -> None:
    answer = ask(by_depth("FINAL(rlm_query_batched([]))"))
    assert (answer.text, answer.usage.sub_calls) == ("[]", 0)


def test_names_are_given_in_the_order_of_the_calls(ask: Asker, events: list[Event]) -> None:
    code = (
        "rlm_query('first', 'x')\n"
        "rlm_query_batched([('second', 'x'), ('third', 'x')])\n"
        "gather([submit('fourth', 'x'), submit('fifth', 'x')])\n"
        "FINAL(1)"
    )
    ask(by_depth(code, "FINAL(rlm_query('below ' + question, 'x'))", "FINAL(2)"))
    started = {event.node: event for event in events if isinstance(event, NodeStarted)}
    names = ["first", "second", "third", "fourth", "fifth"]
    for number, name in enumerate(names, 1):
        assert started[f"0.{number}"].question == name
        assert started[f"0.{number}.1"].question == f"below {name}"
    assert len(started) == 10
    places = [(started[f"0.{n}"].call, started[f"0.{n}"].index) for n in range(1, 6)]
    assert places == [(1, 0), (2, 0), (2, 1), (3, 0), (4, 0)]


@pytest.mark.parametrize("depth", range(9))
def test_every_depth(ask: Asker, depth: int) -> None:
    """At the deepest level `rlm_query` is a plain call; at depth 0 there is none at all."""

    def turns(request: Request) -> str:
        return cell("f = globals().get('rlm_query')\nFINAL(f('q', context) + '>' if f else 'none')")

    answer = ask(turns, lambda request: "plain", context="x", depth=depth)
    assert answer.text == ("none" if depth == 0 else "plain" + ">" * depth)
    assert [used.nodes for used in answer.usage.by_depth][: max(1, depth)] == [1] * max(1, depth)
    assert sum(used.nodes for used in answer.usage.by_depth) == max(1, depth)
    assert answer.usage.sub_calls == depth


def test_at_the_limit_a_child_is_a_plain_call(ask: Asker, events: list[Event]) -> None:
    ask(by_depth("FINAL(rlm_query_batched([('who?', ['a', 'b']), 'alone']))"), depth=1)
    [called] = [event for event in events if isinstance(event, SubCalled)]
    assert called.prompts[0].startswith("[text 1]\na\n\n[text 2]\nb\n\nQuestion: who?")
    assert called.prompts[1] == "alone"


def test_the_model_is_told_of_children_only_where_there_can_be_some(ask: Asker) -> None:
    ask(by_depth("FINAL(rlm_query('q', 'x'))", "FINAL(1)"), depth=2)
    root, child = [request.messages[0].content for request in ask.model.requests]
    assert "rlm_query(question, text)" in root
    assert "rlm_query" not in child
    assert "llm_query(prompt)" in child


def test_a_request_says_whose_it_is(ask: Asker) -> None:
    ask(by_depth("rlm_query('q', 'x')\nFINAL(llm_query('r'))", "FINAL(llm_query('s'))"))
    asked = [(r.node, r.depth, bool(r.dialogue)) for r in ask.model.requests]
    assert asked == [("0", 0, True), ("0.1", 1, True), ("0.1", 2, False), ("0", 1, False)]


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("call", "error"),
        [
            ("rlm_query(3, 'x')", "TypeError"),
            ("rlm_query('q', 3)", "TypeError"),
            ("rlm_query('q', ['x', 3])", "TypeError"),
            ("rlm_query('q', {'a': None})", "TypeError"),
            ("rlm_query_batched([1])", "TypeError"),
            ("rlm_query_batched('q')", "TypeError"),
            ("rlm_query('q', '')", "ValueError"),
            ("rlm_query('q', [])", "ValueError"),
            ("rlm_query('q', 'x', budget=0)", "ValueError"),
            ("rlm_query('q', 'x', budget=1.01)", "ValueError"),
            ("rlm_query('q', 'x', budget=-0.1)", "ValueError"),
            ("rlm_query('q', 'x', budget=float('nan'))", "ValueError"),
            ("rlm_query('q', 'x', budget='all')", "ValueError"),
            ("rlm_query('q', 'x', budget=True)", "ValueError"),
            ("llm_query('x' * 600_000)", "ValueError"),
            ("llm_query(context * 30)", "ValueError"),
            ("llm_query_batched(['x', 'y' * 600_000])", "ValueError"),
        ],
    )
    def test_a_wrong_call_raises_in_the_guest(self, ask: Asker, call: str, error: str) -> None:
        code = f"try:\n    {call}\nexcept Exception as e:\n    FINAL(type(e).__name__ + str(e))"
        answer = ask(by_depth(code, "FINAL('never')"))
        assert answer.text.startswith(error)

    def test_what_is_said_of_a_wrong_budget_is_the_same_in_every_process(self, ask: Asker) -> None:
        """A long text is known by its place in memory, which no code may see."""
        code = "try: rlm_query('q', 'x', budget='x' * 100_000)\nexcept ValueError as e: FINAL(e)"
        assert ask(by_depth(code)).text == "a budget is a share above 0 and at most 1"

    def test_a_huge_prompt_never_reaches_the_tokenizer(self, ask: Asker) -> None:
        code = "try:\n    llm_query('x' * 10_000_000)\nexcept ValueError as e:\n    FINAL(e)"
        answer = ask(by_depth(code))
        assert "10,000,000 characters" in answer.text
        assert len(ask.model.requests) == 1  # the root's turn

    def test_a_question_longer_than_the_window(self, ask: Asker, events: list[Event]) -> None:
        def turns(request: Request) -> str:
            if request.depth:
                raise WindowError(9_000, 2_000)
            return cell(
                "try:\n    rlm_query('q', 'x')\nexcept ValueError as e:\n    FINAL('no: ' + str(e))"
            )

        assert "9,000 tokens" in ask(turns).text
        [raised] = [event for event in events if isinstance(event, CallRaised)]
        assert (raised.node, raised.call, raised.index, raised.kind) == ("0", 1, 0, "ValueError")

    def test_a_child_without_an_answer_gives_its_best_and_says_so(
        self, ask: Asker, events: list[Event]
    ) -> None:
        answer = ask(
            by_depth("x = rlm_query('q', 'x')\nFINAL(x)", "answer['content'] = 'half'"), turns=3
        )
        assert answer.text == "half"
        assert answer.usage.turns == 4
        ran = [event for event in events if isinstance(event, Ran) and event.node == "0"][-1]
        assert "only a partial answer" in ran.shown
        assert "3 turns" in ran.shown
        [ended] = [event for event in events if isinstance(event, NodeEnded)]
        assert (ended.stop, ended.text) == (StopReason.TURNS, "half")

    def test_a_child_with_nothing_at_all_is_an_exception(self, ask: Asker) -> None:
        code = "try:\n    rlm_query('q', 'x')\nexcept RuntimeError as e:\n    FINAL(e)"
        answer = ask(by_depth(code, "pass"), turns=2)
        assert "without an answer" in answer.text

    def test_a_batch_in_which_some_fail_keeps_the_others(self, ask: Asker) -> None:
        def turns(request: Request) -> str:
            if request.depth:
                return cell("FINAL('good')" if question_of(request) == "a" else "pass")
            return cell(
                "try:\n"
                "    rlm_query_batched([('a', 'x'), ('b', 'x'), ('a', 'y')])\n"
                "except RuntimeError as e:\n"
                "    FINAL(str(e.results) + str(e))"
            )

        answer = ask(turns, turns=2)
        assert answer.text.startswith(
            "['good', None, 'good']1 of 3 failed, number 1 with RuntimeError"
        )

    def test_an_exception_of_a_childs_code_is_the_childs(self, ask: Asker) -> None:
        turns = iter(["1/0", "FINAL('mended')"])

        def script(request: Request) -> str:
            return cell(next(turns) if request.depth else "FINAL(rlm_query('q', 'x'))")

        assert ask(script).text == "mended"

    def test_a_child_that_aborts_its_python_goes_on(self, ask: Asker) -> None:
        turns = iter(["import os\nos.abort()", "FINAL('mended')"])

        def script(request: Request) -> str:
            return cell(next(turns) if request.depth else "x = rlm_query('q', 'x')\nFINAL(x)")

        assert ask(script).text == "mended"


def test_nothing_is_left_of_the_childrens_spools(ask: Asker) -> None:
    code = "rlm_query_batched([('q', 'x' * 99_999)] * 4)\nsubmit('q', 'y')\nFINAL(1)"
    ask(by_depth(code, "FINAL(2)"))
    assert list(ask.spools.iterdir()) == []


def test_every_event_says_whose_it_is(ask: Asker, events: list[Event]) -> None:
    ask(by_depth("FINAL(rlm_query('q', 'x'))", "FINAL(rlm_query('q', 'y'))", "FINAL(1)"))
    nodes = [event.node for event in events if isinstance(event, Replied)]
    assert nodes == ["0", "0.1", "0.1.1"]
    for event in events:
        if isinstance(event, Replied | Ran | NodeStarted | NodeEnded):
            assert event.depth == event.node.count(".")


def test_nodes_draw_from_seeds_of_their_own(ask: Asker) -> None:
    code = "import random\nr = random.random()"
    below = f"{code}\nFINAL(r)"
    answer = ask(by_depth(f"{code}\nFINAL([str(r)] + rlm_query_batched([('q', 'x')] * 3))", below))
    drawn = answer.text.strip("[]").replace("'", "").split(", ")
    assert len(set(drawn)) == 4
    again = ask(by_depth(f"{code}\nFINAL([str(r)] + rlm_query_batched([('q', 'x')] * 3))", below))
    assert again.text == answer.text
