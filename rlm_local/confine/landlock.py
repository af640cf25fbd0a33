"""Landlock: which files a process may use, and which ports of others, if any, by TCP.

The kernel's interface has versions. Rights that a version does not know are not
asked of it; each later one only closes more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path
from typing import NamedTuple

from rlm_local.confine.kernel import Unavailable, call, forbid_new_privileges

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PATH_RULE = struct.Struct("=Qi")  # rights, descriptor; packed
_PORT_RULE = struct.Struct("=QQ")  # rights, port
_RULESET = struct.Struct("=QQQ")  # rights to files, to the network, scopes

#: The first version that knows of TCP.
NETWORK_SINCE = 4
_CONNECT_TCP, _CONNECT_AND_BIND_TCP = 0b10, 0b11
_SCOPE_SOCKETS_AND_SIGNALS = 0b11
#: Bytes of the ruleset that a version knows, the latest first.
_RULESET_BYTES = ((6, 24), (4, 16), (1, 8))


class Right(IntFlag):
    """What can be done with a file, by the kernel's numbers."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # from version 2: moving to another folder
    TRUNCATE = 1 << 14  # 3
    IOCTL_DEV = 1 << 15  # 5


#: The first version that knows a right, where it is not the first of all.
_SINCE = {Right.REFER: 2, Right.TRUNCATE: 3, Right.IOCTL_DEV: 5}
_OF_FILES = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV

READ = Right.READ_FILE | Right.READ_DIR
RUN = Right.READ_FILE | Right.EXECUTE
USE_DEVICE = READ | Right.WRITE_FILE | Right.TRUNCATE | Right.IOCTL_DEV
WRITE = (
    READ | Right.WRITE_FILE | Right.TRUNCATE | Right.REFER
    | Right.REMOVE_DIR | Right.REMOVE_FILE | Right.MAKE_DIR | Right.MAKE_REG | Right.MAKE_SYM
)  # fmt: skip


class Rule(NamedTuple):
    """What may be done beneath a path, or with it if it is a file."""

    path: Path
    rights: Right


def version() -> int:
    """The version of the kernel's interface. Raises Unavailable."""
    try:
        return call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError as error:
        raise Unavailable((error.strerror or str(error)).lower()) from error


def restrict(rules: Iterable[Rule], *, ports: Iterable[int] = ()) -> int:
    """Allow this thread, and what it will start, only what `rules` say. The version.

    Connections by TCP can be made to `ports` alone, of whatever host.
    A path that is not there, or that no rule can be made for, is left out: that
    allows less, never more. Raises Unavailable.
    """
    offered = version()
    known = Right(0)
    for right in Right:
        if offered >= _SINCE.get(right, 1):
            known |= right
    wanted = _RULESET.pack(known, _CONNECT_AND_BIND_TCP, _SCOPE_SOCKETS_AND_SIGNALS)
    size = next(size for since, size in _RULESET_BYTES if offered >= since)
    try:
        ruleset = call(_CREATE_RULESET, ctypes.c_char_p(wanted), size, 0)
        try:
            for rule in rules:
                _allow(ruleset, rule, known)
            for port in ports if offered >= NETWORK_SINCE else ():
                packed = _PORT_RULE.pack(_CONNECT_TCP, port)
                call(_ADD_RULE, ruleset, _NET_PORT, ctypes.c_char_p(packed), 0)
            forbid_new_privileges()
            call(_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)
    except OSError as error:
        raise Unavailable((error.strerror or str(error)).lower()) from error
    return offered


def _allow(ruleset: int, rule: Rule, known: Right) -> None:
    try:
        place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there, or may not be looked at: nor can it be used then
        return
    try:
        rights = rule.rights & known
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        packed = _PATH_RULE.pack(rights, place)
        with contextlib.suppress(OSError):  # a pipe lies nowhere, and is not restricted
            call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(packed), 0)
    finally:
        os.close(place)
