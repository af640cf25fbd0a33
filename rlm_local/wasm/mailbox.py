"""The guest's mailbox: a static struct that says where its buffers are (CONTRACT.md)."""

from __future__ import annotations

import codecs
import struct
from typing import NamedTuple

from rlm_local.errors import SandboxError
from rlm_local.wasm.guest import BUILD_HINT
from rlm_local.wasm.memory import GuestMemory

VERSION = 1
_LAYOUT = struct.Struct("<8IQ3IIQ5I")
_OUT_CAP, _ERR_CAP = 28, 48
#: The largest result that is read: a cell's report is far smaller.
_MAX_RESULT_BYTES = 64 << 20


class Mailbox(NamedTuple):
    """One reading of it. Addresses are the guest's, sizes bytes."""

    version: int
    in_ptr: int
    in_cap: int
    result_ptr: int
    result_len: int
    out_ptr: int
    out_len: int
    out_cap: int
    out_chars: int
    err_ptr: int
    err_len: int
    err_cap: int
    reserved: int
    err_chars: int
    sigint_tripped: int
    is_tripped: int
    eval_breaker: int
    signals_pending_bit: int
    unicode_type: int

    @classmethod
    def read(cls, memory: GuestMemory, address: int) -> Mailbox:
        """Read it. Raises SandboxError if it is not one of this version."""
        box = cls._make(_LAYOUT.unpack(memory.read(address, _LAYOUT.size)))
        if box.version != VERSION:
            raise SandboxError(
                f"the guest's mailbox has version {box.version}, and this host reads {VERSION}",
                hint=BUILD_HINT,
            )
        return box

    def result(self, memory: GuestMemory) -> bytes:
        """The JSON of the last setup or exec. Raises SandboxError if it is out of bounds."""
        if self.result_len > _MAX_RESULT_BYTES:
            raise SandboxError(f"the guest's result has {self.result_len:,} bytes")
        return memory.read(self.result_ptr, self.result_len)

    def stdout(self, memory: GuestMemory, most: int) -> str:
        """What was kept of stdout, of `most` bytes."""
        return _text(memory.read(self.out_ptr, min(self.out_len, most)))

    def stderr(self, memory: GuestMemory, most: int) -> str:
        """What was kept of stderr, of `most` bytes."""
        return _text(memory.read(self.err_ptr, min(self.err_len, most)))

    def lower_caps(self, memory: GuestMemory, address: int, size: int) -> None:
        """Keep at most `size` bytes of stdout, and of stderr."""
        memory.write_u32(address + _OUT_CAP, min(size, self.out_cap))
        memory.write_u32(address + _ERR_CAP, min(size, self.err_cap))

    def interrupt(self, memory: GuestMemory) -> None:
        """Set what CPython's own handler of SIGINT sets."""
        memory.write_u32(self.sigint_tripped, 1)
        memory.write_u32(self.is_tripped, 1)
        breaker = memory.read_u32(self.eval_breaker)
        memory.write_u32(self.eval_breaker, breaker | self.signals_pending_bit)

    def forget_interrupt(self, memory: GuestMemory) -> None:
        """Take back one that came when the cell it was meant for was over. No guest may run."""
        memory.write_u32(self.sigint_tripped, 0)
        memory.write_u32(self.is_tripped, 0)


def _text(data: bytes) -> str:
    # A character that the cap cut in two is dropped; lone surrogates are replaced.
    return codecs.utf_8_decode(data, "replace", False)[0]
