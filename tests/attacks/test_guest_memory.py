"""A guest that writes anywhere in its memory: mailbox, texts, types, the interpreter itself.

The host reads and writes that memory. Whatever it finds there it must not believe.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_local.records import Observation
from rlm_local.wasm import WasmSandbox
from tests.attacks.forge import MEMORY
from tests.attacks.suite import HARMLESS, TEXT, Case, Forks, World, withstand
from tests.wasm.conftest import Guest

VERSION, IN_PTR, IN_CAP, RESULT_PTR, RESULT_LEN = 0, 4, 8, 12, 16
OUT_PTR, OUT_LEN, OUT_CAP, OUT_CHARS, ERR_LEN, ERR_CAP = 20, 24, 28, 32, 44, 48
TRIPPED, IS_TRIPPED, BREAKER, BIT, UNICODE = 64, 68, 72, 76, 80
FIELDS = range(0, 84, 4)
EDGES = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFF)


@pytest.fixture(scope="module")
def box(sandbox: WasmSandbox) -> int:
    """Where the guest's mailbox is. (A guest could search for it.)"""
    assert sandbox._snapshot is not None
    return sandbox._snapshot.head.mailbox


def attack(fork: Forks, world: World, tries: str, code: str) -> Observation:
    case = Case(tries, f"{MEMORY}\n{code}", HARMLESS, poisons=True)
    return withstand(fork, world, case)


@pytest.mark.parametrize("value", EDGES, ids=hex)
@pytest.mark.parametrize("field", FIELDS)
def test_a_forged_mailbox(fork: Forks, world: World, box: int, field: int, value: int) -> None:
    """Set during a cell, read after it; the next cells begin with what is left of it."""
    guest = fork(TEXT)
    guest.run(MEMORY)
    with world.unchanged():
        for code in (f"poke({box + field}, {value})", "print('x' * 100)", "1 + 1", "1 / 0"):
            ran = guest.run(code, cell_seconds=1.0)
            assert len(ran.stdout) <= 2000
            assert len(ran.stderr) <= 2000
    guest.repl.close()
    assert fork().value("6 * 7") == "42"


def test_a_forged_result_is_read_within_bounds(fork: Forks, world: World, box: int) -> None:
    """The result's address is set when it is published, so the code hooks what follows."""
    for address, length in ((0, 0xFFFFFFFF), (0xFFFFFFFF, 1), (0, 64 << 20), (1 << 20, 64 << 20)):
        attack(
            fork,
            world,
            "a result of wild bounds",
            # `PyBytes_GET_SIZE` of the result is what the glue believes.
            "import _rlm_bootstrap as b\nreal = b.execute\n"
            f"lie = bytes(16); poke(id(lie) + 8, {length})\n"
            "class J:\n loads = b.json.loads\n @staticmethod\n def dumps(*a, **k):\n"
            "  class S(str):\n   def encode(self, *a): return lie\n  return S()\n"
            f"b.json = J; at = {address}",
        )


def test_output_that_lies_elsewhere_is_cut(fork: Forks, box: int) -> None:
    """Other memory of the guest's own may be shown; never more than the cap."""
    guest = fork()
    guest.run(MEMORY)
    ran = guest.run(f"poke({box + OUT_PTR}, id(context)); poke({box + OUT_LEN}, 1 << 30)")
    assert len(ran.stdout) <= 2000
    ran = guest.run(f"poke({box + OUT_CHARS}, -1); poke({box + OUT_CHARS + 4}, -1)")
    assert ran.stdout_chars <= 2**64 - 1


@pytest.mark.parametrize("field", [TRIPPED, IS_TRIPPED, BREAKER, BIT])
def test_the_interrupt_goes_where_it_went_at_the_start(fork: Forks, box: int, field: int) -> None:
    """The addresses are read before any code of a model runs, and never again."""
    guest = fork()
    guest.run(MEMORY)
    guest.run(f"poke({box + field}, id(context) - 32)")
    ran = guest.run("while True: pass", cell_seconds=0.2)
    assert ran.error is not None
    assert ran.error.type == "KeyboardInterrupt"
    assert guest.value(f"context == {'text'!r}") == "True"


TEXTS = {
    "the text": "memory[id(context) + 20 : id(context) + 30] = b'##########'",
    "the whole text": "at = id(context) + 20; memory[at : at + 4400] = bytes(4400)",
    "its length": "poke(id(context) + 8, 0x7FFFFFFF); context[-1:]",
    "its length, negative": "poke(id(context) + 8, -1); context[:9], len(context)",
    "its length, read through": "poke(id(context) + 8, 0x7FFFFFFF); context.count('x')",
    "its hash": "poke(id(context) + 12, 1234); {context: 1}[context]",
    "its kind": "poke(id(context) + 16, 4 << 2); context[:9]",
    "its state": "poke(id(context) + 16, -1); context.upper()[:9]",
    "its type": "poke(id(context) + 4, id(dict)); context.keys()",
    "no type": "poke(id(context) + 4, 0); context",
    "its references": "poke(id(context), 1); del context",
    "the zero after it": f"memory[id(context) + 20 + {len(TEXT)}] = 65; float(context)",
    "the page before it": "memory[id(context) - 60_000 : id(context)] = b'#' * 60_000",
    "everything after it": "memory[id(context) : id(context) + 65_000] = b'#' * 65_000",
}


@pytest.mark.parametrize("code", TEXTS.values(), ids=TEXTS.keys())
def test_the_prompt_is_only_this_guest_s(fork: Forks, world: World, code: str) -> None:
    """The file does not change, and neither does what the next fork sees (`withstand`)."""
    attack(fork, world, "writing over the prompt", code)


def test_a_prompt_that_was_changed_is_whole_after_a_restart(fork: Forks) -> None:
    guest = fork(TEXT)
    guest.run(f"{MEMORY}\nmemory[id(context) + 20 : id(context) + 30] = b'##########'")
    assert guest.value("context[:12]") == "'##########br'"
    assert guest.run("import os; os.abort()").restarted
    assert guest.value(f"context == {TEXT[:44]!r} * 100") == "True"


REQUEST = "import _rlm; b = bytes(16); "
INTERPRETER = {
    "nothing left": "memory[0 : 30 << 20] = bytes(30 << 20)",
    "the first page": "memory[0:65536] = b'\\xff' * 65536",
    "the stack": "memory[4 << 20 : 8 << 20] = b'\\xff' * (4 << 20)",
    "the type of types": "memory[id(type) : id(type) + 200] = bytes(200)",
    "how a str is shown": "memory[id(str) + 20 : id(str) + 120] = b'\\xff' * 100",
    "None": "memory[id(None) : id(None) + 8] = b'\\xff' * 8",
    "the small numbers": "memory[id(1) : id(1) + 200] = b'\\x01' * 200",
    "a tuple's size": "t = (1, 2); poke(id(t) + 8, 1 << 29); t[1 << 20]",
    "a list's items": "l = [1]; poke(id(l) + 12, 0xFFFFFFF0); l[0]",
    "a dict's keys": "d = {1: 2}; poke(id(d) + 16, 0x10); d[1]",
    "the code that runs": "import sys\nc = sys._getframe().f_code\n"
    "memory[id(c) : id(c) + 300] = b'\\x01' * 300",
    "the glue's call": "import _rlm\nmemory[id(_rlm.call) : id(_rlm.call) + 40] = bytes(40)\n"
    "_rlm.call(b'')",
    "a bit here and there": "import random\nr = random.Random(1)\nfor _ in range(2000):\n"
    " memory[r.randrange(8 << 20, 30 << 20)] ^= 1 << r.randrange(8)",
    "a request of two gigabytes": f"{REQUEST}poke(id(b) + 8, 0x7FFFFFFF); _rlm.call(b)",
    "a request of negative length": f"{REQUEST}poke(id(b) + 8, -1); _rlm.call(b)",
    "a request beyond memory": f"{REQUEST}poke(id(b) + 8, 60 << 20); _rlm.call(b)",
    "a printed text of two gigabytes": "s = 'x' * 50; poke(id(s) + 8, 0x7FFFFFFF); print(s)",
    "a value of two gigabytes": "s = 'x' * 50; poke(id(s) + 8, 0x7FFFFFFF)\ns",
    "an answer of two gigabytes": "s = 'x' * 50; poke(id(s) + 8, 0x7FFFFFFF); FINAL(s)",
}


@pytest.mark.parametrize("code", INTERPRETER.values(), ids=INTERPRETER.keys())
def test_the_interpreter_is_only_this_guest_s(fork: Forks, world: World, code: str) -> None:
    attack(fork, world, "writing over the interpreter", code)


def test_addresses_from_before_the_memory_grew(fork: Forks, box: int) -> None:
    """Growing does not move it: what the host has read before stays true."""
    guest = fork(memory_bytes=256 << 20)
    ran = guest.run("big = bytes(100 << 20); print('grown'); llm_query('x' * 1000)")
    assert ran.stdout == "grown\n"
    assert guest.calls == [("llm_query", ["x" * 1000])]
    ran = guest.run("while True: pass", cell_seconds=0.2)
    assert ran.error is not None
    assert ran.error.type == "KeyboardInterrupt"


_words = st.tuples(st.sampled_from(list(FIELDS)), st.integers(0, 2**32 - 1))


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(words=st.lists(_words, min_size=1, max_size=6))
def test_any_mailbox_at_all(fork: Forks, box: int, words: list[tuple[int, int]]) -> None:
    guest: Guest = fork()
    guest.run(MEMORY)
    pokes = "; ".join(f"poke({box + field}, {value})" for field, value in words)
    for code in (pokes, "print(1)", "1 + 1"):
        guest.run(code, cell_seconds=0.5)
    guest.repl.close()
