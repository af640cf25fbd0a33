"""The worker that takes the place of a dead one: nobody waits for it longer than they may."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlm_local.errors import ModelError, WorkerDied
from rlm_local.llama import LlamaModel
from rlm_local.llama.process import WorkerProcess
from tests.llama.conftest import MEMORY
from tests.llama.test_model import SOON, ask, complete, gone


class Held:
    """A model whose worker has died, and whose next one is not loaded before `go`."""

    def __init__(self, model: LlamaModel) -> None:
        self.model = model
        self.go = threading.Event()
        self.loads = 0
        self._load = model._workers._load
        model._workers._load = self._later
        os.kill(model.pid, signal.SIGKILL)
        assert gone(model.pid, reaped=False)

    def _later(self, born: Callable[[WorkerProcess], None]) -> WorkerProcess:
        self.loads += 1
        assert self.go.wait(60)
        return self._load(born)


@pytest.fixture
def held(own_model: LlamaModel) -> Iterator[Held]:
    held = Held(own_model)
    yield held
    held.go.set()


def test_a_deadline_is_kept_while_the_model_is_loaded_again(held: Held) -> None:
    began = time.monotonic()
    replies = complete(held.model, ask("x"), ask("y"), seconds=0.5)
    assert time.monotonic() - began < SOON
    assert [(one.finish, one.text, one.work_tokens) for one in replies] == [("deadline", "", 0)] * 2
    held.go.set()
    assert complete(held.model, ask("x"))[0].completion_tokens > 0
    assert held.loads == 1


def test_a_cancelled_call_does_not_wait_for_the_model(held: Held) -> None:
    with ThreadPoolExecutor(2) as pool:
        ended = pool.submit(complete, held.model, ask("x", node="0.1"))
        other = pool.submit(complete, held.model, ask("x", node="0.2"))
        until = time.monotonic() + SOON
        while not held.loads and time.monotonic() < until:
            time.sleep(0.01)
        held.model.cancel("0.1")
        assert ended.result(SOON)[0].finish == "deadline"
        assert not other.done()
        held.go.set()
        assert other.result(SOON)[0].completion_tokens > 0


def test_a_model_that_is_closed_while_it_is_loaded_again(tiny_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        born: list[WorkerProcess] = []
        load = model._workers._load

        def stopped(tell: Callable[[WorkerProcess], None]) -> WorkerProcess:
            def told(worker: WorkerProcess) -> None:
                os.kill(worker.pid, signal.SIGSTOP)  # it would load for ever
                tell(worker)
                born.append(worker)

            return load(told)

        model._workers._load = stopped
        os.kill(model.pid, signal.SIGKILL)
        call = pool.submit(complete, model, ask("x"), seconds=600)
        until = time.monotonic() + SOON
        while not born and time.monotonic() < until:
            time.sleep(0.01)
        began = time.monotonic()
        model.close()
        assert time.monotonic() - began < SOON
        assert gone(born[0].pid)
        with pytest.raises(ModelError, match="was closed"):
            call.result(SOON)


def test_what_keeps_the_model_from_being_loaded_again_is_told(own_model: LlamaModel) -> None:
    def fails(_: Callable[[WorkerProcess], None]) -> WorkerProcess:
        raise ModelError("the file is gone")

    own_model._workers._load = fails
    os.kill(own_model.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ModelError, match="the file is gone"):
            complete(own_model, ask("x"))


@pytest.mark.parametrize("seconds", [0.0, 600.0])
def test_a_worker_dies_once_in_so_long(
    own_model: LlamaModel, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A model that serves many runs is not dead for good after two accidents."""
    monkeypatch.setattr("rlm_local.llama.succession.RESTART_SECONDS", seconds)
    os.kill(own_model.pid, signal.SIGKILL)
    assert complete(own_model, ask("x"))[0].text
    os.kill(own_model.pid, signal.SIGKILL)
    if seconds:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            complete(own_model, ask("x"))
        monkeypatch.setattr("rlm_local.llama.succession.RESTART_SECONDS", 0.0)
    assert complete(own_model, ask("x"))[0].text
