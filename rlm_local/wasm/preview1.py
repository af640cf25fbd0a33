"""The world that a guest sees: three functions of WASI preview 1, answered by our own code.

There are no files, arguments or environment. Time is virtual: it starts at a
fixed date, moves a little with each look and by the whole length of a sleep, so
that nothing waits and a run can be replayed. Randomness comes from a seed.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from typing import Protocol

from rlm_local.errors import SandboxError

SUCCESS, FAULT, INVAL = 0, 21, 28

#: 2026-01-01 00:00 UTC, when every guest's clock starts.
START_NS = 1_767_225_600 * 10**9
#: How far one look at the clock moves it: about what a look costs.
LOOK_NS = 20_000

_REALTIME = 0
_CLOCK_EVENT = 0
_ABSOLUTE = 1
#: 221 years on: Python counts nanoseconds in 63 bits, so they end in 2262.
_LATEST_NS = 7 * 10**18
_MAX_RANDOM_BYTES = 1 << 20
_MAX_SUBSCRIPTIONS = 64
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")  # user data, tag, clock, timeout, precision, flags
_RANDOMNESS = struct.Struct("<625I")  # the Mersenne Twister's words, and the place in them
_EVENT = struct.Struct("<QHB5xQH6x")  # user data, error, type, bytes, flags


class Memory(Protocol):
    """What the functions need of the guest's memory; SandboxError if out of bounds."""

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...


class World:
    """One guest's clock and randomness."""

    def __init__(self, seed: int) -> None:
        self.elapsed_ns = 0
        self._random = random.Random(seed)

    def look(self) -> int:
        """The time since the start in nanoseconds; looking moves it."""
        self.sleep_until(self.elapsed_ns + LOOK_NS)
        return self.elapsed_ns

    def sleep_until(self, elapsed_ns: int) -> None:
        """Let time pass at once, up to a far future."""
        self.elapsed_ns = min(max(self.elapsed_ns, elapsed_ns), _LATEST_NS)

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes of this world's randomness."""
        return self._random.randbytes(count)

    def randomness(self) -> bytes:
        """Where the randomness stands, for `restore_randomness`."""
        _, words, _ = self._random.getstate()
        return _RANDOMNESS.pack(*words)

    def restore_randomness(self, state: bytes) -> None:
        """Go on from there."""
        version, _, _ = self._random.getstate()
        self._random.setstate((version, _RANDOMNESS.unpack(state), None))


def clock_time_get(world: World, memory: Memory, clock: int, precision: int, result: int) -> int:
    """Write the time of `clock`, a u64 of nanoseconds."""
    memory.write(result, struct.pack("<Q", _start_of(clock) + world.look()))
    return SUCCESS


def random_get(world: World, memory: Memory, address: int, count: int) -> int:
    """Fill `count` bytes."""
    if count > _MAX_RANDOM_BYTES:
        return INVAL
    memory.write(address, world.random_bytes(count))
    return SUCCESS


def poll_oneoff(
    world: World, memory: Memory, wanted: int, events: int, count: int, result: int
) -> int:
    """Sleep: time jumps to the first of the moments asked for, and nothing waits."""
    if not 0 < count <= _MAX_SUBSCRIPTIONS:
        return INVAL
    moments: list[tuple[int, int]] = []
    asked = _SUBSCRIPTION.iter_unpack(memory.read(wanted, count * _SUBSCRIPTION.size))
    for user, tag, clock, timeout, _precision, flags in asked:
        if tag != _CLOCK_EVENT:
            return INVAL
        absolute = flags & _ABSOLUTE
        moments.append((timeout - _start_of(clock) if absolute else world.look() + timeout, user))
    first = min(moment for moment, _ in moments)
    world.sleep_until(first)
    happened = [user for moment, user in moments if moment <= first]
    memory.write(
        events, b"".join(_EVENT.pack(user, SUCCESS, _CLOCK_EVENT, 0, 0) for user in happened)
    )
    memory.write(result, struct.pack("<I", len(happened)))
    return SUCCESS


def _start_of(clock: int) -> int:
    return START_NS if clock == _REALTIME else 0


def _checked(function: Callable[..., int]) -> Callable[..., int]:
    def answer(world: World, memory: Memory, *arguments: int) -> int:
        try:
            return function(world, memory, *arguments)
        except SandboxError:  # an address outside the memory
            return FAULT

    return answer


#: By import name: called with the world, the memory and the guest's arguments, each
#: returns an error number.
FUNCTIONS: Mapping[str, Callable[..., int]] = {
    function.__name__: _checked(function) for function in (clock_time_get, random_get, poll_oneoff)
}
