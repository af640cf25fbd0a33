"""A trial of the wall, in a process of its own since it cannot be taken down again.

    python -m rlm_local.confine.trial FOLDER

confines itself to `FOLDER/inside`, then tries what the wall is for, and prints what
came of it as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from rlm_local.confine import Wall, confine_process
from rlm_local.records import Record

_SECONDS = 30.0


class Trial(Record, frozen=True):
    """`refused` and `allowed` are what the kernel did and did not refuse; `usable` is
    whether the process could still write where it may."""

    wall: Wall
    refused: tuple[str, ...]
    allowed: tuple[str, ...]
    usable: bool


def try_out() -> Trial | None:
    """A trial on this machine; None if its process did not come to an end of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory(prefix="rlm-local-") as folder:
        for name in ("inside", "outside"):
            Path(folder, name).mkdir()
        Path(folder, "outside", "file").write_text("text")
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "rlm_local.confine.trial", folder],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return None
    return msgspec.json.decode(done.stdout, type=Trial)


def _attempts(outside: Path) -> dict[str, Callable[[], object]]:
    return {
        "reading elsewhere": lambda: (outside / "file").read_bytes(),
        "writing elsewhere": lambda: (outside / "file").write_bytes(b""),
        "listing elsewhere": lambda: os.listdir(outside),
        "removing elsewhere": lambda: (outside / "file").unlink(),
        "a socket": lambda: socket.socket().close(),
        "another program": lambda: subprocess.run(["/bin/sh", "-c", ":"], check=True),
    }


def _refuses(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    return False


def main(folder: Path) -> None:
    """Confine this process, try, and print a Trial."""
    inside, outside = folder / "inside", folder / "outside"
    wall = confine_process(writable=[inside])
    refused = {name: _refuses(attempt) for name, attempt in _attempts(outside).items()}
    trial = Trial(
        wall=wall,
        refused=tuple(name for name, was in refused.items() if was),
        allowed=tuple(name for name, was in refused.items() if not was),
        usable=not _refuses(lambda: (inside / "file").write_bytes(b"text")),
    )
    sys.stdout.write(json.dumps(msgspec.to_builtins(trial)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
