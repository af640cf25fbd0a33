"""Forged wishes for documents that are mapped on demand: the guest names files by number,
and places in its memory. What it can spoil is its own memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_local.prompt import Prompt, prompt_from_texts
from rlm_local.wasm import mapping, ondemand
from tests.attacks.forge import MEMORY
from tests.attacks.suite import (
    ENDED,
    HARMLESS,
    MOST_SECONDS,
    STOPPED,
    Case,
    Forks,
    World,
    cases,
    gives,
)
from tests.wasm.conftest import Guest

MIB = 1 << 20
REFUSED = gives("'refused'")
GRANTED = gives("'granted'")

#: `ask(*numbers)` maps, `rows(*numbers)` reads the index; the window lies between W and E.
CALL = """
import _rlm, json
def host(name, arguments):
    reply = json.loads(_rlm.call(json.dumps({"name": name, "arguments": arguments}).encode()))
    return "granted" if "ok" in reply else "refused"
def ask(*arguments): return host("map_text", arguments)
def rows(*arguments): return host("documents", arguments)
window = context._window
W, E, P = window._start, window._end, 1 << 16
kept = context[0]
"""


def wish(tries: str, code: str, must: object = REFUSED, *, poisons: bool = False) -> Case:
    return Case(tries, f"{CALL}{code}", must, poisons)  # type: ignore[arg-type]


CASES = [
    # Where in memory
    wish("below the window", "ask(1, 0, P, W - P)"),
    wish("at address 0", "ask(1, 0, P, 0)"),
    wish("over the stack", "ask(1, 0, 4 * P, P)"),
    wish("over the interpreter", "ask(1, 0, P, id(str) // P * P)"),
    wish("over the heap", "ask(1, 0, P, id(bytearray(9 << 20)) // P * P)"),
    wish("over the code that asks", "ask(1, 0, P, id(ask.__code__) // P * P)"),
    wish("right behind the window", "ask(1, 0, P, E)"),
    wish("across the window's end", "ask(1, 0, 2 * P, E - P)"),
    wish("across the window's beginning", "ask(1, 0, 2 * P, W - P)"),
    wish("a byte beyond the window's end", "ask(1, 0, P + 1, E - P)"),
    wish("at the end of the address space", "ask(1, 0, P, 2**32 - P)"),
    wish("beyond the address space", "ask(1, 0, P, 2**32 + W)"),
    wish("an address that is W modulo 2**64", "ask(1, 0, P, 2**64 + W)"),
    wish("a negative address", "ask(1, 0, P, -P)"),
    wish("an address that is negative in 32 bits", "ask(1, 0, P, W - 2**32)"),
    wish("one byte off", "ask(1, 0, P, W + 1)"),
    wish("a page of the machine's, not of WebAssembly's", "ask(1, 0, P, W + 4096)"),
    # Which bytes
    wish("no such file", "ask(10**6, 0, P, W)"),
    wish("the file behind the last", "ask(FILES, 0, P, W)"),
    wish("a negative file", "ask(-1, 0, P, W)"),
    wish("a huge file", "ask(2**200, 0, P, W)"),
    wish("beyond the file's end", "ask(1, 2**40, P, W)"),
    wish("at the file's end", "ask(1, 9 * MIB + P, P, W)"),
    wish("a negative offset", "ask(1, -P, P, W)"),
    wish("an offset that is 0 modulo 2**64", "ask(1, 2**64, P, W)"),
    wish("an offset off by one", "ask(1, 1, P, W)"),
    wish("an offset of 4096", "ask(1, 4096, P, W)"),
    wish("no length", "ask(1, 0, 0, W)"),
    wish("a negative length", "ask(1, 0, -1, W)"),
    wish("a length that is 1 modulo 2**64", "ask(1, 0, 2**64 + 1, E - P)"),
    wish("more than the file has", "ask(1, 0, 2**40, W + 32 * MIB)", GRANTED),
    wish("one byte", "ask(1, 0, 1, E - P)", GRANTED),
    # What is no number
    wish("an address that is a text", "ask(1, 0, P, str(W))"),
    wish("an address that is a float", "ask(1, 0, P, float(W))"),
    wish("an address that is true", "ask(1, 0, P, True)"),
    wish("a file that is false", "ask(False, 0, P, W)"),
    wish("nothing for a number", "ask(1, None, P, W)"),
    wish("a list for a number", "ask(1, 0, [P], W)"),
    wish("an object for a number", 'ask({"$context": None}, 0, P, W)'),
    wish("a text of the memory for a number", 'ask({"$text": [0, 1, 1, 1]}, 0, P, W)'),
    wish("the path of a file", 'ask("/etc/passwd", 0, P, W)'),
    wish("not enough numbers", "ask(1, 0, P)"),
    wish("too many numbers", "ask(1, 0, P, W, 0)"),
    wish("no numbers", "ask()"),
    wish("arguments that are an object", 'host("map_text", {"region": 1})'),
    # The index
    wish("rows before the first", "rows(-1, 1)"),
    wish("rows behind the last", "rows(DOCUMENTS, 1)"),
    wish("no rows", "rows(0, 0)"),
    wish("less than no rows", "rows(0, -5)"),
    wish("more rows than are given at once", "rows(0, 10**9)"),
    wish("the last row and some more", "rows(DOCUMENTS - 1, 100)", GRANTED),
    wish("rows from a huge number on", "rows(2**70, 1)"),
    wish("rows by a text", 'rows("0", "1")'),
    wish("rows by true", "rows(True, True)"),
    # What is mapped already
    wish("over a document that is in use", "ask(2, 0, 9 * MIB, window._pieces[0, 0, True].address)",
         GRANTED, poisons=True),
    wish("over the middle of one in use",
         "ask(2, 0, P, window._pieces[0, 0, True].address + 4 * MIB)", GRANTED, poisons=True),
    wish("over the header of one in use",
         "ask(2, 0, P, window._pieces[0, 0, True].address); len(kept), hash(kept)",
         HARMLESS, poisons=True),
    wish("over what a call hands over",
         "t = {'$text': [*_rlm.place(kept)]}\nask(2, 0, 9 * MIB, W); host('llm_query', [t])",
         HARMLESS, poisons=True),
    wish("more pieces than may be", "for n in range(10**6): r = ask(1, 0, 1, W + n % 900 * P)",
         ENDED, poisons=True),
    wish("every page of the window, for ever",
         "n = 0\nwhile True: ask(n % FILES, 0, P * (n % 7 + 1), W + n * 5 % 900 * P); n += 1",
         STOPPED._replace(check=lambda ran: None), poisons=True),
    # The guest's own table
    wish("a table without what is mapped", "window._pieces.clear(); context[4], kept[:9]",
         HARMLESS, poisons=True),
    wish("a table with a piece elsewhere",
         "window._pieces[0, 0, True].address = 0\nfor text in context: text[:9]",
         HARMLESS, poisons=True),
    wish("a window that is all of the memory",
         "window._start, window._end = 0, 2**32\nfor text in context: text[:9]",
         HARMLESS, poisons=True),
    wish("an index with other rows",
         "context._index._blocks[0] = [['x', 0, 0, 2**31 - 1, 4, False]] * 256; context[0]",
         HARMLESS, poisons=True),
    wish("an index with rows of noise",
         "context._index._blocks[0] = [['x', 'y', -5, 7.5, None, 9]] * 256; context[0]",
         HARMLESS, poisons=True),
    # The glue
    wish("giving back what is in use", "_rlm.release([kept])", gives("False")),
    wish("giving back an ordinary text", "_rlm.release(['x' * 9])", HARMLESS, poisons=True),
    wish("giving back what is no list", "_rlm.release(kept)", ENDED),
    wish("giving back nothing", "_rlm.release([])", ENDED),
    wish("giving back a number", "_rlm.release([5])", ENDED),
    wish("giving back twice", "held = [kept]; del kept; context._window._pieces.clear()\n"
         "_rlm.release(held), _rlm.release(held)", HARMLESS, poisons=True),
    wish("a copy of all of the memory", "_rlm.copy(0, 2**31 - 100, 1)", ENDED),
    wish("a copy from a wild address", "_rlm.copy(2**32 - 8, 100, 4)", ENDED),
    wish("a copy of a length that wraps around", "_rlm.copy(W, 2**32 - 1, 1)", ENDED),
    wish("a copy of no kind", "_rlm.copy(W, 5, 3)", ENDED),
    wish("a counted text over the interpreter", "_rlm.text(4096, 0x7fffffff, 1, True, True)",
         ENDED),
    wish("a text of a length that wraps around", "_rlm.text(W + P, 2**32 - 1, 1, True, True)",
         ENDED),
    # Writes over what is mapped
    wish("writes over the document", f"{MEMORY}\nat = id(kept) + 100\n"
         "if at < 2**31: memory[at:at + 4] = b'XXXX'\nkept[:3]", gives("'<0>'"), poisons=True),
    wish("a count of references that is a lie",
         f"{MEMORY}\npoke(id(kept), 1)\nfor text in context: text[:9]", HARMLESS, poisons=True),
    wish("a count of references below none",
         f"{MEMORY}\npoke(id(kept), 0)\ndel kept\nfor text in context: text[:9]",
         HARMLESS, poisons=True),
]  # fmt: skip


def text_of(number: int) -> str:
    return f"<{number}>" + "lorem ipsum " * (786_432 if number < 10 else 10)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    """Ten texts of 9 MiB, and some short ones."""
    folder = tmp_path_factory.mktemp("spool")
    texts = {f"{number}.txt": text_of(number) for number in range(40)}
    with prompt_from_texts(texts, folder=folder) as prompt:
        yield prompt


Start = Callable[[], Guest]


@pytest.fixture
def start(fork: Forks, large: Prompt, monkeypatch: pytest.MonkeyPatch) -> Start:
    for module in (mapping, ondemand):
        monkeypatch.setattr(module, "ADDRESS_SPACE", 136 * MIB)
    return lambda: fork(prompt=large)


@cases(CASES)
def test_forged_wishes(start: Start, world: World, large: Prompt, case: Case) -> None:
    guest = start()
    before = {region.path: region.path.read_bytes()[:4096] for region in large.regions}
    names = f"MIB, FILES, DOCUMENTS = {MIB}, {len(large.regions)}, {len(large.documents)}\n"
    with world.unchanged():
        began = time.monotonic()
        ran = guest.run(names + case.code, cell_seconds=case.must.cell_seconds)
        took = time.monotonic() - began
    case.must.check(ran)
    assert took < case.must.cell_seconds + MOST_SECONDS
    if not case.poisons:
        assert guest.value("[text[:4] for text in context[::13]]") == (
            "['<0>l', '<13>', '<26>', '<39>']"
        )
    found = guest.repl._mapping.pieces
    assert len(found) <= ondemand.MOST_PIECES
    guest.repl.close()
    fresh = start()
    assert fresh.repl._mapping.pieces == ()
    assert fresh.value("sum(text.startswith(f'<{n}>l') for n, text in enumerate(context))") == "40"
    fresh.repl.close()
    assert before == {path: path.read_bytes()[:4096] for path in before}


def test_a_prompt_that_is_mapped_at_once_has_no_such_calls(fork: Forks) -> None:
    guest = fork("some text", "another")
    for name, arguments in (("map_text", [0, 0, 65536, 1 << 26]), ("documents", [0, 1])):
        request = json.dumps({"name": name, "arguments": arguments}).encode()
        reply = guest.value(f"import _rlm; _rlm.call({request!r})")
        assert reply is not None
        assert "NameError" in reply


def test_the_prompts_files_are_as_they_were(start: Start, large: Prompt, tmp_path: Path) -> None:
    guest = start()
    guest.run(f"{CALL}{MEMORY}\nfor n in range(9):\n    at = id(context[n]) + 20\n"
              "    memory[at:at + 1000] = b'X' * 1000")  # fmt: skip
    assert [large.read(number, 0, 4) for number in range(9)] == [f"<{n}>l" for n in range(9)]
    assert start().value("[text[:4] for text in context[:2]]") == "['<0>l', '<1>l']"
