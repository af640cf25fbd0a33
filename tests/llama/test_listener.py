"""The worker's ear."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from rlm_local.llama import protocol
from rlm_local.llama.listener import Listener
from rlm_local.llama.protocol import Command, Complete, Count


class Engine:
    """Counts how often it was told to stop."""

    def __init__(self) -> None:
        self.aborts = 0

    def abort(self) -> None:
        self.aborts += 1

    def resume(self) -> None:
        pass


@pytest.fixture
def pipe() -> tuple[int, int]:
    """Its ends are left open: a listener whose pipe is closed ends the process."""
    return os.pipe()


def test_a_call_that_is_answered_at_once_has_no_deadline(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread may be faster with it than the listener, and nothing would take the
    deadline back: at that moment the batch of all others would end, for nobody."""
    heard = threading.Event()

    class AnsweredAtOnce:
        def put(self, command: Command) -> None:
            if isinstance(command, Complete):
                listener.answered(command.id)
            else:
                heard.set()

        def empty(self) -> bool:
            return True

    engine = Engine()
    listener = Listener(pipe[0])
    listener.attach(engine)
    monkeypatch.setattr(listener, "_commands", AnsweredAtOnce())
    past = time.monotonic() - 1.0
    protocol.send(pipe[1], Complete(id=1, requests=(), deadline=past, token_limit=1))
    protocol.send(pipe[1], Count(id=2, text=""))
    assert heard.wait(30)
    assert listener.due() == set()
    assert engine.aborts == 0


OUT_OF_MEMORY = """
import os, resource, time
from rlm_local.llama import protocol
from rlm_local.llama.listener import Listener

read, write = os.pipe()
frame = protocol.frame(protocol.Count(id=1, text="x" * (64 << 20)))
held = len(frame)  # it is there already, and will not fit a second time
Listener(read)
resource.setrlimit(resource.RLIMIT_DATA, (held, held))
protocol.write(write, frame)
time.sleep(60)
"""


def test_a_listener_that_cannot_go_on_ends_the_process() -> None:
    """Else it would be deaf: to deadlines, to cancellations, and to the end of its parent."""
    run = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 1
    assert "MemoryError" in run.stderr


STUCK = """
import math, os, sys, time
from rlm_local.llama import protocol
from rlm_local.llama.listener import Listener
from rlm_local.llama.protocol import Cancel, Complete
from rlm_local.llama.watch import Place

class Engine:
    def abort(self): pass
    def resume(self): pass

read, write = os.pipe()
listener = Listener(read)
listener.watch.patience = 0.5
listener.attach(Engine(), refuse=lambda place: print("refused", *place, flush=True))
protocol.send(write, Complete(id=7, requests=(), deadline=math.inf, token_limit=1))
listener.take(wait=True)
listener.due()
def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
exec(sys.argv[1])
print("alive")
"""
STUCK_CASES = {
    "at one request": ("listener.watch.attend(Place(7, 3)); work(60)", 1, "refused 7 3\n"),
    "with an abort": ("protocol.send(write, Cancel(id=7)); work(60)", 1, ""),
    "asleep": ("listener.watch.attend(Place(7, 3)); time.sleep(1)", 0, "alive\n"),
    "tending the cache": (
        "with listener.finishing:\n"
        "    protocol.send(write, Cancel(id=7)); work(1); listener.watch.heed()",
        0,
        "alive\n",
    ),
}


@pytest.mark.parametrize("name", STUCK_CASES)
def test_a_main_thread_that_does_not_come_back_ends_the_process(name: str) -> None:
    does, code, said = STUCK_CASES[name]
    run = subprocess.run(
        [sys.executable, "-c", STUCK, does], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (code, said)
    assert ("did not come back" in run.stderr) == bool(code)
