"""The guest's world: clock, randomness, sleeping; bad arguments are error numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import SandboxError
from rlm_local.wasm.preview1 import (
    FAULT,
    FUNCTIONS,
    INVAL,
    LOOK_NS,
    START_NS,
    SUCCESS,
    World,
)

REALTIME, MONOTONIC = 0, 1
RELATIVE, ABSOLUTE = 0, 1
WANTED, EVENTS, RESULT = 0, 2048, 3072


class ArrayMemory:
    """A memory of 4096 bytes."""

    def __init__(self) -> None:
        self.data = bytearray(4096)

    def read(self, address: int, length: int) -> bytes:
        self._check(address, length)
        return bytes(self.data[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        self._check(address, len(data))
        self.data[address : address + len(data)] = data

    def _check(self, address: int, length: int) -> None:
        if address < 0 or address + length > len(self.data):
            raise SandboxError("out of bounds")


def subscription(user: int, clock: int, timeout: int, flags: int, tag: int = 0) -> bytes:
    """As the witx file lays it out: userdata, tag, clock id, timeout, precision, flags."""
    made = bytearray(48)
    struct.pack_into("<Q", made, 0, user)
    struct.pack_into("<B", made, 8, tag)
    struct.pack_into("<I", made, 16, clock)
    struct.pack_into("<Q", made, 24, timeout)
    struct.pack_into("<H", made, 40, flags)
    return bytes(made)


def poll(world: World, memory: ArrayMemory, *subscriptions: bytes) -> list[int]:
    """The user data of the events."""
    memory.write(WANTED, b"".join(subscriptions))
    status = FUNCTIONS["poll_oneoff"](world, memory, WANTED, EVENTS, len(subscriptions), RESULT)
    assert status == SUCCESS
    (count,) = struct.unpack("<I", memory.read(RESULT, 4))
    events = [memory.read(EVENTS + 32 * n, 32) for n in range(count)]
    assert all(event[8:11] == bytes(3) for event in events)  # no error, type clock
    return [struct.unpack_from("<Q", event)[0] for event in events]


def time_of(world: World, memory: ArrayMemory, clock: int) -> int:
    assert FUNCTIONS["clock_time_get"](world, memory, clock, 1, 100) == SUCCESS
    return int(struct.unpack("<Q", memory.read(100, 8))[0])


def test_clocks_move_with_each_look() -> None:
    world, memory = World(0), ArrayMemory()
    assert time_of(world, memory, REALTIME) == START_NS + LOOK_NS
    assert time_of(world, memory, MONOTONIC) == 2 * LOOK_NS


def test_a_relative_sleep_moves_the_clock_by_its_length() -> None:
    world, memory = World(0), ArrayMemory()
    before = time_of(world, memory, MONOTONIC)
    assert poll(world, memory, subscription(7, MONOTONIC, 5 * 10**9, RELATIVE)) == [7]
    after = time_of(world, memory, MONOTONIC)
    assert 5 * 10**9 <= after - before <= 5 * 10**9 + 10 * LOOK_NS


@pytest.mark.parametrize(("clock", "start"), [(REALTIME, START_NS), (MONOTONIC, 0)])
def test_an_absolute_sleep_moves_the_clock_to_its_end(clock: int, start: int) -> None:
    world, memory = World(0), ArrayMemory()
    poll(world, memory, subscription(7, clock, start + 10**9, ABSOLUTE))
    assert time_of(world, memory, clock) == start + 10**9 + LOOK_NS


def test_a_moment_that_has_passed_does_not_turn_time_back() -> None:
    world, memory = World(0), ArrayMemory()
    poll(world, memory, subscription(1, MONOTONIC, 10**9, RELATIVE))
    before = time_of(world, memory, MONOTONIC)
    assert poll(world, memory, subscription(2, MONOTONIC, 5, ABSOLUTE)) == [2]
    assert time_of(world, memory, MONOTONIC) == before + LOOK_NS


def test_the_first_of_several_moments_happens() -> None:
    world, memory = World(0), ArrayMemory()
    later = subscription(1, MONOTONIC, 9 * 10**9, RELATIVE)
    sooner = subscription(2, MONOTONIC, 1 * 10**9, RELATIVE)
    assert poll(world, memory, later, sooner) == [2]


@pytest.mark.parametrize("count", [0, 65, 2**32 - 1])
def test_a_wild_number_of_subscriptions_is_invalid(count: int) -> None:
    answer = FUNCTIONS["poll_oneoff"](World(0), ArrayMemory(), WANTED, EVENTS, count, RESULT)
    assert answer == INVAL


def test_only_clocks_can_be_waited_for() -> None:
    memory = ArrayMemory()
    memory.write(WANTED, subscription(1, 0, 0, 0, tag=1))
    assert FUNCTIONS["poll_oneoff"](World(0), memory, WANTED, EVENTS, 1, RESULT) == INVAL


def test_randomness_comes_from_the_seed() -> None:
    def draw(seed: int) -> bytes:
        memory = ArrayMemory()
        assert FUNCTIONS["random_get"](World(seed), memory, 0, 64) == SUCCESS
        return memory.read(0, 64)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) > 20


def test_too_much_randomness_is_invalid() -> None:
    assert FUNCTIONS["random_get"](World(0), ArrayMemory(), 0, 2**31) == INVAL


@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5000), min_size=4, max_size=4),
)
def test_any_arguments_get_an_error_number(name: str, arguments: list[int]) -> None:
    count = {"clock_time_get": 3, "random_get": 2, "poll_oneoff": 4}[name]
    answer = FUNCTIONS[name](World(0), ArrayMemory(), *arguments[:count])
    assert answer in {SUCCESS, FAULT, INVAL}


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_time_never_goes_back_or_overflows(timeouts: list[int]) -> None:
    world, memory = World(0), ArrayMemory()
    before = 0
    for timeout in timeouts:
        poll(world, memory, subscription(1, MONOTONIC, timeout, timeout % 2))
        now = time_of(world, memory, REALTIME)
        assert before <= now < 2**63
        before = now
