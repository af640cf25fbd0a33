"""What code that got out of the sandbox would try, in a process with the wall or without.

    python -m tests.confine.attempts FOLDER

`FOLDER/run` may be written, `FOLDER/prompt` read, `FOLDER/home` neither.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

from rlm_local.confine import confine_process
from tests.confine.runner import Attempts, in_a_child, in_a_thread, tell

CHILD = "import sys; open(sys.argv[1]).read()"
_PTRACE = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
_IO_URING_SETUP, _OPEN_TREE = 425, 428
_TIOCSTI = 0x5412


def system_call(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(path))


def attempts(root: Path) -> Attempts:
    home, run = root / "home", root / "run"
    return {
        "reads a key": lambda: (home / "key").read_bytes(),
        "reads a key in a thread": lambda: in_a_thread((home / "key").read_bytes),
        "reads a key in a child": lambda: in_a_child(
            sys.executable, "-S", "-c", CHILD, str(home / "key")
        ),
        "reads a key through a link": lambda: (run / "link").read_bytes(),
        "maps a key": lambda: mmap.mmap(os.open(home / "key", os.O_RDONLY), 0, prot=1),
        "lists a home": lambda: os.listdir(home),
        "writes to a home": lambda: (home / "new").write_text("x"),
        "appends to a key": lambda: (home / "key").open("a"),
        "truncates a key": lambda: os.truncate(home / "key", 1),
        "opens a home to others": lambda: (home / "key").chmod(0o777),
        "changes the mode of its prompt": lambda: os.fchmod(
            os.open(root / "prompt", os.O_RDONLY), 0o777
        ),
        "gives a file away": lambda: os.chown(home / "key", os.getuid(), os.getgid()),
        "marks a file": lambda: os.setxattr(home / "key", "user.mark", b"x"),
        "removes a file": lambda: (home / "old").unlink(),
        "moves a file away": lambda: os.rename(home / "moved", run / "moved"),
        "moves a file in": lambda: os.rename(run / "made", home / "made"),
        "links a key": lambda: os.link(home / "key", run / "hard"),
        "makes a folder": lambda: (home / "folder").mkdir(),
        "makes a device": lambda: os.mknod(run / "device", 0o20600, os.makedev(1, 3)),
        "changes its prompt": lambda: (root / "prompt").write_text("forged"),
        "opens a TCP socket": lambda: socket.socket(),
        "opens a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM),
        "opens a unix socket": lambda: connect(home / "socket"),
        "opens a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "asks for a name": lambda: socket.create_server(("127.0.0.1", 0)),
        "runs a shell": lambda: subprocess.run(["/bin/sh", "-c", ":"], check=True),
        "runs a program of its own": lambda: in_a_child(str(run / "program")),
        "becomes a shell": lambda: in_a_child(
            sys.executable, "-S", "-c", "import os; os.execv('/bin/true', ['true'])"
        ),
        "starts an io_uring": lambda: system_call(_IO_URING_SETUP, 1, 0),
        "traces its parent": lambda: system_call(_PTRACE, 16, os.getppid(), 0, 0),
        "reads its parent's environment": lambda: Path(
            f"/proc/{os.getppid()}/environ"
        ).read_bytes(),
        "reads its parent's memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
        "signals its parent": lambda: os.kill(os.getppid(), signal.SIGCONT),
        "makes a namespace": lambda: in_a_child(
            sys.executable, "-S", "-c",
            "import ctypes, sys; l = ctypes.CDLL(None, use_errno=True);"
            "sys.exit(ctypes.get_errno() if l.unshare(0x10000000) else 0)",
        ),
        "counts what the machine does": lambda: system_call(_PERF_EVENT_OPEN, 0, 0, -1, -1, 0),
        "writes into a terminal's input": lambda: fcntl.ioctl(0, _TIOCSTI, b"x"),
        "dumps core": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)),
    }  # fmt: skip


def usable(root: Path) -> Attempts:
    """What every run needs, and must go on working."""
    run = root / "run"

    def replace() -> None:
        (run / "draft").write_text("x")
        os.replace(run / "draft", run / "file")
        (run / "file").unlink()

    return {
        "reads its prompt": lambda: (root / "prompt").read_bytes(),
        "writes its files": replace,
        "makes folders": lambda: (run / "a" / "b").mkdir(parents=True),
        "moves between its folders": lambda: os.rename(run / "kept", run / "a" / "kept"),
        "starts threads": lambda: in_a_thread(lambda: None),
        "starts its Python": lambda: in_a_child(sys.executable, "-c", "import json, ctypes, numpy"),
        "forks": lambda: os.waitpid(os.fork() or os._exit(0), 0),
        "talks over pipes": os.pipe,
        "pairs sockets": socket.socketpair,
        "has the null device": lambda: Path(os.devnull).write_text("x"),
        "has randomness": lambda: os.urandom(8),
        "imports": lambda: __import__("rlm_local.runtime"),
        "knows the machine": lambda: Path("/proc/meminfo").read_text(),
        "signals its children": lambda: subprocess.Popen([sys.executable, "-c", "input()"]).kill(),
    }


def main(root: Path) -> None:
    wall = confine_process(readable=[root / "prompt"], writable=[root / "run"])
    tell(wall, attempts=attempts(root), usable=usable(root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
