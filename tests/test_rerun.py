"""What a run that is gone through again must find as it was: its prompt, its models."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from rlm_local import rerun
from rlm_local.budget import Budget
from rlm_local.errors import PromptError, RunError
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.paths import cache_folder
from rlm_local.prompt import open_prompt
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    Observation,
    Ran,
    Replied,
    Request,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
)
from rlm_local.runs import CHECKPOINTS, EVENTS, PROMPT, SETUP, RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from rlm_local.wasm.mapping import AllAtOnce
from rlm_local.wasm.repl import WasmRepl
from tests.test_resume import Death, Killed

LINE = "2026-11-26 some service: all is well, 4 of 4 parts answer\n"
#: Of a longer one nobody can look at everything again, each time that it is asked about.
LONG = LINE * ((9 << 20) // len(LINE))


class Cells(ScriptedModel):
    """Takes these turns, at the root and below it, and writes down which it took."""

    def __init__(self, *cells: str) -> None:
        super().__init__(self._turn, lambda request: "told")
        self.taken: list[str] = []
        self._cells = cells

    def _turn(self, request: Request) -> str:
        self.taken.append(f"{request.node} {request.turn}")
        return f"```repl\n{self._cells[request.turn - 1]}\n```\n"


COUNTING = ("print(len(context))", "FINAL(context.count('4 of 4'))")


def killed_run(store: RunStore, sandbox: WasmSandbox, context: Path | str) -> str:
    """The id of a run that was killed when its model had taken the second turn."""

    def kill(event: Event) -> None:
        if isinstance(event, Replied) and event.turn == 2:
            raise Killed

    runtime = Runtime(model=Cells(*COUNTING), sandbox=sandbox, store=store)
    with pytest.raises(Killed), runtime:
        runtime.ask("how many?", context, mode="rlm", on_event=kill)
    return store.ids()[-1]


def resumed(store: RunStore, sandbox: WasmSandbox, run_id: str) -> str:
    """What comes of going on with it."""
    model = Cells(*COUNTING)
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        answer = rerun.resume(runtime, run_id)
    assert model.taken == []
    return answer.text


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log.txt"
    path.write_text(LONG)
    yield path
    path.unlink()


def spoil(path: Path) -> None:
    """Change one digit, where no sample of some thousandths of a text would look."""
    with path.open("r+b") as file:
        file.seek(LONG.index("4 of 4", len(LONG) * 617 // 1000))
        file.write(b"3")


# ------------------------------------------------------------------ the prompt


def test_one_digit_of_a_long_prompt_is_other_content(
    store: RunStore, sandbox: WasmSandbox, log: Path
) -> None:
    run_id = killed_run(store, sandbox, log)
    spoil(log)
    for again in (
        lambda: resumed(store, sandbox, run_id),
        lambda: rerun.replay(store, run_id, sandbox),
        lambda: fork(store, sandbox, run_id, 1),
    ):
        with pytest.raises(RunError, match="has other content now"):
            again()


def fork(store: RunStore, sandbox: WasmSandbox, run_id: str, turn: int, **given: str) -> Cells:
    """Fork a run; the model that went on with it."""
    model = Cells(*COUNTING)
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        rerun.fork(runtime, run_id, turn, question=given.get("question"))
    return model


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


def copy(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def evict(path: Path) -> None:
    for spool in cache_folder("spool").iterdir():
        shutil.rmtree(spool)


@pytest.mark.parametrize("change", [touch, copy, evict])
def test_the_same_text_in_another_file_is_no_other_content(
    change: Callable[[Path], None], store: RunStore, sandbox: WasmSandbox, log: Path
) -> None:
    run_id = killed_run(store, sandbox, log)
    change(log)
    assert resumed(store, sandbox, run_id) == str(LONG.count("4 of 4"))


def test_a_checkpoint_fits_no_prompt_with_another_digit(log: Path, tmp_path: Path) -> None:
    fits = []
    for _ in range(2):
        with open_prompt([log], folder=tmp_path / "spool") as prompt:
            fits.append(AllAtOnce(prompt, 0).identity())
        spoil(log)
    assert fits[0] != fits[1]


def test_a_kept_prompt_that_is_damaged_is_refused(store: RunStore, sandbox: WasmSandbox) -> None:
    run_id = killed_run(store, sandbox, LONG)
    spoil(store.folder / run_id / PROMPT / "text-0")
    with pytest.raises(PromptError, match="is gone or damaged"):
        resumed(store, sandbox, run_id)


def test_a_fork_asks_a_child_again_whose_text_is_another(
    store: RunStore, sandbox: WasmSandbox, tmp_path: Path
) -> None:
    """The text that the root's code makes for it depends on the question, by one letter."""
    (tmp_path / "note.txt").write_text("a note")
    cell = f"""if question.startswith('part'):
    FINAL(len(context))
else:
    FINAL(rlm_query('part', 'x' * 5_310_000 + question[-1] + 'y' * {5 << 20}))"""
    taken: list[list[str]] = []
    with Runtime(model=(model := Cells(cell)), sandbox=sandbox, store=store) as runtime:
        runtime.limits = Limits(depth=2)
        run_id = runtime.ask("all of a", tmp_path / "note.txt", mode="rlm").run_id
        for question in ("all of a", "all of b"):
            model.taken.clear()
            rerun.fork(runtime, run_id, 1, question=question)
            taken.append([*model.taken])
    assert taken == [[], ["0.1 1"]]


def test_a_run_of_an_older_version_is_refused(
    store: RunStore, sandbox: WasmSandbox, log: Path
) -> None:
    """It says of the prompt only what its samples were, and of the model what it was called."""
    run_id = killed_run(store, sandbox, log)
    path = store.folder / run_id / SETUP
    setup = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**setup, "format": 1}))
    with pytest.raises(RunError, match="is of another version of this program"):
        resumed(store, sandbox, run_id)


# ------------------------------------------------------------------ the models


def model_of(name: str = "one", *, weights: str = "", window: int = 9_000) -> ScriptedModel:
    """A model that says what its weights are, as one that is loaded from a file does."""

    def turn(request: Request) -> str:
        cells = ["print(llm_query('a'))", "print(llm_query('b'))", "FINAL(llm_query('a'))"]
        return f"```repl\n{cells[request.turn - 1]}\n```\n"

    model = ScriptedModel(turn, lambda request: f"by {weights}", name=name, context_tokens=window)
    model._info = msgspec.structs.replace(model.info, weights=weights)
    return model


Models = Callable[..., tuple[ScriptedModel, ScriptedModel | None]]


def alone(**other: object) -> tuple[ScriptedModel, ScriptedModel | None]:
    return model_of(**{"weights": "old", **other}), None  # type: ignore[arg-type]


def as_sub_model(**other: object) -> tuple[ScriptedModel, ScriptedModel | None]:
    return model_of("root"), model_of(**{"weights": "old", **other})  # type: ignore[arg-type]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("a note")
    return path


def killed_run_of(store: RunStore, sandbox: WasmSandbox, note: Path, models: Models) -> str:
    """The id of a run with two calls of the sub-model, killed in its third turn."""

    def kill(event: Event) -> None:
        if isinstance(event, TurnStarted) and event.turn == 3:
            raise Killed

    model, sub_model = models()
    runtime = Runtime(model=model, sub_model=sub_model, sandbox=sandbox, store=store)
    with pytest.raises(Killed), runtime:
        runtime.ask("which?", note, mode="rlm", on_event=kill)
    return store.ids()[-1]


@pytest.mark.parametrize("models", [alone, as_sub_model])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"weights": "new"},
            "with other weights of the model one: their digest was old, and is new",
        ),
        (
            {"weights": ""},
            "with other weights of the model one: their digest was old, and is unknown",
        ),
        ({"window": 9_001}, "with a window of 9,000 tokens for the model one, not of 9,001"),
        ({"window": 8_999}, "with a window of 9,000 tokens for the model one, not of 8,999"),
        ({"name": "two"}, "with the model one, not with two"),
    ],
)
def test_a_run_goes_on_only_with_the_weights_and_windows_that_it_had(
    models: Models,
    other: dict[str, object],
    said: str,
    store: RunStore,
    sandbox: WasmSandbox,
    note: Path,
) -> None:
    run_id = killed_run_of(store, sandbox, note, models)
    before = store.read(run_id).events
    model, sub_model = models(**other)
    with (
        Runtime(model=model, sub_model=sub_model, sandbox=sandbox, store=store) as runtime,
        pytest.raises(RunError, match=f"run {run_id} was made {said}") as refused,
    ):
        rerun.resume(runtime, run_id)
    assert "runs fork" in refused.value.hint
    assert store.read(run_id).events == before
    model, sub_model = models()
    with Runtime(model=model, sub_model=sub_model, sandbox=sandbox, store=store) as runtime:
        assert rerun.resume(runtime, run_id).text == "by old"
    asked = (sub_model or model).requests
    assert [request for request in asked if not request.dialogue] == []  # it is known


@pytest.mark.parametrize("models", [alone, as_sub_model])
@pytest.mark.parametrize(
    ("other", "answer"),
    [({}, "by old"), ({"weights": "new"}, "by new"), ({"window": 9_001}, "by old")],
)
def test_a_fork_does_not_know_what_other_weights_have_said(
    models: Models,
    other: dict[str, object],
    answer: str,
    store: RunStore,
    sandbox: WasmSandbox,
    note: Path,
) -> None:
    """Beyond the turns that it takes over: those are the other run's, and on record as such."""
    run_id = killed_run_of(store, sandbox, note, models)
    model, sub_model = models(**other)
    with Runtime(model=model, sub_model=sub_model, sandbox=sandbox, store=store) as runtime:
        forked = rerun.fork(runtime, run_id, 2)
    assert forked.text == answer
    asked = [each for each in (sub_model or model).requests if not each.dialogue]
    assert len(asked) == (1 if other else 0)
    started = store.read(forked.run_id).events[0]
    assert isinstance(started, RunStarted)
    assert started.others_turns == (2 if other else 0)


# ------------------------------------------------------------------ the clock

WORKING = (
    "answer['content'] = 'one'\nx = sum(range(300_000))",
    "answer['content'] = 'two'\nx = sum(range(300_000))",
    "answer['content'] = 'three'\nx = sum(range(300_000))",
    "FINAL('four')",
)
LIMITS = Limits(wall_seconds=300.0)


def killed_late(
    store: RunStore, sandbox: WasmSandbox, note: Path, after: Callable[[Event], bool], used: float
) -> str:
    """The id of a run that was killed after an event, when it had used that much of its time,
    and whose checkpoints are gone."""

    def kill(event: Event) -> None:
        if after(event):
            raise Killed

    runtime = Runtime(model=Cells(*WORKING), sandbox=sandbox, store=store, limits=LIMITS)
    with pytest.raises(Killed), runtime:
        runtime.ask("which?", note, mode="rlm", on_event=kill)
    run_id = store.ids()[-1]
    shutil.rmtree(store.folder / run_id / CHECKPOINTS, ignore_errors=True)
    started = store.read(run_id).events[0]
    assert isinstance(started, RunStarted)
    os.utime(store.folder / run_id / EVENTS, (started.time + used,) * 2)
    assert store.read(run_id).used_seconds == pytest.approx(used, abs=0.01)
    return run_id


def go_on(store: RunStore, sandbox: WasmSandbox, run_id: str) -> Answer:
    with Runtime(model=Cells(*WORKING), sandbox=sandbox, store=store) as runtime:
        return rerun.resume(runtime, run_id)


def slow_cells(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on a cell that works takes so long, by the clock of a budget."""
    real, late = WasmRepl.execute, [0.0]

    def execute(repl: WasmRepl, code: str, *, deadline: float, cell_seconds: float) -> Observation:
        ran = real(repl, code, deadline=deadline, cell_seconds=cell_seconds)
        late[0] += seconds * ("sum(" in code and "compile(" not in code)  # a check runs nothing
        return ran

    def budget(limits: Limits, *, used_seconds: float) -> Budget:
        return Budget(limits, used_seconds=used_seconds, clock=lambda: time.monotonic() + late[0])

    patch.setattr(WasmRepl, "execute", execute)
    patch.setattr("rlm_local.runtime.Budget", budget)


@pytest.mark.parametrize("kind", [Ran, TurnStarted, Replied])
def test_a_run_without_time_left_ends_with_all_that_is_on_record(
    kind: type, store: RunStore, sandbox: WasmSandbox, note: Path
) -> None:
    turn = 3 if kind is Ran else 4
    run_id = killed_late(
        store, sandbox, note, lambda e: isinstance(e, kind) and e.turn == turn, used=301.0
    )
    answer = go_on(store, sandbox, run_id)
    assert (answer.stop, answer.text) == (StopReason.WALL_CLOCK, "three")
    assert answer.usage.seconds >= 301.0
    assert answer.usage.turns in (3, 4)


def test_an_answer_that_is_on_record_is_given_when_no_time_is_left(
    store: RunStore, sandbox: WasmSandbox, note: Path
) -> None:
    run_id = killed_late(
        store, sandbox, note, lambda e: isinstance(e, Ran) and e.turn == 4, used=301.0
    )
    answer = go_on(store, sandbox, run_id)
    assert (answer.stop, answer.text) == (StopReason.ANSWERED, "four")


def test_cells_that_run_again_take_no_time_of_the_run(
    store: RunStore, sandbox: WasmSandbox, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = killed_late(
        store, sandbox, note, lambda e: isinstance(e, Ran) and e.turn == 3, used=200.0
    )
    slow_cells(monkeypatch, 90.0)
    answer = go_on(store, sandbox, run_id)
    assert (answer.stop, answer.text) == (StopReason.ANSWERED, "four")
    assert 200.0 <= answer.usage.seconds < 290.0


def test_a_run_that_was_asked_directly_has_its_reply_when_no_time_is_left(
    store: RunStore, sandbox: WasmSandbox, note: Path
) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, Replied):
            raise Killed

    def model() -> ScriptedModel:
        return ScriptedModel(lambda request: "a reply")

    with (
        pytest.raises(Killed),
        Runtime(model=model(), sandbox=sandbox, store=store, limits=LIMITS) as runtime,
    ):
        runtime.ask("which?", note, mode="direct", on_event=kill)
    run_id = store.ids()[-1]
    path = store.folder / run_id / EVENTS
    os.utime(path, (path.stat().st_mtime + 301.0,) * 2)
    with Runtime(model=model(), sandbox=sandbox, store=store) as runtime:
        answer = rerun.resume(runtime, run_id)
    assert (answer.stop, answer.text) == (StopReason.ANSWERED, "a reply")


def test_what_the_code_went_on_beside_does_not_end_a_run_that_is_behind(
    store: RunStore, sandbox: WasmSandbox, note: Path
) -> None:
    """It is asked for again before the root is where it was, with no time left."""
    over = threading.Event()

    class Submitting(Cells):
        def _complete(self, request: Request) -> Completion:
            if not request.dialogue:
                over.wait(60)
            return super()._complete(request)

        def cancel(self, node: str = "") -> None:
            super().cancel(node)
            over.set()

    cells = ("aside = submit('aside')\n" + WORKING[0], *WORKING[1:])
    runtime = Runtime(model=Submitting(*cells), sandbox=sandbox, store=store, limits=LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 11, written=True)
        with pytest.raises(Killed), runtime:
            runtime.ask("which?", note, mode="rlm")
    run_id = store.ids()[-1]
    *_, last = events = store.read(run_id).events
    assert isinstance(last, Ran)
    assert last.turn == 3
    assert not any(isinstance(event, SubCalled) for event in events)
    path = store.folder / run_id / EVENTS
    os.utime(path, (path.stat().st_mtime + 301.0,) * 2)
    with Runtime(model=Cells(*cells), sandbox=sandbox, store=store) as runtime:
        answer = rerun.resume(runtime, run_id)
    assert (answer.stop, answer.text) == (StopReason.WALL_CLOCK, "three")


def test_the_time_of_a_fork_runs_from_its_beginning(
    store: RunStore, sandbox: WasmSandbox, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells run anew, and are work of its own."""
    run_id = killed_late(
        store, sandbox, note, lambda e: isinstance(e, Ran) and e.turn == 3, used=299.0
    )
    slow_cells(monkeypatch, 200.0)
    with Runtime(model=Cells(*WORKING), sandbox=sandbox, store=store) as runtime:
        answer = rerun.fork(runtime, run_id, 3)
    assert (answer.stop, answer.text) == (StopReason.WALL_CLOCK, "two")
