"""Attempts in a process of their own, with the wall or without.

A test calls `tried`, the module that it names calls `tell` there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlm_local.confine import VARIABLE, Wall, landlock
from rlm_local.confine.kernel import Unavailable

ROOT = Path(__file__).resolve().parents[2]
Attempts = Mapping[str, Callable[[], object]]


def offered() -> int:
    try:
        return landlock.version() if sys.platform == "linux" else 0
    except Unavailable:
        return 0


def tried(module: str, *arguments: object, walled: bool) -> dict[str, Any]:
    """What `module` tells, run with `arguments`: the wall, and what came of each attempt."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env={**os.environ, VARIABLE: "" if walled else "off", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tell(wall: Wall, **groups: Attempts) -> None:
    """Make all attempts; print as JSON what came of them."""
    found = {
        group: {name: outcome(attempt) for name, attempt in attempts.items()}
        for group, attempts in groups.items()
    }
    print(json.dumps({"wall": str(wall), **found}))


def outcome(attempt: Callable[[], object]) -> str:
    """What came of it: "done", or the name of the error."""
    try:
        attempt()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"


def in_a_thread(attempt: Callable[[], object]) -> None:
    """What another thread gets for it."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            attempt()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def in_a_child(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(1, done.stderr.strip()[-300:])
