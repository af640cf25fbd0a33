"""The worker process, as its parent holds it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rlm_local.errors import WorkerDied
from rlm_local.limits import MIB
from rlm_local.llama.process import WorkerProcess


def children() -> set[str]:
    """The processes that this one has started and not yet buried."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()}


@pytest.mark.parametrize("nth", [1, 2])
def test_a_worker_without_its_threads_leaves_nothing_behind(
    nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (children(), len(os.listdir("/proc/self/fd")), threading.active_count())
    real, left = threading.Thread.start, [nth]

    def start(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(WorkerDied, match="the model needs another thread: can't start new thread"):
        WorkerProcess(memory_bytes=MIB)
    assert (children(), len(os.listdir("/proc/self/fd")), threading.active_count()) == before
