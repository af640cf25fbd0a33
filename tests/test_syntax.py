"""Code that does not parse is written again before it runs: checked by the sandbox's own Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local import controller
from rlm_local.errors import ModelError, WindowError
from rlm_local.limits import MIB, Limits
from rlm_local.llama.stream import TextStream
from rlm_local.model import Interrupted, ScriptedModel
from rlm_local.prompt import prompt_from_text
from rlm_local.records import Answer, Completion, Event, Message, Ran, Replied, Request
from rlm_local.remote.reply import Reply
from rlm_local.remote.wire import Piece
from rlm_local.syntax import MOST_CHARS, RetryingModel, SyntaxCheck
from rlm_local.thoughts import KNOWN, Thoughts
from rlm_local.wasm import WasmSandbox
from tests.test_limits import completion

FAR = 1e12


@pytest.fixture(scope="module")
def sandbox() -> Iterator[WasmSandbox]:
    made = WasmSandbox()
    yield made
    made.close()


@pytest.fixture(scope="module")
def check(sandbox: WasmSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyntaxCheck]:
    with prompt_from_text("nothing", folder=tmp_path_factory.mktemp("spool")) as prompt:
        made = SyntaxCheck(sandbox, prompt, memory_bytes=256 * MIB)
        yield made
        made.close()


# ------------------------------------------------------------------ the check

PARSES = [
    "",
    "x = 1",
    "await llm_query('x')",
    "[await q for q in x]",
    "1 / 0",
    "'''\n```json\n'''",
    "import ast\nast.parse('(')",
    "raise SyntaxError",
    "é = '\ud7ff\U0001f600'",
    "print('\\'\"')",
]
FAULTS = [
    ("x = (", 1),
    ("x = 1\ny = 'abc\nz = 3", 2),
    ("if x:\npass", 2),
    ("print 1", 1),
    ("a = 1\nb = 2\n  c = 3", 3),
    ("def f():\n    x\n\ty", 3),
    ("return 1", 1),
    ("a\0b", 1),
    ('x = 1\n"""a\nb\n', 2),
    ("!pip install x", 1),
    ("x = 5 +* 2\ny = (", 1),
]


@pytest.mark.parametrize("code", PARSES)
def test_code_that_parses(check: SyntaxCheck, code: str) -> None:
    assert check.bad_line(code, FAR) == 0


@pytest.mark.parametrize(("code", "line"), FAULTS)
def test_the_line_at_fault(check: SyntaxCheck, code: str, line: int) -> None:
    assert check.bad_line(code, FAR) == line


@pytest.mark.parametrize(
    "code",
    ["(" * 100_000, "x = " + "-" * 90_000 + "1", "[" * 500 + "]" * 500, "x = 1\n" * 16_000],
    ids=["parentheses", "signs", "brackets", "lines"],
)
def test_what_cannot_be_compiled_is_nobodys_fault(check: SyntaxCheck, code: str) -> None:
    assert check.bad_line(code, FAR) == 0
    assert check.bad_line("x = (", FAR) == 1  # and it still works


def test_code_too_long_to_be_looked_at(check: SyntaxCheck) -> None:
    bad = "("
    assert check.bad_line(bad + "#" * (MOST_CHARS - 1), FAR) == 1
    assert check.bad_line(bad + "#" * MOST_CHARS, FAR) == 0


@given(st.text(alphabet="()[]{}'\"\\\n\t :=x#é1,", max_size=60))
def test_it_says_what_running_says(check: SyntaxCheck, code: str) -> None:
    """The guest's Python may be another version than ours; on such texts they agree."""
    try:
        compile(code, "x", "exec")
        right = False
    except SyntaxError:
        right = True
    assert bool(check.bad_line(code, FAR)) == right


def test_many_threads_and_after_the_end(sandbox: WasmSandbox, tmp_path: Path) -> None:
    with prompt_from_text("nothing", folder=tmp_path) as prompt:
        own = SyntaxCheck(sandbox, prompt, memory_bytes=256 * MIB)
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(own.bad_line("\n" * n + "(", FAR)))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(1, 9))
        own.close()
        own.close()
        assert own.bad_line("(", FAR) == 0


# ------------------------------------------------------------------ the retries


class Python:
    """A check of the test: code with a `?` is at fault there."""

    def bad_line(self, code: str, deadline: float) -> int:
        lines = code.split("\n")
        return next((at for at, line in enumerate(lines, 1) if "?" in line), 0)


def written(
    replies: Sequence[str] | Callable[[Request], str], retries: int = 2, **how: object
) -> tuple[Completion, list[Request]]:
    model = ScriptedModel(replies)
    request = Request(
        messages=(Message("user", "a b c"),), max_tokens=99, stop="fence", dialogue="0", seed=7
    )
    retrying = RetryingModel(model, Python(), retries=retries)  # type: ignore[arg-type]
    limits = {"deadline": FAR, "token_limit": 1 << 40, **how}
    [made] = retrying.complete([request], **limits)  # type: ignore[arg-type]
    return made, model.requests


BAD = "I look.\n```repl\na = 1\nb = ?\nc = 3\n```\n"
BEGUN = "I look.\n```repl\n"


def test_from_the_beginning_of_the_block() -> None:
    made, asked = written([BAD, "b = 2\n```"])
    assert made.text == f"{BEGUN}b = 2\n```"
    assert [request.begun for request in asked] == ["", BEGUN]
    assert [request.max_tokens for request in asked] == [99, 64]
    assert asked[0].temperature == 0 < asked[1].temperature
    assert made.retries == 1
    assert made.completion_tokens == len(BAD.split()) + 4
    assert made.prompt_tokens == 6


def test_each_attempt_is_warmer_than_the_one_before() -> None:
    made, asked = written([BAD, "b = ??\n```", "x = 1\n```"])
    assert made.text == f"{BEGUN}x = 1\n```"
    assert [request.begun for request in asked] == ["", BEGUN, BEGUN]
    assert asked[1].temperature < asked[2].temperature <= 1
    assert len({request.seed for request in asked}) == 3
    assert made.retries == 2


def test_the_first_attempt_counts_if_none_is_good() -> None:
    made, asked = written([BAD, "b = ??\n```", "x = ???\n```"])
    assert made.text == BAD
    assert (len(asked), made.retries) == (3, 2)
    assert written([BAD], retries=0)[0] == written([BAD], retries=0)[0]
    assert written([BAD], retries=0)[0].retries == 0


def test_an_attempt_may_be_twice_as_long_as_the_first() -> None:
    long = BAD.replace("a = 1", "a = 1\n" * 12)
    _, asked = written([long, "b = 2\n```"])
    assert asked[1].max_tokens == 2 * len(long.split()) > 64
    assert written([long * 3, "b = 2\n```"])[1][1].max_tokens == 99


@pytest.mark.parametrize(
    "reply", ["No code?", "```json\n?\n```", "I ask?\n```repl\nx = 1\n```", "FINAL(?)"]
)
def test_what_is_not_code_is_not_looked_at(reply: str) -> None:
    made, asked = written([reply])
    assert (made.text, made.retries, len(asked)) == (reply, 0, 1)


THOUGHT = "<think>\nMaybe ```repl\nx = ?\n``` so.\n</think>\n\n"


def written_here(reply: str, begun: str) -> tuple[str, str]:
    """The thought and the text as our own engine tells them apart."""
    stream = TextStream(fence=True, thoughts=Thoughts(KNOWN[0]), begun=begun)
    for letter in reply:
        if stream.feed(letter.encode()):
            break
    return stream.thought, stream.finish()


def written_there(reply: str, begun: str) -> tuple[str, str]:
    """As they are told apart in what a server sends."""
    growing = Reply(99, fence=True, begun=begun)
    growing.feed(Piece(text=reply, written=True, finish="stop"))
    return growing.thought, growing.text


@pytest.mark.parametrize("tells_apart", [written_here, written_there])
def test_a_thought_stays_before_it(tells_apart: Callable[[str, str], tuple[str, str]]) -> None:
    class Thinking(ScriptedModel):
        def _complete(self, request: Request) -> Completion:
            made = super()._complete(request)
            reply = made.text.removeprefix(request.begun)
            thought, text = tells_apart(reply, request.begun)
            return msgspec.structs.replace(made, text=text, thought=thought)

    model = Thinking([THOUGHT + BAD, "b = ??\n```", "b = 2\n```"])
    request = Request(messages=(), max_tokens=99, stop="fence", dialogue="0")
    retrying = RetryingModel(model, Python(), retries=2)  # type: ignore[arg-type]
    [made] = retrying.complete([request], deadline=FAR, token_limit=1 << 40)
    assert [asked.begun for asked in model.requests[1:]] == [THOUGHT + BEGUN] * 2
    assert (made.text, made.thought) == (f"{BEGUN}b = 2\n```", THOUGHT)


def test_a_turn_that_was_cut_is_not_written_again() -> None:
    made, asked = written([BAD], token_limit=3 + 8)
    assert (made.finish, len(asked)) == ("tokens", 1)


@pytest.mark.parametrize("extra", [0, 3, 5])
def test_no_tokens_left_for_another_attempt(extra: int) -> None:
    """The limit is for all attempts; the first one stands."""
    limit = 3 + len(BAD.split()) + extra
    made, asked = written([BAD, "b = 2 and a lot more\n```"], token_limit=limit)
    assert (made.text, made.finish) == (BAD, "stop")
    assert made.work_tokens == limit
    assert len(asked) == (1 if extra == 0 else 2)


@pytest.mark.parametrize(
    "error", [WindowError(100, 90), ModelError("the model's server refused (400)")]
)
def test_a_model_that_does_not_go_on(error: ModelError) -> None:
    """No window is left, or it takes no beginning: the first attempt stands, and is paid for."""

    def replies(request: Request) -> str:
        if request.begun:
            raise error
        return BAD

    made, asked = written(replies)
    assert (made.text, made.finish, made.retries, len(asked)) == (BAD, "stop", 0, 2)
    assert made.completion_tokens == len(BAD.split())


def test_what_went_before_a_failed_attempt_is_paid_for() -> None:
    """The script ends: `ScriptedModel` raises ModelError."""
    made, asked = written([BAD, "b = ??\n```"])
    assert (made.text, made.retries, len(asked)) == (BAD, 1, 3)
    assert made.completion_tokens == len(BAD.split()) + 4


def test_an_attempt_that_breaks_off_is_paid_for() -> None:
    """As on a server that fails in the middle of it."""

    def replies(request: Request) -> str:
        if request.begun:
            error = ModelError("broken off")
            error.completions = (completion(3, 0, 5),)
            raise error
        return BAD

    made, _ = written(replies)
    assert (made.text, made.finish) == (BAD, "stop")
    assert (made.prompt_tokens, made.completion_tokens) == (3 + 3, len(BAD.split()) + 5)


def test_a_first_attempt_that_fails() -> None:
    with pytest.raises(ModelError, match="no more replies"):
        written([])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, lambda: Interrupted([])])
def test_ctrl_c_in_the_second_attempt(kind: Callable[[], KeyboardInterrupt]) -> None:
    def replies(request: Request) -> str:
        if request.begun:
            raise kind()
        return BAD

    with pytest.raises(Interrupted) as caught:
        written(replies)
    [made] = caught.value.completions
    assert (made.text, made.completion_tokens) == (BAD, len(BAD.split()))


def test_batches_and_plain_calls_are_passed_on() -> None:
    model = ScriptedModel(sub_calls=lambda request: BAD)
    retrying = RetryingModel(model, Python(), retries=2)  # type: ignore[arg-type]
    request = Request(messages=(), max_tokens=9)
    made = retrying.complete([request] * 3, deadline=FAR, token_limit=1 << 40)
    assert [one.text for one in made] == [BAD] * 3
    assert len(model.requests) == 3


# ------------------------------------------------------------------ in a run


def ask(
    sandbox: WasmSandbox,
    tmp_path: Path,
    replies: list[str] | Callable[[Request], str],
    context_tokens: int = 32_768,
    **limits: int,
) -> tuple[Answer, list[Event]]:
    events: list[Event] = []
    with prompt_from_text("The gate code is 4711.", folder=tmp_path) as prompt:
        answer = controller.answer(
            "What is it?",
            prompt,
            model=ScriptedModel(replies, context_tokens=context_tokens),
            sandbox=sandbox,
            limits=Limits(**limits),  # type: ignore[arg-type]
            run_id="test",
            record=events.append,
            mode="rlm",
        )
    return answer, events


def test_a_run_does_not_see_the_first_attempt(sandbox: WasmSandbox, tmp_path: Path) -> None:
    replies = ["So:\n```repl\nx = 4711\nFINAL(x\n```", "x = 4711\nFINAL(x)\n```"]
    answer, events = ask(sandbox, tmp_path, replies, syntax_retries=1)
    assert answer.text == "4711"
    assert answer.usage.turns == 1
    [reply] = [event for event in events if isinstance(event, Replied)]
    assert reply.text == "So:\n```repl\nx = 4711\nFINAL(x)\n```"
    assert reply.completion.retries == 1
    assert answer.usage.completion_tokens == sum(len(text.split()) for text in replies)


def test_each_attempt_may_use_the_window(sandbox: WasmSandbox, tmp_path: Path) -> None:
    """Also where the first one has used most of it."""
    code = "x = 4711\n" * 400
    replies = [f"So:\n```repl\n{code}FINAL(x\n```", f"{code}FINAL(x)\n```"]
    answer, _ = ask(sandbox, tmp_path, replies, context_tokens=2_000, syntax_retries=1)
    assert (answer.text, answer.usage.turns) == ("4711", 1)
    assert answer.usage.work_tokens > 2_000


def test_a_run_goes_on_with_the_first_attempt(sandbox: WasmSandbox, tmp_path: Path) -> None:
    """Where no other can be had, as of a server that takes no beginning."""

    def replies(request: Request) -> str:
        if request.begun:
            raise ModelError("the model's server refused (400)")
        return "So:\n```repl\nFINAL(4711" + (")" if len(request.messages) > 2 else "") + "\n```"

    answer, events = ask(sandbox, tmp_path, replies, syntax_retries=1)
    assert (answer.text, answer.usage.turns) == ("4711", 2)
    first, second = [event for event in events if isinstance(event, Replied)]
    assert (first.text, first.completion.retries) == ("So:\n```repl\nFINAL(4711\n```", 0)
    tokens = first.completion.completion_tokens + second.completion.completion_tokens
    assert answer.usage.completion_tokens == tokens


def test_without_retries_the_model_reads_its_error(sandbox: WasmSandbox, tmp_path: Path) -> None:
    replies = ["So:\n```repl\nFINAL(x\n```", "So:\n```repl\nFINAL(4711)\n```"]
    answer, events = ask(sandbox, tmp_path, replies, syntax_retries=0)
    assert (answer.text, answer.usage.turns) == ("4711", 2)
    ran = next(event for event in events if isinstance(event, Ran))
    assert ran.observation.error is not None
    assert ran.observation.error.type == "SyntaxError"
