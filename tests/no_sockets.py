"""Run a command in which asking the kernel for a socket means death.

    python -m tests.no_sockets COMMAND …

A seccomp filter, inherited by every child, kills the process that calls
socket(2), socketpair(2) or connect(2). Linux on x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_KILL_PROCESS = 0x80000000
_ALLOW = 0x7FFF0000
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

#: The audit number of the architecture, and its socket, socketpair and connect.
_CALLS = {
    "x86_64": (0xC000003E, (41, 53, 42)),
    "aarch64": (0xC00000B7, (198, 199, 203)),
}
SUPPORTED = sys.platform == "linux" and platform.machine() in _CALLS


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_sockets() -> None:
    """Apply the filter to this process and all that it will start."""
    architecture, calls = _CALLS[platform.machine()]
    steps = [
        (_LOAD_WORD, 0, 0, 4),  # seccomp_data.arch
        (_JUMP_IF_EQUAL, 0, len(calls) + 1, architecture),
        (_LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
        *((_JUMP_IF_EQUAL, len(calls) - n, 0, call) for n, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "seccomp is not available")


if __name__ == "__main__":
    forbid_sockets()
    os.execvp(sys.argv[1], sys.argv[1:])
