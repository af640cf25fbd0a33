"""What a process tries of the network that may connect to one port, with the wall or without.

    python -m tests.confine.connections PORT OTHER UNIX FOLDER

At PORT of 127.0.0.1 and 127.0.0.2 and at OTHER somebody listens, and at the path UNIX for
datagrams.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from rlm_local.confine import confine_process
from tests.confine.runner import Attempts, in_a_child, in_a_thread, tell

_MPTCP = 262
_MSG_FASTOPEN = 0x2000_0000
CHILD = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"


def connect(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=10).close()


def send_at_once(port: int, send: str) -> None:
    """A connection made by the first data, without `connect`."""
    with socket.socket() as made:
        if send == "sendto":
            made.sendto(b"x", _MSG_FASTOPEN, ("127.0.0.1", port))
        else:
            made.sendmsg([b"x"], [], _MSG_FASTOPEN, ("127.0.0.1", port))


def send_from_a_pair(path: str) -> None:
    one, other = socket.socketpair(type=socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", path)


def connect_later(port: int) -> None:
    with socket.socket() as made:
        made.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
        made.connect(("127.0.0.1", port))
        made.send(b"x")


def refused(other: int, path: str, folder: Path) -> Attempts:
    return {
        "connects to another port": lambda: connect("127.0.0.1", other),
        "connects to another port in a thread": lambda: in_a_thread(
            lambda: connect("127.0.0.1", other)
        ),
        "connects to another port in a child": lambda: in_a_child(
            sys.executable, "-S", "-c", CHILD, str(other)
        ),
        "connects by sending": lambda: send_at_once(other, "sendto"),
        "connects by sending a message": lambda: send_at_once(other, "sendmsg"),
        "connects with data to come": lambda: connect_later(other),
        "listens": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "opens a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM).close(),
        "opens an MPTCP socket": lambda: socket.socket(proto=_MPTCP).close(),
        "opens a raw socket": lambda: socket.socket(type=socket.SOCK_RAW, proto=1).close(),
        "opens a unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "opens a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "opens a vsock": lambda: socket.socket(socket.AF_VSOCK).close(),
        "sends from a pair": lambda: send_from_a_pair(path),
        "reads a file": lambda: (folder / "file").read_bytes(),
        "runs a shell": lambda: subprocess.run(["/bin/sh", "-c", ":"], check=True),
    }


def allowed(port: int) -> Attempts:
    return {
        "connects": lambda: connect("127.0.0.1", port),
        "connects in a thread": lambda: in_a_thread(lambda: connect("127.0.0.1", port)),
        "connects at another host": lambda: connect("127.0.0.2", port),  # not held: see the docs
        "pairs sockets": socket.socketpair,
        "has an event loop": lambda: __import__("asyncio").run(_nothing()),
        "starts threads": lambda: threading.Thread(target=int).start(),
    }


async def _nothing() -> None:
    pass


def main(port: int, other: int, path: str, folder: Path) -> None:
    wall = confine_process(ports=[port])
    tell(wall, refused=refused(other, path, folder), allowed=allowed(port))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
