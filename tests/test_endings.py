"""However a run ends: what was found is printed, and what can be gone on with says so."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_local import cli, eventfile, runtime
from rlm_local.model import ScriptedModel
from rlm_local.records import Event, Request, RunEnded, StopReason
from rlm_local.runs import RunState, RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from tests.fakes import FakeSandbox, cell

Run = Callable[..., tuple[int, str, str]]
Script = Callable[..., None]
#: Events of a run of two turns: its start, three for each turn, its end.
TURNS = (cell("print('so far')"), cell("FINAL(len(context))"))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(runtime, "start_sandbox", lambda notice: FakeSandbox())


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "a.txt"
    path.write_text("four")
    return str(path)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    def set_turns(*turns: str) -> None:
        monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(turns))

    return set_turns


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        return (code, *capfd.readouterr())

    return invoke


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
