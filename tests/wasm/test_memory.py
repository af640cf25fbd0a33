"""Checked access to linear memory, mapped files, and where a prompt's regions go."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import AddressSpaceError, SandboxError
from rlm_local.prompt import Region
from rlm_local.wasm import mapping
from rlm_local.wasm.memory import ADDRESS_SPACE, WASM_PAGE, GuestMemory

SIZE = 3 * WASM_PAGE


def memory_of(pages: int, limit: int = -1) -> tuple[wasmtime.Store, GuestMemory]:
    store = wasmtime.Store(wasmtime.Engine())
    store.set_limits(memory_size=limit)
    made = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(pages, None)))
    return store, GuestMemory(store, made)


@pytest.fixture
def memory() -> GuestMemory:
    return memory_of(3)[1]


_store, _shared = memory_of(3)


@given(st.integers(-10, SIZE + 10), st.integers(-10, SIZE + 10))
def test_reads_are_inside_or_refused(address: int, length: int) -> None:
    inside = address >= 0 and length >= 0 and address + length <= SIZE
    if inside:
        assert len(_shared.read(address, length)) == length
    else:
        with pytest.raises(SandboxError, match=r"of its memory, which has 196,608"):
            _shared.read(address, length)


@given(st.integers(0, SIZE + 10), st.binary(max_size=40))
def test_writes_are_inside_or_refused(address: int, data: bytes) -> None:
    if address + len(data) <= SIZE:
        _shared.write(address, data)
        assert _shared.read(address, len(data)) == data
    else:
        with pytest.raises(SandboxError):
            _shared.write(address, data)


@pytest.mark.parametrize(("address", "length"), [(2**32 - 1, 2**32 - 1), (2**63, 1), (0, 2**64)])
def test_wild_addresses_are_refused(memory: GuestMemory, address: int, length: int) -> None:
    with pytest.raises(SandboxError):
        memory.read(address, length)


def test_numbers_are_little_endian(memory: GuestMemory) -> None:
    memory.write_u32(8, 0x01020304)
    assert memory.read(8, 4) == b"\x04\x03\x02\x01"
    assert memory.read_u32(8) == 0x01020304


def test_growing_is_seen_and_never_shrinks(memory: GuestMemory) -> None:
    memory.grow_to(SIZE + 1)
    assert memory.size == SIZE + WASM_PAGE
    memory.grow_to(10)
    assert memory.size == SIZE + WASM_PAGE
    memory.write(SIZE, b"new")


def test_growing_beyond_the_limit_is_refused() -> None:
    _, memory = memory_of(1, limit=4 * WASM_PAGE)
    with pytest.raises(SandboxError, match="cannot grow from 65,536 to 1,048,576 bytes"):
        memory.grow_to(1 << 20)


def test_a_mapped_file_is_private(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 5000)
    file = os.open(path, os.O_RDONLY)
    memory.map_file(WASM_PAGE, file, 0, 5000)
    os.close(file)
    assert memory.read(WASM_PAGE, 5004) == b"a" * 5000 + bytes(4)
    memory.write(WASM_PAGE, b"changed")
    assert path.read_bytes() == b"a" * 5000
    path.unlink()
    assert memory.read(WASM_PAGE, 8) == b"changeda"


def test_a_file_can_be_mapped_from_an_offset(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * mmap.PAGESIZE + b"b" * 10)
    with path.open("rb") as file:
        memory.map_file(0, file.fileno(), mmap.PAGESIZE, 10)
    assert memory.read(0, 11) == b"b" * 10 + b"\0"


def test_a_file_that_is_too_short_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100)
    with path.open("rb") as file, pytest.raises(SandboxError, match="has 100 bytes and should"):
        memory.map_file(0, file.fileno(), 0, 101)


def test_mapping_past_the_end_of_memory_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (2 * WASM_PAGE))
    with path.open("rb") as file, pytest.raises(SandboxError, match="of its memory"):
        memory.map_file(2 * WASM_PAGE, file.fileno(), 0, 2 * WASM_PAGE)


@given(st.lists(st.integers(0, 1 << 20), max_size=20), st.integers(0, 1 << 20))
def test_regions_have_room_before_and_after(lengths: list[int], start: int) -> None:
    regions = [Region(Path("x"), 0, length) for length in lengths]
    addresses, end = mapping.layout(regions, start)
    before = start
    for address, length in zip(addresses, lengths, strict=True):
        assert address % WASM_PAGE == 0
        assert address - before >= WASM_PAGE  # the header of a text at byte 0 is written there
        before = address + length + mapping.TAIL_BYTES
    assert end >= before
    assert end % WASM_PAGE == 0


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    limit = ADDRESS_SPACE - mapping.LEAST_HEAP_BYTES
    mapping.check_fits(limit, 1000)
    with pytest.raises(AddressSpaceError, match="takes 5,000 bytes in memory, and at most 4,999"):
        mapping.check_fits(limit + 1, 5000)
