"""When a cell is due, and who wakes the guest then."""

from __future__ import annotations

import threading
import time

import pytest

from rlm_local import controller
from rlm_local.errors import SandboxError
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.prompt import prompt_from_text
from rlm_local.records import StopReason
from rlm_local.wasm import WasmSandbox
from rlm_local.wasm.cell import Cell, Verdict
from rlm_local.wasm.watch import Watch
from tests.fakes import cell

LATER = 1000.0


def test_a_cell_goes_on_until_it_is_due() -> None:
    cell = Cell(time.monotonic() + LATER, LATER)
    assert cell.verdict() is Verdict.GO_ON
    assert not cell.interrupted


def test_a_cell_is_interrupted_once_and_then_stopped() -> None:
    cell = Cell(time.monotonic() + LATER, 0.01)
    time.sleep(0.02)
    assert cell.verdict() is Verdict.INTERRUPT
    assert cell.interrupted
    assert cell.verdict() is Verdict.GO_ON  # its grace
    time.sleep(Cell.GRACE_SECONDS)
    assert cell.verdict() is Verdict.STOP
    assert cell.stopped_because == (
        "it ran for 0.01 s, which is the limit of a cell, and it went on after a KeyboardInterrupt"
    )


def test_host_time_puts_off_the_limit_of_a_cell_but_not_the_deadline() -> None:
    now = time.monotonic()
    cell = Cell(now + 3, 1)
    cell.host_seconds = 1.5
    assert 2.4 < cell.due - now < 2.6
    cell.host_seconds = 50
    assert 2.9 < cell.due - now < 3.1


def test_a_killed_cell_is_stopped_at_once() -> None:
    cell = Cell(time.monotonic() + LATER, LATER)
    cell.kill()
    assert cell.verdict() is Verdict.STOP


class Bell:
    """Counts its rings."""

    def __init__(self) -> None:
        self.rung = threading.Semaphore(0)
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(time.monotonic())
        self.rung.release()


def test_the_watch_rings_at_the_time_asked_for() -> None:
    bell = Bell()
    watch = Watch(bell)
    when = time.monotonic() + 0.1
    watch.arm(1, when)
    assert bell.rung.acquire(timeout=2)
    assert bell.times[0] >= when
    watch.close()


def test_an_earlier_time_wakes_the_watch() -> None:
    bell = Bell()
    watch = Watch(bell)
    watch.arm(1, time.monotonic() + LATER)
    watch.arm(2, time.monotonic() + 0.05)
    assert bell.rung.acquire(timeout=2)
    watch.close()


def test_a_disarmed_time_does_not_ring() -> None:
    bell = Bell()
    watch = Watch(bell)
    watch.arm(1, time.monotonic() + 0.1)
    watch.disarm(1)
    assert not bell.rung.acquire(timeout=0.3)


def test_the_watch_s_thread_ends_when_there_is_nothing_to_watch() -> None:
    before = set(threading.enumerate())
    bell = Bell()
    watch = Watch(bell)
    watch.arm(1, time.monotonic() + LATER)
    (thread,) = set(threading.enumerate()) - before
    watch.close()
    thread.join(timeout=2)
    assert not thread.is_alive()
    watch.arm(1, time.monotonic() + 0.01)  # and it starts again
    assert bell.rung.acquire(timeout=2)


def test_a_watch_whose_thread_could_not_start_watches_the_next_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = threading.Event()
    watch = Watch(moved.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(SandboxError, match="needs another thread: can't start new thread"):
            watch.arm(1, time.monotonic())
    watch.arm(2, time.monotonic() + 0.01)
    assert moved.wait(30)


def test_a_system_without_threads_ends_the_run_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = [cell("print('so far')"), cell("rlm_query('q', 'x')")]
    real = threading.Thread.start
    guests: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if thread.name == "guest":
            if guests:  # the root's is there
                no_thread(thread)
            guests.append(thread)
        real(thread)

    with WasmSandbox() as sandbox, prompt_from_text("text") as prompt:
        sandbox.prepare()
        monkeypatch.setattr(threading.Thread, "start", start)
        answer = controller.answer(
            "question",
            prompt,
            model=ScriptedModel(turns),
            sandbox=sandbox,
            limits=Limits(depth=2),
            run_id="r",
            mode="rlm",
            record=lambda event: None,
        )
    assert (answer.stop, answer.text) == (StopReason.SANDBOX, "so far")
    assert "ulimit -u" in answer.message


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
