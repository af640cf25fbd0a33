"""Capabilities: what root may do beyond other users, which a run has no use for."""

from __future__ import annotations

import ctypes
import platform
import struct

from rlm_local.confine.kernel import Unavailable, call

#: By architecture: capget, capset.
_CALLS = {"x86_64": (125, 126), "aarch64": (90, 91)}
_VERSION = 0x2008_0522
_HEADER = struct.Struct("=Ii")  # version, process: 0 is this thread
#: The lower and the upper 32 of them: effective, permitted, inheritable.
_SETS = struct.Struct("=6I")
#: CAP_DAC_OVERRIDE, so that root can still be asked about another user's file.
_KEPT = 1 << 1


def drop() -> None:
    """Give up all but one, for this thread and what it will start. Raises Unavailable."""
    calls = _CALLS.get(platform.machine())
    if calls is None:
        raise Unavailable(f"its calls are not known to us on {platform.machine()}")
    get, put = calls
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION, 0))
    sets = ctypes.create_string_buffer(_SETS.size)
    try:
        call(get, header, sets)
        permitted = _SETS.unpack_from(sets)[1] & _KEPT
        sets.raw = _SETS.pack(permitted, permitted, 0, 0, 0, 0)
        call(put, header, sets)
    except OSError as error:
        raise Unavailable((error.strerror or str(error)).lower()) from error
