"""What a process with GPU drivers tries of local sockets, with the wall or without.

    python -m tests.confine.drivers SOCKET ABSTRACT PORT FOLDER

At the path SOCKET and at the abstract name ABSTRACT somebody listens for packets. With a PORT
that is not 0 the process may connect to it by TCP too.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from rlm_local.confine import confine_process, places
from tests.confine.runner import Attempts, in_a_child, tell

NAME_A_THREAD = """
import os, threading
ended = threading.Event()
thread = threading.Thread(target=ended.wait)
thread.start()
try:
    with open(f"/proc/self/task/{thread.native_id}/comm", "r+") as name:  # as the C library does
        name.write("named")
finally:
    ended.set()
"""


def local() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def connect(name: str) -> None:
    with local() as made:
        made.connect(name)


def bind(name: str) -> None:
    with local() as made:
        made.bind(name)
        made.listen()


def accept() -> None:
    with local() as made:
        made.bind("")  # a name of the kernel's choosing
        made.listen()
        made.setblocking(False)
        try:
            made.accept()
        except BlockingIOError:  # nobody is there: it would be let in
            return


def write_memory(process: int) -> None:
    """Open another process's memory; it is not written to."""
    with open(f"/proc/{process}/mem", "r+b", buffering=0):
        pass


def refused(path: str, name: str, folder: Path) -> Attempts:
    return {
        "connects to an abstract socket": lambda: connect("\0" + name),
        "makes a socket file": lambda: bind(str(folder / "made")),
        "lets somebody in": accept,
        "opens a stream": lambda: socket.socket(socket.AF_UNIX).close(),
        "opens a datagram socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
        "opens a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM).close(),
        "listens by TCP": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "opens its parent's memory": lambda: write_memory(os.getppid()),
    }


def main(path: str, name: str, port: int, folder: Path) -> None:
    places.proc_is_harmless = lambda: True  # as for another user than root
    wall = confine_process(ports=[port] if port else [], drivers=True)
    attempts = dict(refused(path, name, folder))
    # Where connections may be made, they may be made to this too: no filter sees a path.
    if not port:
        attempts["connects to a socket file"] = lambda: connect(path)
    tell(
        wall,
        refused=attempts,
        allowed={
            "opens, binds and listens": lambda: bind(f"\0{name}-own"),
            "names a thread": lambda: exec(NAME_A_THREAD),
            "names a thread in a child": lambda: in_a_child(
                sys.executable, "-S", "-c", NAME_A_THREAD
            ),
        },
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
