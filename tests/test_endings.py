"""However a run ends: what was found is printed, and what can be gone on with says so."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from rlm_local import eventfile, runtime
from rlm_local.budget import Budget
from rlm_local.errors import LimitReached
from rlm_local.helpers import Helpers
from rlm_local.journal import Journal, Recorder
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import (
    Answer,
    Event,
    Observation,
    Request,
    RunEnded,
    StopReason,
    TurnStarted,
    Usage,
)
from rlm_local.runs import RunState, RunStore
from rlm_local.runtime import Runtime
from rlm_local.tree import Tree
from rlm_local.wasm import WasmSandbox
from tests.fakes import FakeRepl, FakeSandbox, Run, Script, cell

pytestmark = pytest.mark.usefixtures("folders")

#: Events of a run of two turns: its start, three for each turn, its end.
TURNS = (cell("print('so far')"), cell("FINAL(len(context))"))


def full_after(patch: pytest.MonkeyPatch, events: int) -> None:
    """Let the disk take so many events and no more."""
    real, left = eventfile._write_all, [events]

    def write(file: int, data: bytes, offset: int) -> None:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= data.startswith(b'{"n":')
        real(file, data, offset)

    patch.setattr(eventfile, "_write_all", write)


@pytest.mark.parametrize(("events", "out"), [(2, ""), (3, "so far\n"), (6, "4\n"), (7, "4\n")])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_full_disk_leaves_what_was_found(
    run: Run, script: Script, text: str, events: int, out: str, quiet: bool
):
    ask = ("ask", "q", text, "--mode", "rlm", *(["-q"] if quiet else []))
    script(*TURNS)
    with pytest.MonkeyPatch.context() as patch:
        full_after(patch, events)
        code, printed, err = run(*ask)
    assert (code, printed) == (1, out)
    assert "error: disk: the run record" in err
    assert "cannot be written: No space left on device; free disk space\n" in err
    [run_id] = RunStore().ids()
    assert err.endswith(f"hint: `rlm-local runs resume {run_id}` goes on with it\n")
    assert len(RunStore().read(run_id).events) == events
    script(*(TURNS if events < 6 else ()))  # what is on record is not asked for again
    assert run("runs", "resume", run_id, "-q") == (0, "4\n", "")


def test_a_disk_that_is_full_from_the_start(run: Run, script: Script, text: str):
    script(*TURNS)
    with pytest.MonkeyPatch.context() as patch:
        full_after(patch, 0)
        code, printed, err = run("ask", "q", text, "--mode", "rlm", "-q")
    assert (code, printed) == (1, "")
    assert "No space left on device\nhint: free disk space, or let RLM_LOCAL_DATA name" in err
    assert RunStore().ids() == []


def test_a_disk_that_is_full_for_a_moment_only(run: Run, script: Script, text: str):
    """The end is on record, and the answer that is not: the run can be gone on with."""
    script(*TURNS)
    real, calls = os.fdatasync, []

    def sync(file: int) -> None:
        calls.append(file)
        if len(calls) == 8:  # that of `setup.json` is the first
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", sync)
        assert run("ask", "q", text, "--mode", "rlm", "-q")[:2] == (1, "4\n")
    [run_id] = RunStore().ids()
    record = RunStore().read(run_id)
    last: Event = record.events[-1]
    assert isinstance(last, RunEnded)
    assert (record.state, last.answer.stop) == (RunState.ENDED, StopReason.DISK)
    script()
    assert run("runs", "resume", run_id, "-q") == (0, "4\n", "")


def test_a_cache_that_is_removed_before_the_first_turn(
    run: Run, script: Script, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Removing(FakeSandbox):
        def repl(self, *given: object, **more: object) -> object:  # type: ignore[override]
            made = super().repl(*given, **more)  # type: ignore[arg-type]
            shutil.rmtree(tmp_path / "cache")
            return made

    monkeypatch.setattr(runtime, "start_sandbox", lambda notice: Removing())
    script(*TURNS)
    code, out, err = run("ask", "q", text, "--mode", "rlm", "-q")
    assert (code, out) == (1, "")
    assert "error: disk: the prompt's spool" in err
    assert "cannot be read: No such file or directory" in err
    [run_id] = RunStore().ids()
    last = RunStore().read(run_id).events[-1]
    assert isinstance(last, RunEnded)
    assert last.answer.stop is StopReason.DISK
    monkeypatch.setattr(runtime, "start_sandbox", lambda notice: FakeSandbox())
    assert run("runs", "resume", run_id, "-q") == (0, "4\n", "")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_cache_that_is_removed_between_two_turns_does_no_harm(
    sandbox: WasmSandbox, tmp_path: Path, store: RunStore, turn: int
):
    def write(request: Request) -> str:
        if request.turn == turn:
            shutil.rmtree(tmp_path / "cache")
        return TURNS[request.turn - 1]

    with Runtime(model=ScriptedModel(write), sandbox=sandbox, store=store) as runtime:
        answer = runtime.ask("q", "four", mode="rlm")
    assert (answer.text, answer.stop) == ("4", StopReason.ANSWERED)


# ------------------------------------------------------------------ Ctrl-C, twice


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def interrupted_run(run: Run, text: str) -> RunEnded:
    """Run it; it has printed its partial answer and told of its end."""
    code, out, err = run("ask", "q", text, "--mode", "rlm", "-q")
    assert (code, out) == (130, "so far\n")
    [run_id] = RunStore().ids()
    assert err.endswith(f"hint: `rlm-local runs resume {run_id}` goes on with it\n")
    record = RunStore().read(run_id)
    assert record.state is RunState.ENDED
    last = record.events[-1]
    assert isinstance(last, RunEnded)
    assert last.answer.stop is StopReason.INTERRUPTED
    return last


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Ctrl-C comes while the model takes its second turn."""

    def turn(request: Request) -> str:
        if request.turn == 2:
            raise KeyboardInterrupt
        return TURNS[0]

    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(turn))


@pytest.mark.usefixtures("interrupting")
def test_a_second_ctrl_c_while_the_tree_is_put_away(
    run: Run, text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Helpers, "join", interrupt)
    interrupted_run(run, text)


@pytest.mark.usefixtures("interrupting")
def test_a_second_ctrl_c_while_the_end_is_recorded(
    run: Run, text: str, monkeypatch: pytest.MonkeyPatch
):
    real, left = os.fdatasync, [6]  # setup.json, five events

    def sync(file: int) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise KeyboardInterrupt
        real(file)

    monkeypatch.setattr(os, "fdatasync", sync)
    interrupted_run(run, text)
    assert left == [-2]


def test_a_second_ctrl_c_while_a_cell_is_stopped(
    run: Run, script: Script, text: str, monkeypatch: pytest.MonkeyPatch
):
    class Stubborn(FakeRepl):
        close = interrupt

        def execute(self, code: str, **limits: float) -> Observation:
            if code.startswith("print"):  # else its syntax is checked
                raise KeyboardInterrupt
            return Observation()

        def unfinished(self) -> Observation:
            return Observation(stdout="so far\n")

    sandbox = FakeSandbox()
    sandbox.repl = lambda prompt, *, question, host, functions, **_: Stubborn(  # type: ignore[method-assign]
        prompt, question, host, functions
    )
    monkeypatch.setattr(runtime, "start_sandbox", lambda notice: sandbox)
    script(cell("print('so far')\nwhile True: pass"))
    interrupted_run(run, text)


def tree(record: Recorder = lambda event: None) -> Tree:
    return Tree(
        model=ScriptedModel(),
        sub_model=ScriptedModel(),
        sandbox=FakeSandbox(),
        limits=Limits(),
        journal=Journal(record),
        seed=0,
    )


def test_nothing_is_recorded_after_the_end():
    """By a helper that nobody waited for."""
    recorded: list[Event] = []
    made = tree(recorded.append)
    answer = Answer(text="", stop=StopReason.INTERRUPTED, usage=Usage(), run_id="", model="")
    made.record(TurnStarted(turn=1))
    made.record(RunEnded(time=0.0, answer=answer))
    with pytest.raises(LimitReached, match="was interrupted"):
        made.record(TurnStarted(turn=2))
    assert len(recorded) == 2


def test_ctrl_c_where_work_begins_leaves_nothing_that_looks_busy(
    monkeypatch: pytest.MonkeyPatch,
):
    """Else a timer would look for its end for ever."""

    class Interrupting:
        """A lock in whose release Ctrl-C comes, once."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._left = 1

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt

    started: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: started.append(timer))
    made, budget = tree(), Budget(Limits())
    monkeypatch.setattr(made, "_lock", Interrupting())
    with pytest.raises(KeyboardInterrupt), made.busy(budget):
        pass
    made.close(budget)
    assert started == []
