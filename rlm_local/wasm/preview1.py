"""The world that a guest sees: WASI preview 1, answered by a few lines of our own.

There are no files, arguments or environment. Time is virtual: it starts at a
fixed date, moves a little with each look and by the whole length of a sleep, so
that nothing waits and a run can be replayed. Randomness comes from a seed.
Whatever else a program may ask of WASI gets an error number.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Protocol

from rlm_local.errors import SandboxError

SUCCESS, BADF, FAULT, INVAL, NOSYS = 0, 8, 21, 28, 52

#: 2026-01-01 00:00 UTC, when every guest's clock starts.
START_NS = 1_767_225_600 * 10**9
#: How far one look at the clock moves it: about what a look costs.
LOOK_NS = 20_000

_REALTIME = 0
_CLOCK_EVENT = 0
_ABSOLUTE = 1
_MAX_RANDOM_BYTES = 16 << 20
_MAX_SUBSCRIPTIONS = 256
_MAX_LOG_BYTES = 1 << 16
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHARACTER_DEVICE = 2


class Memory(Protocol):
    """What the functions need of the guest's memory."""

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...
    def read_u32(self, address: int) -> int: ...
    def write_u32(self, address: int, value: int) -> None: ...


class World:
    """One guest's clock and randomness, and what its C code wrote by itself (`log`)."""

    def __init__(self, seed: int) -> None:
        self.elapsed_ns = 0
        self.log = bytearray()
        self._random = random.Random(seed)

    def look(self) -> int:
        """The time since the start, in nanoseconds, after this look."""
        self.elapsed_ns += LOOK_NS
        return self.elapsed_ns

    def sleep_until(self, elapsed_ns: int) -> None:
        """Let time pass at once."""
        self.elapsed_ns = max(self.elapsed_ns, elapsed_ns)

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes of this world's randomness."""
        return self._random.randbytes(count)


class Exit(Exception):
    """The guest asked to end its process."""


def _counts(world: World, memory: Memory, count: int, size: int) -> int:
    """args_sizes_get, environ_sizes_get: there are none."""
    memory.write_u32(count, 0)
    memory.write_u32(size, 0)
    return SUCCESS


def _none(world: World, memory: Memory, *_ignored: int) -> int:
    """args_get, environ_get, sched_yield."""
    return SUCCESS


def _clock_res_get(world: World, memory: Memory, clock: int, result: int) -> int:
    memory.write(result, struct.pack("<Q", LOOK_NS))
    return SUCCESS


def _clock_time_get(world: World, memory: Memory, clock: int, precision: int, result: int) -> int:
    start = START_NS if clock == _REALTIME else 0
    memory.write(result, struct.pack("<Q", start + world.look()))
    return SUCCESS


def _random_get(world: World, memory: Memory, address: int, count: int) -> int:
    if count > _MAX_RANDOM_BYTES:
        return INVAL
    memory.write(address, world.random_bytes(count))
    return SUCCESS


def _poll_oneoff(
    world: World, memory: Memory, wanted: int, events: int, count: int, result: int
) -> int:
    """Sleep: time jumps to the first clock asked for. A file is never ready, but an error."""
    if not 0 < count <= _MAX_SUBSCRIPTIONS:
        return INVAL
    asked = _SUBSCRIPTION.iter_unpack(memory.read(wanted, count * _SUBSCRIPTION.size))
    clocks: list[tuple[int, int]] = []
    ready: list[tuple[int, int, int]] = []
    for user, tag, clock, timeout, _precision, flags in asked:
        if tag == _CLOCK_EVENT:
            start = START_NS if clock == _REALTIME else 0
            due = timeout - start if flags & _ABSOLUTE else world.elapsed_ns + timeout
            clocks.append((due, user))
        else:
            ready.append((user, BADF, tag))
    if not ready:
        first = min(due for due, _ in clocks)
        world.sleep_until(first)
        ready = [(user, SUCCESS, _CLOCK_EVENT) for due, user in clocks if due <= first]
    data = b"".join(_EVENT.pack(user, error, tag, 0, 0) for user, error, tag in ready)
    memory.write(events, data)
    memory.write_u32(result, len(ready))
    return SUCCESS


def _fd_write(world: World, memory: Memory, fd: int, vectors: int, count: int, result: int) -> int:
    """Kept as the guest's last words: Python's own output goes another way."""
    if fd not in (_STDOUT, _STDERR):
        return BADF
    if count > _MAX_SUBSCRIPTIONS:
        return INVAL
    written = 0
    for address, length in struct.iter_unpack("<II", memory.read(vectors, count * 8)):
        room = max(0, _MAX_LOG_BYTES - len(world.log))
        world.log += memory.read(address, min(length, room))
        written += length
    memory.write_u32(result, written & 0xFFFF_FFFF)
    return SUCCESS


def _fd_read(world: World, memory: Memory, fd: int, vectors: int, count: int, result: int) -> int:
    if fd != _STDIN:
        return BADF
    memory.write_u32(result, 0)  # its end
    return SUCCESS


def _fd_fdstat_get(world: World, memory: Memory, fd: int, result: int) -> int:
    if fd > _STDERR:
        return BADF
    memory.write(result, struct.pack("<BxHxxxxQQ", _CHARACTER_DEVICE, 0, 0, 0))
    return SUCCESS


def _proc_exit(world: World, memory: Memory, status: int) -> int:
    raise Exit(f"the guest's process ended with status {status}")


def _bad_file(world: World, memory: Memory, *_ignored: int) -> int:
    return BADF


def _not_supported(world: World, memory: Memory, *_ignored: int) -> int:
    return NOSYS


_FUNCTIONS: dict[str, Callable[..., int]] = {
    "args_get": _none,
    "args_sizes_get": _counts,
    "clock_res_get": _clock_res_get,
    "clock_time_get": _clock_time_get,
    "environ_get": _none,
    "environ_sizes_get": _counts,
    "fd_fdstat_get": _fd_fdstat_get,
    "fd_read": _fd_read,
    "fd_write": _fd_write,
    "poll_oneoff": _poll_oneoff,
    "proc_exit": _proc_exit,
    "random_get": _random_get,
    "sched_yield": _none,
}


def function(name: str) -> Callable[..., int]:
    """The answer to the preview1 import `name`: called with the world, the memory and the
    guest's arguments, it returns an error number. It raises nothing but `Exit`."""
    fallback = _bad_file if name.startswith(("fd_", "path_")) else _not_supported
    answer = _FUNCTIONS.get(name, fallback)

    def checked(world: World, memory: Memory, *arguments: int) -> int:
        try:
            return answer(world, memory, *arguments)
        except SandboxError:  # an address outside the memory
            return FAULT

    return checked
