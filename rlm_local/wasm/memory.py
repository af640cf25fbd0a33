"""A guest's linear memory, as the host sees it: checked reads and writes, mapped files.

Nothing that the guest says of its memory is believed: every address and length
is held against the size. The base never moves, because wasmtime reserves the
whole 4 GiB beforehand.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

import wasmtime
from wasmtime import _ffi as ffi

from rlm_local.errors import SandboxError

WASM_PAGE = 1 << 16
ADDRESS_SPACE = 1 << 32

_MAP_FIXED = 0x10  # the same on Linux and macOS; the mmap module does not name it
_MAP_FLAGS = mmap.MAP_PRIVATE | _MAP_FIXED | getattr(mmap, "MAP_NORESERVE", 0)
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_longlong,
)


class GuestMemory:
    """The linear memory of one instance. Addresses are the guest's."""

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._store = store
        self._memory = memory
        pointer = ffi.wasmtime_memory_data(store._context(), ctypes.byref(memory._memory))
        self._base: int = ctypes.cast(pointer, ctypes.c_void_p).value or 0
        self._size = 0

    @property
    def base(self) -> int:
        """Where it begins in this process's own address space."""
        return self._base

    @property
    def size(self) -> int:
        """Bytes in use now."""
        self._size = ffi.wasmtime_memory_data_size(
            self._store._context(), ctypes.byref(self._memory._memory)
        )
        return self._size

    def _check(self, address: int, length: int) -> None:
        end = address + length
        # The memory only grows, so the size seen last is enough for most questions.
        if address < 0 or length < 0 or (end > self._size and end > self.size):
            raise SandboxError(
                f"the guest named the bytes {address:,} to {end:,} of its memory, "
                f"which has {self._size:,}"
            )

    def holds(self, address: int, length: int) -> bool:
        """Whether there are such bytes."""
        return address >= 0 and length >= 0 and address + length <= self.size

    def read(self, address: int, length: int) -> bytes:
        """A copy of `length` bytes. Raises SandboxError if they are not all there."""
        self._check(address, length)
        return ctypes.string_at(self._base + address, length)

    def write(self, address: int, data: bytes) -> None:
        """Put `data` there. Raises SandboxError if there is no room."""
        self._check(address, len(data))
        ctypes.memmove(self._base + address, data, len(data))

    def read_u32(self, address: int) -> int:
        """The little-endian u32 at `address`."""
        return int.from_bytes(self.read(address, 4), "little")

    def write_u32(self, address: int, value: int) -> None:
        """Put a little-endian u32 at `address`."""
        self.write(address, struct.pack("<I", value))

    def view(self, length: int) -> memoryview:
        """The first `length` bytes without a copy; valid while the instance lives."""
        self._check(0, length)
        return memoryview((ctypes.c_ubyte * length).from_address(self._base)).cast("B")

    def grow_to(self, size: int) -> None:
        """Make the memory at least `size` bytes long. Raises SandboxError if it may not be."""
        missing = size - self.size
        if missing > 0:
            try:
                self._memory.grow(self._store, -(-missing // WASM_PAGE))
            except wasmtime.WasmtimeError as error:
                raise SandboxError(
                    f"the guest's memory cannot grow from {self._size:,} to {size:,} bytes"
                ) from error

    def map_file(self, address: int, file: int, offset: int, length: int) -> None:
        """Map `length` bytes of the open `file` from `offset` there, privately.

        What the guest writes to them stays its own. `address` and `offset` are
        multiples of the page size. The file must keep its length: a page that is
        cut off later kills the process, so one that is too short now is refused.
        Raises SandboxError.
        """
        have = os.fstat(file).st_size
        if have < offset + length:
            raise SandboxError(
                f"a file to be mapped has {have:,} bytes and should have {offset + length:,}"
            )
        self._check(address, -(-length // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._map(address, length, _MAP_FLAGS, file, offset)

    def map_zeros(self, address: int, length: int) -> None:
        """Make `length` bytes what they were at first: zero, and pages of no file.

        Both are multiples of the page size. Raises SandboxError.
        """
        self._check(address, length)
        self._map(address, length, _MAP_FLAGS | mmap.MAP_ANONYMOUS, -1, 0)

    def _map(self, address: int, length: int, flags: int, file: int, offset: int) -> None:
        if length == 0:
            return
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        place = _libc.mmap(self._base + address, length, protection, flags, file, offset)
        if place in (None, _MAP_FAILED):
            reason = os.strerror(ctypes.get_errno())
            raise SandboxError(f"{length:,} bytes cannot be mapped into the guest: {reason}")
