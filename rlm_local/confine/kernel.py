"""System calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os

_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Unavailable(Exception):
    """The kernel does not offer this; the text says what it answered."""


def call(number: int, *arguments: object) -> int:
    """System call `number`; its result. Raises OSError."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def forbid_new_privileges() -> None:
    """From now on no program that this thread starts gains rights by being started.

    Both walls want it: else a confined program could mislead a privileged one.
    Raises Unavailable.
    """
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
        raise Unavailable(os.strerror(ctypes.get_errno()))
