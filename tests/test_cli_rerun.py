"""`runs resume`, `replay`, `fork` and `gc`: what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from rlm_local import runtime
from rlm_local.model import ScriptedModel
from rlm_local.options import ModelOptions
from rlm_local.records import Observation, Request, SubCalled
from rlm_local.runs import CHECKPOINTS, EVENTS, PROMPT, RunStore
from tests.fakes import FakeRepl, Run, cell
from tests.test_resume import Death, Killed

TURNS = [
    cell("x = len(context)\nprint(x)"),
    cell("said = llm_query('say it')\nprint(said)"),
    cell("FINAL(f'{question} {x} {said}')"),
]


@pytest.fixture(autouse=True)
def asked(folders: None, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the model was asked."""
    requests: list[Request] = []

    def turn(request: Request) -> str:
        requests.append(request)
        return TURNS[request.turn - 1]

    def sub_call(request: Request) -> str:
        requests.append(request)
        return "said"

    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(turn, sub_call))
    return requests


@pytest.fixture
def killed(run: Run, text: str, capfd: pytest.CaptureFixture[str]) -> str:
    """A run that was killed after its second turn's sub-call."""
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 7, written=True)
        with pytest.raises(Killed):
            run("ask", "how many?", text, "--mode", "rlm")
    capfd.readouterr()
    assert isinstance(RunStore().read(RunStore().ids()[-1]).events[-1], SubCalled)
    return RunStore().ids()[-1]


def test_files_that_were_left_out_are_told_again(run: Run, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("four")
    (folder / "image").write_bytes(bytes(99))
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 7, written=True)
        with pytest.raises(Killed):
            run("ask", "how many?", str(folder), "--mode", "rlm")
    for command in (["resume", "last"], ["fork", "last", "--turn", "1"]):
        code, out, _ = run("runs", *command, "--json")
        assert (code, json.loads(out)["skipped"]) == (0, 1)


def test_resume_prints_all_steps_and_the_answer(killed: str, run: Run, asked: list[Request]):
    asked.clear()
    code, out, err = run("runs", "resume", "last")
    assert (code, out) == (0, "how many? 4 said\n")
    assert err.count("turn 1 ") == err.count("turn 2 ") == err.count("turn 3 ") == 1
    assert [(request.turn, request.call) for request in asked] == [(3, 0)]
    code, out, err = run("runs", "resume", killed)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: run {killed} has ended: answered")
    assert "runs fork" in err


def test_show_says_how_to_go_on(killed: str, run: Run):
    code, out, err = run("runs", "show", killed)
    assert (code, "turn 2 " in out) == (0, True)
    assert err == (
        "the run has no end: it was killed\n"
        f"hint: `rlm-local runs resume {killed}` goes on with it\n"
    )


def test_show_of_an_empty_record_promises_nothing(killed: str, run: Run):
    (RunStore().folder / killed / EVENTS).write_bytes(b"")
    assert run("runs", "show", killed) == (
        0, "", "the run has nothing on record: it was killed at once\n",
    )  # fmt: skip
    assert run("runs", "resume", killed)[0] == 2


def test_resume_says_what_is_left_of_the_time(killed: str, run: Run):
    path = RunStore().folder / killed / EVENTS
    began = json.loads(path.read_bytes().splitlines()[0])["event"]["time"]
    os.utime(path, (began + 400.0,) * 2)
    code, _, err = run("runs", "resume", killed)
    assert code == 0
    assert "turn 3 (left: 3m" in err  # of 10


def test_resume_for_programs(killed: str, run: Run):
    code, out, err = run("runs", "resume", killed, "--json")
    made = json.loads(out)
    assert (code, err, made["answer"], made["run_id"]) == (0, "", "how many? 4 said", killed)
    assert made["usage"]["turns"] == 3


def test_resume_with_events_prints_those_that_are_new(killed: str, run: Run):
    code, out, _ = run("runs", "resume", killed, "--events")
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert (code, kinds) == (0, ["ran", "turn", "reply", "ran", "end"])


def test_resume_asks_for_the_window_that_the_run_had(
    killed: str, run: Run, monkeypatch: pytest.MonkeyPatch
):
    """As it fits, it may be another where a GPU has less free than then."""
    loaded: list[int | None] = []

    def load(name: object, *, options: ModelOptions, **_: object) -> ScriptedModel:
        loaded.append(options.context_tokens)
        return ScriptedModel(lambda request: TURNS[request.turn - 1], ["said"])

    monkeypatch.setattr(runtime, "load_model", load)
    assert run("runs", "resume", killed)[0] == 0
    assert loaded == [RunStore().setup(killed).info.context_tokens]


def test_resume_with_other_weights_is_refused(
    killed: str, run: Run, monkeypatch: pytest.MonkeyPatch
):
    """Whatever now lies where the model lay, and with the models that the user has by name."""
    model = ScriptedModel(lambda request: TURNS[request.turn - 1], ["said"])
    model._info = msgspec.structs.replace(model.info, weights="0123456789abcdef and more")
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: model)
    code, out, err = run("runs", "resume", killed)
    assert (code, out) == (2, "")
    assert err.splitlines()[-2:] == [
        f"error: run {killed} was made with other weights of the model scripted: their digest was "
        "unknown, and is 0123456789abcdef",
        "hint: bring the old file back, or `rlm-local runs fork` the run",
    ]
    assert run("runs", "fork", killed, "--turn", "1")[0] == 0


def test_resume_of_a_prompt_that_has_changed(killed: str, run: Run, text: str):
    Path(text).write_text("five!")
    code, out, err = run("runs", "resume", killed)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")  # and none of its steps
    assert "has other content now" in err
    assert "hint: " in err


@pytest.mark.parametrize("command", ["resume", "replay"])
def test_a_prompt_that_is_gone(killed: str, command: str, run: Run, text: str):
    Path(text).unlink()
    code, out, err = run("runs", command, killed)
    assert (code, out) == (2, "")
    assert err.splitlines()[-2] == (
        f"error: the prompt of run {killed} is gone: there is no {Path(text).absolute()}"
    )
    assert err.splitlines()[-1].startswith("hint: bring it back")


def test_replay_says_that_all_is_equal(run: Run, text: str, asked: list[Request]):
    run("ask", "how many?", text, "--mode", "rlm")
    asked.clear()
    code, out, _ = run("runs", "replay", "last")
    assert code == 0
    assert out.startswith("3 cells and 12 events of run ")
    assert out.endswith("compared: all equal\n")
    assert not asked
    code, out, _ = run("runs", "replay", "last", "--json")
    assert json.loads(out)["equal"] is True


def test_replay_names_what_differs(run: Run, text: str, monkeypatch: pytest.MonkeyPatch):
    run("ask", "how many?", text, "--mode", "rlm")
    real = FakeRepl.execute

    def execute(repl: FakeRepl, code: str, **limits: float) -> Observation:
        return real(repl, code.replace("len(context)", "5"), **limits)

    monkeypatch.setattr(FakeRepl, "execute", execute)
    code, out, err = run("runs", "replay", "last")
    assert code == 1
    assert "error: turn 1 of node 0: stdout was '4\\n' and is '5\\n'" in err
    assert "differ" in out


def test_fork_asks_anew_from_a_turn_on(run: Run, text: str, asked: list[Request]):
    run("ask", "how many?", text, "--mode", "rlm")
    asked.clear()
    code, out, err = run("runs", "fork", "last", "--turn", "2", "--question", "and now?")
    assert (code, out) == (0, "and now? 4 said\n")
    assert [request.turn for request in asked] == [3]
    assert "turn 1 " in err
    assert len(RunStore().ids()) == 2
    code, out, _ = run("runs", "fork", "last", "--turn", "1", "--turns", "2", "--quiet")
    assert code == 3
    for turn in ("9", "-1"):
        code, _, err = run("runs", "fork", "last", "--turn", turn)
        assert code == 2
        assert f"there is no turn {turn}" in err
    code, _, err = run("runs", "fork", "last", "--turn", "1", "--question", " ")
    assert code == 2
    assert "the question is empty" in err


@pytest.mark.parametrize(
    ("changed", "kept"), [(["--lora", "style.gguf"], True), (["--model", "other.gguf"], False)]
)
def test_what_was_set_for_a_model_stays_with_it(
    changed: list[str], kept: bool, run: Run, text: str, monkeypatch: pytest.MonkeyPatch
):
    """An adapter does not make another model of it, for which window and draft would be others."""
    loaded: list[tuple[object, object]] = []

    def load(name: object, *, options: ModelOptions, draft: object, **_: object) -> ScriptedModel:
        loaded.append((options.context_tokens, draft))
        return ScriptedModel(lambda request: TURNS[request.turn - 1], ["said"])

    monkeypatch.setattr(runtime, "load_model", load)
    draft = Path(text).with_name("draft.gguf")
    draft.touch()
    given = ("--context-tokens", "4000", "--draft-model", str(draft))
    assert run("ask", "how many?", text, "--mode", "rlm", *given)[0] == 0
    assert run("runs", "fork", "last", "--turn", "1", *changed)[0] == 0
    assert loaded == [(4000, str(draft)), (4000, str(draft)) if kept else (None, None)]


def test_gc_removes_what_only_serves_to_go_on(killed: str, run: Run, text: str):
    run("ask", "how many?", text, "--mode", "rlm")
    ended = RunStore().ids()[-1]
    for run_id in (killed, ended):
        for name in (CHECKPOINTS, PROMPT):
            folder = RunStore().folder / run_id / name
            folder.mkdir()
            (folder / "file").write_bytes(bytes(1000))
    code, out, err = run("runs", "gc")
    assert code == 0
    assert out.split()[0] == ended
    assert err.endswith(" of 1 run\n")
    assert run("runs", "resume", killed, "--quiet")[:2] == (0, "how many? 4 said\n")
    (RunStore().folder / ended / CHECKPOINTS).mkdir()
    code, out, _ = run("runs", "gc", "--json")
    assert (code, json.loads(out)) == (0, {killed: 1000})  # its prompt, which was small


def test_gc_of_all_takes_broken_off_runs_too(killed: str, run: Run):
    folder = RunStore().folder / killed / CHECKPOINTS
    folder.mkdir()
    (folder / "file").write_bytes(bytes(1000))
    assert run("runs", "gc", "--all")[1].split()[0] == killed
    assert not folder.exists()
    assert run("runs", "resume", killed)[0] == 0  # its cells run again
