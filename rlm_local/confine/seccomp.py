"""seccomp: system calls that this process, and all that it starts, does without.

A filter runs in the kernel at every system call. It denies what is named here and
lets all else through: what a run needs is the engine's and the drivers' to choose.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import NamedTuple

from rlm_local.confine.kernel import Unavailable, call, forbid_new_privileges

_SET_MODE_FILTER = 1
_FOR_ALL_THREADS = 1
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24  # of seccomp_data
_THIRD_AT, _FOURTH_AT = 32, 40
_INSTRUCTION = struct.Struct("=HBBI")

#: Writing into the input of the user's terminal, and the like.
_IOCTLS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD
#: Of `clone`: every namespace that a flag names. Inside of a new one more is allowed.
_NAMESPACES = 0x7E02_0000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _IPPROTO_TCP = 1, 2, 5, 6
_SOCKET_TYPE = 0xF  # above are flags
#: A connection made by sending, which Landlock does not see.
_MSG_FASTOPEN = 0x2000_0000
#: Above are the calls of a second table, which no filter of names would catch.
_SECOND_TABLE = 0x4000_0000

#: What is denied, by architecture.
_X86_64 = {
    "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "accept4": 288,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440,
    "pidfd_getfd": 438, "kcmp": 312, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "setns": 308,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "mount_setattr": 442,
    "open_by_handle_at": 304, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "reboot": 169, "swapon": 167, "swapoff": 168,
    "acct": 163, "quotactl": 179, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305, "sethostname": 170, "setdomainname": 171, "syslog": 103,
    "iopl": 172, "ioperm": 173, "modify_ldt": 154,
    # Landlock does not look at these: modes, owners and attributes of any of the user's files.
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93,
    "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "setxattrat": 463,
    "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip
_AARCH64 = {
    "socket": 198, "connect": 203, "accept": 202, "bind": 200, "listen": 201, "accept4": 242,
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "process_madvise": 440,
    "pidfd_getfd": 438, "kcmp": 272, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
    "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268,
    "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "mount_setattr": 442,
    "open_by_handle_at": 265, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105,
    "finit_module": 273, "delete_module": 106, "reboot": 142, "swapon": 224, "swapoff": 225,
    "acct": 89, "quotactl": 60, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171,
    "clock_adjtime": 266, "sethostname": 161, "setdomainname": 162, "syslog": 116,
    "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "fchownat": 54, "fchown": 55, "setxattr": 5,
    "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip


class _Machine(NamedTuple):
    """An architecture: its number in audit records, and those of its system calls."""

    audit: int
    seccomp: int
    ioctl: int
    clone: int
    clone3: int
    socketpair: int
    senders: dict[int, int]  # and where their flags are
    denied: dict[str, int]


_Step = tuple[int, int, int, int]  # what to do, where to go then and else, with what

_X86_64_SENDERS = {44: _FOURTH_AT, 46: _THIRD_AT, 307: _FOURTH_AT}
_AARCH64_SENDERS = {206: _FOURTH_AT, 211: _THIRD_AT, 269: _FOURTH_AT}
_MACHINES = {
    "x86_64": _Machine(0xC000_003E, 317, 16, 56, 435, 53, _X86_64_SENDERS, _X86_64),
    "aarch64": _Machine(0xC000_00B7, 277, 29, 220, 435, 199, _AARCH64_SENDERS, _AARCH64),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(*, tcp: bool = False, drivers: bool = False) -> None:
    """Deny what is named here, in all threads of this process. Raises Unavailable.

    `tcp`: connections may be made, by TCP alone. To where is for Landlock to say.
    `drivers`: local packet sockets may be made, named and listened at, without which CUDA
    does not start. They let nobody in, and connect to nobody unless `tcp` lets connections through.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:  # a 32-bit program has other numbers
        raise Unavailable(f"its calls are not known to us on {platform.machine()}")
    code = _filter(machine, tcp=tcp, drivers=drivers)
    program = _Program(len(code) // _INSTRUCTION.size, code)
    forbid_new_privileges()
    try:
        thread = call(machine.seccomp, _SET_MODE_FILTER, _FOR_ALL_THREADS, ctypes.byref(program))
    except OSError as error:
        raise Unavailable((error.strerror or str(error)).lower()) from error
    if thread != 0:
        raise Unavailable(f"thread {thread} has a filter of its own")


def _filter(machine: _Machine, *, tcp: bool, drivers: bool) -> bytes:
    """The program. A denied call fails with EPERM, which Python raises as PermissionError."""
    deny, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, deny),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, 0, 1, _SECOND_TABLE),
        (_RETURN, 0, 0, deny),
    ]
    if drivers:
        steps += _local_sockets(machine)
    passing = {"socket", "connect"} if tcp else set()
    passing |= {"bind", "listen"} if drivers else set()
    for name, number in machine.denied.items():
        if name in passing:
            continue
        steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, deny)]
    steps += _no_datagrams_of_pairs(machine, deny)
    if tcp:
        steps += _only_tcp(machine, deny)
    # Its flags lie in memory, where no filter sees them. The C library falls back to clone.
    steps += [(_JUMP_IF_EQUAL, 0, 1, machine.clone3), (_RETURN, 0, 0, absent)]
    steps += [
        (_JUMP_IF_EQUAL, 0, 3, machine.clone),
        (_LOAD, 0, 0, _FIRST_AT),
        (_JUMP_IF_ANY, 0, 3 + 2 * len(_IOCTLS), _NAMESPACES),
        (_RETURN, 0, 0, deny),
        (_JUMP_IF_EQUAL, 0, 1 + 2 * len(_IOCTLS), machine.ioctl),
        (_LOAD, 0, 0, _SECOND_AT),
    ]
    for request in _IOCTLS:
        steps += [(_JUMP_IF_EQUAL, 0, 1, request), (_RETURN, 0, 0, deny)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


def _no_datagrams_of_pairs(machine: _Machine, deny: int) -> list[_Step]:
    """Pairs of sockets are for talking to oneself; one for datagrams can send to any path."""
    return [
        (_JUMP_IF_EQUAL, 0, 5, machine.socketpair),
        (_LOAD, 0, 0, _SECOND_AT),
        (_AND, 0, 0, _SOCKET_TYPE),
        (_JUMP_IF_EQUAL, 0, 1, _SOCK_DGRAM),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _local_sockets(machine: _Machine) -> list[_Step]:
    """Lets through the one kind of local socket that CUDA makes."""
    return [
        (_JUMP_IF_EQUAL, 0, 7, machine.denied["socket"]),
        (_LOAD, 0, 0, _FIRST_AT),
        (_JUMP_IF_EQUAL, 0, 4, _AF_UNIX),
        (_LOAD, 0, 0, _SECOND_AT),
        (_AND, 0, 0, _SOCKET_TYPE),
        (_JUMP_IF_EQUAL, 0, 1, _SOCK_SEQPACKET),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]


def _only_tcp(machine: _Machine, deny: int) -> list[_Step]:
    """Sockets of TCP and no others: not its relative MPTCP, which Landlock does not know."""
    steps: list[_Step] = [
        (_JUMP_IF_EQUAL, 0, 11, machine.denied["socket"]),
        (_LOAD, 0, 0, _FIRST_AT),
        (_JUMP_IF_EQUAL, 1, 0, _AF_INET),
        (_JUMP_IF_EQUAL, 0, 6, _AF_INET6),
        (_LOAD, 0, 0, _SECOND_AT),
        (_AND, 0, 0, _SOCKET_TYPE),
        (_JUMP_IF_EQUAL, 0, 3, _SOCK_STREAM),
        (_LOAD, 0, 0, _THIRD_AT),
        (_JUMP_IF_EQUAL, 2, 0, 0),
        (_JUMP_IF_EQUAL, 1, 0, _IPPROTO_TCP),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for number, flags_at in machine.senders.items():
        steps += [
            (_JUMP_IF_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, flags_at),
            (_JUMP_IF_ANY, 0, 1, _MSG_FASTOPEN),
            (_RETURN, 0, 0, deny),
            (_RETURN, 0, 0, _ALLOW),
        ]
    return steps
