"""The allocator and the string functions by themselves: each a small module of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

CHECKS = Path(__file__).parent / "checks"
MIB = 1 << 20


class Check:
    """One instance of a check module; its exports are its methods."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, limit: int) -> None:
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=limit)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: self._exports[name](self._store, *arguments)

    @property
    def bytes(self) -> int:
        return int(self._exports["memory"].size(self._store)) << 16


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Check]:
    """Starts checks/<name>.c, compiled with the guest's toolchain and flags."""
    from recipe import cache, link, toolchain

    with cache.lock(cache.root()):
        tools = toolchain.prepare(cache.root())
    engine = wasmtime.Engine()
    modules: dict[str, wasmtime.Module] = {}

    def check(name: str, limit: int = 64 * MIB) -> Check:
        if name not in modules:
            folder = tmp_path_factory.mktemp(name)
            out = folder / "check.wasm"
            command = [tools.cc, *link.CFLAGS, "-fno-builtin", "-mexec-model=reactor"]
            command += ["-Wl,-z,stack-size=65536"]
            command += [CHECKS / f"{name}.c", "-o", out]
            toolchain.run(command, folder / "log", environment=tools.environment)
            modules[name] = wasmtime.Module.from_file(engine, str(out))
        return Check(engine, modules[name], limit)

    return check


# ------------------------------------------------------------------------- the allocator


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("gaps", [False, True])
def test_any_use_leaves_a_sound_heap_and_whole_payloads(
    check: Callable[..., Check], seed: int, gaps: bool
) -> None:
    heap = check("allocator")
    for part in range(10):
        assert heap.use(seed * 1000 + part, 2000, 8 + part, gaps) == 0
        assert heap.walk() == 0
    assert heap.free_all() == 0
    assert heap.walk() == 0
    assert heap.free_chunks_seen() == heap.pieces_of_heap()
    assert (heap.pieces_of_heap() > 1) is gaps


@pytest.mark.parametrize("seed", range(1, 5))
def test_running_out_of_memory_again_and_again_breaks_nothing(
    check: Callable[..., Check], seed: int
) -> None:
    heap = check("allocator", 8 * MIB)
    for part in range(10):
        assert heap.use(seed * 1000 + part, 2000, 20, False) == 0
        assert heap.walk() == 0
    assert heap.bytes == 8 * MIB
    assert heap.free_all() == 0
    assert heap.walk() == 0
    assert heap.free_chunks_seen() == heap.pieces_of_heap() == 1


def test_what_was_freed_is_one_chunk_again(check: Callable[..., Check]) -> None:
    heap = check("allocator")
    for size in (40, 1000, 65_000, 3_000_000):
        assert heap.exhaust(size) > 50 * MIB // size
        payload = heap.allocate(60 * MIB)
        assert payload != 0
        heap.release_payload(payload)


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 - 1])
def test_two_gibibytes_are_refused(check: Callable[..., Check], size: int) -> None:
    heap = check("allocator", 2**32)
    before = heap.bytes
    payload = heap.allocate(100)
    assert heap.allocate(size - 2**32 if size >= 2**31 else size) == 0
    assert heap.reallocate(payload, size - 2**32 if size >= 2**31 else size) == 0
    assert heap.bytes <= before + MIB
    assert heap.walk() == 0


def test_the_whole_address_space_can_be_had(check: Callable[..., Check]) -> None:
    heap = check("allocator", 2**32)
    while heap.allocate(1 << 28):
        pass
    while heap.allocate(1 << 20):
        pass
    while heap.allocate(1000):
        pass
    assert heap.bytes == 2**32
    assert heap.walk() == 0


def test_a_growing_payload_at_the_end_is_not_moved(check: Callable[..., Check]) -> None:
    heap = check("allocator", 64 * MIB)
    place = heap.allocate(2 * MIB)
    for size in range(3 * MIB, 60 * MIB, MIB):
        assert heap.reallocate(place, size) == place
    assert heap.reallocate(place, 66 * MIB) == 0
    assert heap.walk() == 0


@pytest.mark.parametrize("off", [8, 16, 1])
def test_a_pointer_that_was_not_given_out_ends_the_guest(
    check: Callable[..., Check], off: int
) -> None:
    heap = check("allocator")
    place = heap.allocate(1000)
    if off == 16:  # freed twice
        heap.release_payload(place)
        off = 0
    with pytest.raises(wasmtime.Trap):
        heap.release_payload(place + off)


# ------------------------------------------------------------------ the string functions


@pytest.mark.parametrize("name", ["check_search", "check_compare", "check_length"])
def test_string_functions_agree_with_plain_loops(check: Callable[..., Check], name: str) -> None:
    strings = check("strings")
    assert getattr(strings, name)() == 0
