"""Forged host calls: what crosses the border is bytes, and the guest may write any.

The glue's `call` takes any bytes, so a cell can say what the bootstrap never would.
"""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from rlm_local.errors import LimitReached
from rlm_local.records import StopReason
from rlm_local.sandbox import GuestText
from tests.attacks.forge import MEMORY
from tests.attacks.suite import ENDED, TEXT, Case, Forks, World, cases, gives, withstand
from tests.wasm.prompts import FilePrompt

CALL = "import _rlm\ndef ask(*b): return _rlm.call(b''.join(b))[:9]\n"
#: What the host says to a request that is none.
REFUSED = gives("b'{\"error\":'")
OPEN = 'b\'{"name":"llm_query","arguments":\''

CASES = [
    Case("nothing", f"{CALL}ask(b'')", REFUSED),
    Case("noise", f"{CALL}ask(b'\\xff{{')", REFUSED),
    Case("a zero", f"{CALL}ask(bytes(1))", REFUSED),
    Case("half a request", f"{CALL}ask({OPEN})", REFUSED),
    Case("two requests", f"{CALL}ask({OPEN}, b'[1]}}' * 2)", REFUSED),
    Case("a list", f"{CALL}ask(b'[]')", REFUSED),
    Case("a number", f"{CALL}ask(b'5')", REFUSED),
    Case("null", f"{CALL}ask(b'null')", REFUSED),
    Case("no arguments", f"{CALL}ask(b'{{\"name\":\"llm_query\"}}')", REFUSED),
    Case("arguments that are no list", f"{CALL}ask({OPEN}, b'\"x\"}}')", REFUSED),
    Case("a name that is no text", f"{CALL}ask(b'{{\"name\":5,\"arguments\":[]}}')", REFUSED),
    Case("an unknown function",
         f"{CALL}ask(b'{{\"name\":\"open\",\"arguments\":[\"/etc/passwd\"]}}')",
         REFUSED),
    Case("a method of the host", f"{CALL}ask(b'{{\"name\":\"__class__\",\"arguments\":[]}}')",
         REFUSED),
    Case("a function that this run lacks",
         f"{CALL}ask(b'{{\"name\":\"rlm_query\",\"arguments\":[\"a\",\"b\"]}}')", REFUSED),
    Case("a name of a megabyte",
         f"{CALL}len(_rlm.call(b'{{\"name\":\"' + b'x' * 10**6 + b'\",\"arguments\":[]}}')) < 500",
         gives("True")),
    Case("a list in a list in a list", f"{CALL}ask({OPEN}, b'[' * 100_000)", REFUSED),
    Case("closed nested lists", f"{CALL}ask({OPEN}, b'[' * 10**5, b']' * 10**5, b'}}')", REFUSED),
    Case("nested objects", f"{CALL}ask({OPEN}, b'[', b'{{\"a\":' * 10**5)", REFUSED),
    Case("nesting where nobody looks",
         f"{CALL}ask({OPEN}, b'[1],\"x\":', b'[' * 10**5, b']' * 10**5, b'}}')", REFUSED),
    Case("nested lists that name a text",
         f"{CALL}ask({OPEN}, b'[[\"$\"],', b'[' * 900, b']' * 900, b']}}')", ENDED),
    Case("nesting as deep as may be",
         f"{CALL}ask(b'{{\"name\":\"llm_query\",\"arguments\":' + b'[' * 256, b']' * 256, b'}}')",
         gives("b'{\"ok\":nul'")),
    Case("nesting one deeper",
         f"{CALL}ask(b'{{\"name\":\"llm_query\",\"arguments\":' + b'[' * 257, b']' * 257, b'}}')",
         REFUSED),
    Case("nested objects, as deep as Python's stack lets them be read",
         f"{CALL}ask({OPEN}, b'[', b'{{\"a\":' * 950, b'1', b'}}' * 950, b']}}')", REFUSED),
    Case("invalid UTF-8", f"{CALL}ask({OPEN}, b'[\"\\xff\\xfe\"]}}')", REFUSED),
    Case("a surrogate as bytes", f"{CALL}ask({OPEN}, b'[\"\\xed\\xa0\\x80\"]}}')", REFUSED),
    Case("a lone surrogate as an escape", f"{CALL}ask({OPEN}, rb'[\"\\ud800\"]}}')", REFUSED),
    Case("half a surrogate pair", f"{CALL}ask({OPEN}, rb'[\"\\udc00\\ud800\"]}}')", REFUSED),
    Case("a number beyond floats", f"{CALL}ask({OPEN}, b'[1e999]}}')", REFUSED),
    Case("a number of 100,000 digits", f"{CALL}ask({OPEN}, b'[', b'9' * 10**5, b']}}')", REFUSED),
    Case("an exponent of 100,000 digits", f"{CALL}ask({OPEN}, b'[1e', b'9' * 10**5, b']}}')",
         REFUSED),
    Case("not a number", f"{CALL}ask({OPEN}, b'[NaN]}}')", REFUSED),
    Case("too long", f"{CALL}ask(bytes(30 << 20))", REFUSED),
    Case("millions of values", f"{CALL}ask({OPEN}, b'[[]', b',[]' * 10**6, b']}}')", REFUSED),
    Case("millions of texts", f"{CALL}ask({OPEN}, b'[\"\"', b',\"a\"' * (2 * 10**6), b']}}')",
         REFUSED),
    Case("an open string of escapes", f"{CALL}ask({OPEN}, b'[\"', b'\\\\\"' * (2 * 10**6))",
         REFUSED),
    Case("a final text that is none",
         f"{CALL}ask(b'{{\"name\":\"final\",\"arguments\":[5,false]}}')",
         REFUSED),
    Case("a final text without a piece", f"{CALL}ask(b'{{\"name\":\"final\",\"arguments\":[]}}')",
         REFUSED),
    Case("a final text without end",
         f"{CALL}p = b'{{\"name\":\"final\",\"arguments\":[\"' + b'x' * 10**5 + b'\",true]}}'\n"
         "while True: ask(p)", ENDED),
    Case("empty pieces without end",
         f"{CALL}while True: ask(b'{{\"name\":\"final\",\"arguments\":[\"\",true]}}')", ENDED),
    Case("refused calls without end", f"{CALL}while True: ask(b'')", ENDED),
    Case("what is no bytes", "import _rlm; _rlm.call('x')",
         ENDED),
    Case("a text at a wild address", "import _rlm; _rlm.text(2**32 - 8, 100, 1, True)", ENDED),
    Case("a text that is too long", "import _rlm; _rlm.text(0, 2**31 - 1, 4, False)", ENDED),
    Case("a text over the interpreter", "import _rlm; _rlm.text(4096, 10**6, 1, True)", ENDED),
    Case("a negative text", "import _rlm; _rlm.text(-1, -1, -1, -1)", ENDED),
    Case("output to another descriptor", "import _rlm; _rlm.write(5, 'x')", ENDED),
]  # fmt: skip


@cases(CASES)
def test_host_calls(fork: Forks, world: World, case: Case) -> None:
    withstand(fork, world, case)


def named(*place: int) -> str:
    """A request that hands over the text at a place."""
    request = {"name": "llm_query", "arguments": [{"$text": list(place)}]}
    return f"import _rlm; _rlm.call({json.dumps(request).encode()!r})[:200]"


@pytest.mark.parametrize(
    "place",
    [
        (0, 2**32, 1, 1),
        (2**32 - 1, 2, 1, 1),
        (2**63, 1, 1, 1),
        (-1, 10, 1, 1),
        (0, -1, 1, 1),
        (4096, 2**30, 4, 0),
        (4096, 10, 3, 0),
        (4096, 10, 0, 0),
        (4096, 10),
        (),
    ],
    ids=str,
)
def test_a_text_at_a_wild_place_is_refused(fork: Forks, place: tuple[int, ...]) -> None:
    guest = fork(host=lambda name, arguments: [text.read() for text in arguments])  # type: ignore[attr-defined]
    value = guest.value(named(*place))
    assert value is not None
    assert "there is no text at that place" in value
    assert guest.value("6 * 7") == "42"


@pytest.mark.parametrize("kind", [1, 2, 4])
def test_a_text_over_noise_is_an_ordinary_error(fork: Forks, kind: int) -> None:
    """Any memory is latin-1; other kinds need not be text."""

    def read(name: str, arguments: list[object]) -> int:
        (text,) = arguments
        assert isinstance(text, GuestText)
        return len(text.read())

    guest = fork(host=read)
    value = guest.value(named(1 << 20, 4 << 20, kind, 0))
    assert value is not None
    assert value.startswith(('b\'{"ok":41943', 'b\'{"error":["ValueError","this is no text'))


def test_one_text_named_many_times_is_refused(fork: Forks) -> None:
    """Each naming would be a copy: a request of a few bytes could fill the host's memory."""
    guest = fork(host=lambda name, arguments: len(arguments))
    place = json.dumps({"$text": [0, 30 << 20, 1, 1]})
    call = (
        'import _rlm\n_rlm.call(b\'{"name":"llm_query","arguments":[\''
        f" + b','.join([{place.encode()!r}] * %d) + b']}}')[:90]"
    )
    assert guest.value(call % 30) == "b'{\"ok\":30}'"
    refused = guest.value(call % 1000)
    assert refused is not None
    assert "one call may hand over texts of 1,073,741,824 bytes" in refused


def test_a_request_that_is_refused_for_its_length_is_not_copied(
    fork: Forks, tmp_path: Path
) -> None:
    """A guest may name all of a mapped prompt; the host's memory must not pay for it."""
    zeros = tmp_path / "zeros"
    zeros.touch()
    os.truncate(zeros, 300 << 20)
    guest = fork(prompt=FilePrompt(zeros, 300 << 20))
    guest.run("1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    guest.run(f"{MEMORY}\nimport _rlm\nb = bytes(16); poke(id(b) + 8, 330 << 20)")
    ran = guest.run("_rlm.call(b)[:80]")
    assert ran.value is not None
    assert "may have 67,108,864 bytes, not 346,030,080" in ran.value
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


@pytest.mark.parametrize("error", [LimitReached(StopReason.TOKENS, "no tokens"), RuntimeError("x")])
def test_what_the_host_raises_cannot_be_caught(fork: Forks, error: Exception) -> None:
    def fail(name: str, arguments: list[object]) -> object:
        raise error

    guest = fork(TEXT, host=fail)
    code = "while True:\n try: llm_query('x')\n except BaseException: pass\n finally: print('on')"
    with pytest.raises(type(error)) as caught:
        guest.run(code)
    assert caught.value is error
    assert len(guest.calls) == 1
    assert fork().value("6 * 7") == "42"


def test_a_destructor_cannot_call_the_host_after_its_cell(fork: Forks) -> None:
    """A call between cells has no budget to be charged to."""
    guest = fork()
    guest.run("class D:\n def __del__(self): llm_query('late')\nimport builtins; builtins.d = D()")
    guest.repl.close()
    assert guest.calls == []


def test_a_call_from_within_a_call(fork: Forks) -> None:
    """An argument's own code runs before the call, never inside it."""
    guest = fork(host=lambda name, arguments: "reply")
    guest.run(
        "class Prompts(list):\n def __iter__(self):\n  llm_query('inner'); return iter(['outer'])"
    )
    assert guest.value("llm_query_batched(Prompts())") is not None
    assert [arguments for _, arguments in guest.calls] == [["inner"], [["outer"]]]
