"""Checkpoints of a REPL: what comes back is what was there, to the last byte."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.wasm import checkpoint
from rlm_local.wasm.checkpoint import SMALL_BYTES, SUFFIX, Checkpoints, Saved
from rlm_local.wasm.mapping import AllAtOnce
from rlm_local.wasm.pages import PAGE_BYTES, extents
from rlm_local.wasm.repl import WasmRepl
from tests.wasm.conftest import Fork, Guest

NOTHING = SimpleNamespace(regions=(), documents=(), single=False, identity="")
NO_PROMPT = AllAtOnce(NOTHING, 0)  # type: ignore[arg-type]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 5_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def saved(guest: Guest, folder: Path, turn: int, note: bytes = b"") -> Saved:
    found = guest.repl.save(folder, turn, note)
    assert found is not None
    return found


def memory_of(repl: WasmRepl) -> bytes:
    instance = repl._instance
    assert instance is not None
    return instance.memory.read(0, instance.memory.size)


def turns(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}"))


def restored(fork: Fork, folder: Path, most_turn: int = 99, *texts: str) -> Guest:
    guest = fork(*(texts or (TEXT,)))
    assert guest.repl.restore(folder, most_turn) is not None
    return guest


def test_all_of_the_memory_comes_back(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(
        "import random, time, collections\nx = [context[5:9]] * 3\ndef f(n): return n + len(x)"
    )
    guest.run("random.random(); t = time.time(); c = collections.Counter(context)")
    before = memory_of(guest.repl)
    saved(guest, folder, 2)
    other = restored(fork, folder)
    assert memory_of(other.repl) == before
    for code in (
        "(f(1), x, t, c.most_common(2))",
        "(random.random(), time.time())",
        "hash(context)",
    ):
        assert other.value(code) == guest.value(code)
    assert memory_of(other.repl) == memory_of(guest.repl)


def test_what_runs_on_after_a_checkpoint_does_not_change_it(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray({2 * SMALL_BYTES})\ny = 1")
    saved(guest, folder, 1)
    guest.run("x[:] = b'\\x01' * len(x)\ny = 2")
    assert restored(fork, folder).value("(sum(x), y)") == "(0, 1)"


def test_a_small_state_is_written_whole_and_replaces_the_last_one(fork: Fork, folder: Path):
    guest = fork(TEXT)
    for turn in (1, 2, 3):
        guest.run(f"x = {turn}")
        found = saved(guest, folder, turn)
        assert found.alone
        assert found.bytes < SMALL_BYTES
        assert turns(folder) == [turn]


def test_of_a_large_state_only_the_changes_are_written(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray(b'a' * {4 * SMALL_BYTES})")
    whole = saved(guest, folder, 1)
    assert whole.alone
    assert whole.bytes > 4 * SMALL_BYTES
    guest.run("x[70000] = 98")
    part = saved(guest, folder, 2)
    assert not part.alone
    assert part.bytes < SMALL_BYTES
    assert turns(folder) == [1, 2]
    assert restored(fork, folder).value("(x[69999:70002], len(x), x.count(b'a'))") == str(
        (bytearray(b"aba"), 4 * SMALL_BYTES, 4 * SMALL_BYTES - 1)
    )


def test_a_chain_is_bounded(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray({2 * SMALL_BYTES})")
    alone = []
    for turn in range(1, 9):
        guest.run(f"x[:{SMALL_BYTES}] = bytes([{turn}]) * {SMALL_BYTES}")
        alone.append(saved(guest, folder, turn).alone)
        size = sum(path.stat().st_size for path in folder.iterdir())
        assert size < 4 * (2 * SMALL_BYTES + SMALL_BYTES)
    assert alone.count(True) >= 2
    assert restored(fork, folder).value("(x[0], x[-1])") == "(8, 0)"


def test_a_chain_goes_on_after_a_restore(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray({2 * SMALL_BYTES})")
    saved(guest, folder, 1)
    guest.run("y = 1")
    saved(guest, folder, 2)
    other = restored(fork, folder)
    other.run("x[123456] = 7")
    assert not saved(other, folder, 3).alone
    third = restored(fork, folder)
    assert third.value("(x[123456], y)") == "(7, 1)"
    assert memory_of(third.repl)[:1000] == memory_of(other.repl)[:1000]


def test_a_long_note_comes_back(fork: Fork, folder: Path):
    """The outcomes of thousands of calls that the code goes on beside are in it."""
    guest = fork(TEXT)
    guest.run("x = 1")
    note = os.urandom(2 << 20)
    saved(guest, folder, 1, note)
    other = fork(TEXT)
    assert other.repl.restore(folder, 1) == (1, note)
    assert other.value("x") == "1"


def test_the_newest_up_to_a_turn_is_taken(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray({2 * SMALL_BYTES})")
    for turn in (1, 2, 5):
        guest.run(f"y = {turn}")
        saved(guest, folder, turn, b"note %d" % turn)
    for most, turn in ((9, 5), (4, 2), (1, 1)):
        other = fork(TEXT)
        assert other.repl.restore(folder, most) == (turn, b"note %d" % turn)
        assert other.value("y") == str(turn)
    assert fork(TEXT).repl.restore(folder, 0) is None


def test_a_repl_that_was_stopped_for_good_comes_back_as_a_fresh_one(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run("x = 1")
    assert guest.run("import os\nos.abort()").restarted
    found = saved(guest, folder, 2)
    assert found.pages == 0
    other = restored(fork, folder)
    assert other.run("x").error is not None
    assert other.value("len(context)") == str(len(TEXT))
    # What is saved next has nothing to do with the memory that is gone.
    guest.run("z = 3")
    assert saved(guest, folder, 3).alone
    assert restored(fork, folder).value("z") == "3"


def test_the_prompt_is_mapped_not_saved(fork: Fork, folder: Path):
    text = "0123456789abcdef" * (1 << 20)
    guest = fork(text)
    guest.run("n = context.count('f')")
    assert saved(guest, folder, 1).bytes < SMALL_BYTES
    other = restored(fork, folder, 99, text)
    assert other.value("(n, context[-3:])") == str((1 << 20, "def"))


def test_another_prompt_does_not_fit(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run("x = 1")
    saved(guest, folder, 1)
    assert fork(TEXT.replace("fox", "cat")).repl.restore(folder, 9) is None
    assert fork(TEXT + "more").repl.restore(folder, 9) is None
    assert fork(TEXT).repl.restore(folder, 9) == (1, b"")


def test_writes_to_the_prompt_are_part_of_the_state(fork: Fork, folder: Path, tmp_path: Path):
    guest = fork(TEXT)
    instance = guest.repl._instance
    assert instance is not None
    address = guest.repl._mapping._addresses[0]
    instance.memory.write(address + 8192, b"CHANGED!")
    saved(guest, folder, 1)
    assert restored(fork, folder).value("context[8192:8200]") == "'CHANGED!'"
    assert fork(TEXT).value("context.count('CHANGED!')") == "0"


def test_a_checkpoint_that_others_can_write_is_not_taken(fork: Fork, folder: Path):
    guest = fork(TEXT)
    saved(guest, folder, 1)
    (folder / f"1{SUFFIX}").chmod(0o666)
    assert fork(TEXT).repl.restore(folder, 9) is None


@given(position=st.integers(0), bit=st.integers(0, 7), cut=st.integers(0, 3))
def test_no_damage_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int, cut: int
):
    folder = tmp_path_factory.mktemp("checkpoints")
    path = write_file(folder)
    assert Checkpoints(folder, "this", NO_PROMPT).read(9)
    data = bytearray(path.read_bytes())
    if cut == 0:
        del data[position % len(data) :]
    else:
        data[position % len(data)] ^= 1 << bit
    path.write_bytes(data)
    found = Checkpoints(folder, "this", NO_PROMPT).read(9)
    # Only the spaces and zeros that fill up the head may change unseen.
    if found:
        assert cut
        assert checkpoint._encoded(found[-1]) == checkpoint._encoded(HEAD)
        head = len(checkpoint._encoded(HEAD))
        assert bytes(data[head:]) == PAGES
        assert position % len(data) < head


PAGES = bytes(range(256)) * (2 * PAGE_BYTES // 256)
HEAD = checkpoint.Head(
    format=checkpoint.FORMAT,
    fits="this",
    turn=3,
    base=None,
    page_bytes=PAGE_BYTES,
    memory_bytes=10 * PAGE_BYTES,
    stack_pointer=7,
    elapsed_ns=8,
    randomness=b"r",
    pieces=(),
    extents=[checkpoint.Extent(2, 1), checkpoint.Extent(5, 1)],
    crc32=checkpoint.zlib.crc32(PAGES),
    note=b"n",
)


def write_file(folder: Path) -> Path:
    path = folder / f"3{SUFFIX}"
    path.write_bytes(checkpoint._encoded(HEAD) + PAGES)
    path.chmod(0o600)
    return path


def test_a_chain_without_its_base_is_passed_over(fork: Fork, folder: Path):
    guest = fork(TEXT)
    guest.run(f"x = bytearray({2 * SMALL_BYTES})")
    for turn in (1, 2, 3):
        guest.run(f"y = {turn}")
        saved(guest, folder, turn)
    (folder / f"2{SUFFIX}").unlink()
    other = fork(TEXT)
    assert other.repl.restore(folder, 9) == (1, b"")
    assert other.value("y") == "1"
    (folder / f"1{SUFFIX}").unlink()
    assert fork(TEXT).repl.restore(folder, 9) is None


@pytest.mark.parametrize("nth", range(3))
def test_a_write_that_fails_leaves_the_last_checkpoint(
    nth: int, fork: Fork, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    guest = fork(TEXT)
    guest.run("x = 1")
    saved(guest, folder, 1)
    guest.run("x = 2")
    real, left = os.pwritev, [nth]

    def fail(file: int, buffers: list[memoryview], offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(file, [buffers[0][:1000]], offset)

    monkeypatch.setattr(os, "pwritev", fail)
    assert guest.repl.save(folder, 2) is None
    monkeypatch.undo()
    assert [path.name for path in folder.iterdir()] == [f"1{SUFFIX}"]
    assert restored(fork, folder).value("x") == "1"
    assert saved(guest, folder, 2).alone
    assert restored(fork, folder).value("x") == "2"


def test_what_a_killed_process_left_half_written_goes_and_nothing_else(
    fork: Fork, folder: Path
) -> None:
    guest = fork(TEXT)
    folder.mkdir()
    (folder / f".half{SUFFIX}").write_bytes(b"half")
    (folder / "notes.txt").write_text("of somebody else's")
    saved(guest, folder, 1)
    assert sorted(path.name for path in folder.iterdir()) == [f"1{SUFFIX}", "notes.txt"]


def test_without_a_page_map_there_are_no_checkpoints(
    fork: Fork, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rlm_local.wasm.pages._PAGEMAP", "/nonexistent")
    guest = fork(TEXT)
    assert guest.repl.save(folder, 1) is None
    assert guest.value("1 + 1") == "2"


@given(st.sets(st.integers(0, 300)), st.integers(0, 5))
def test_extents_hold_all_pages_and_few_others(numbers: set[int], gap: int):
    pages = np.array(sorted(numbers), np.int64)
    found = extents(pages, gap)
    held = [page for first, count in found for page in range(first, first + count)]
    assert set(held) >= numbers
    assert held == sorted(set(held))
    assert all(b.first - (a.first + a.pages) > gap for a, b in itertools.pairwise(found))
    for page in set(held) - numbers:  # every other one lies in a gap
        assert any(page - gap <= number < page for number in numbers)
        assert any(page < number <= page + gap for number in numbers)


def test_only_memory_and_stack_pointer_make_a_guest(guest_path: Path):
    """What a checkpoint leaves out, the module does not have: other mutable globals."""
    module = Wasm(guest_path.read_bytes())
    assert module.mutable_globals() == 1


class Wasm:
    """As much of a WebAssembly module as the test above asks about."""

    GLOBALS = 6

    def __init__(self, data: bytes) -> None:
        self._sections: dict[int, bytes] = {}
        at = 8
        while at < len(data):
            number = data[at]
            size, at = self._leb(data, at + 1)
            self._sections[number] = data[at : at + size]
            at += size

    @staticmethod
    def _leb(data: bytes, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    def mutable_globals(self) -> int:
        data = self._sections[self.GLOBALS]
        count, at = self._leb(data, 0)
        mutable = 0
        for _ in range(count):
            mutable += data[at + 1]
            at += 2
            while data[at] != 0x0B:  # constants of i32, whose LEB bytes end below 0x80
                _, at = self._leb(data, at + 1)
            at += 1
        return mutable
