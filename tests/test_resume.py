"""A run that dies, at any moment and in any way, goes on as if nothing had been."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rlm_local import eventfile, rerun
from rlm_local.errors import RunError, WindowError
from rlm_local.eventfile import RunWriter
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.past import Past, key_of
from rlm_local.records import (
    Answer,
    CallRaised,
    Event,
    NodeEnded,
    Ran,
    Replied,
    Request,
    Resumed,
    RunEnded,
    StopReason,
    SubCalled,
)
from rlm_local.runs import CHECKPOINTS, EVENTS, PROMPT, SETUP, RunState, RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from tests import durable
from tests.test_limits import completion


class Killed(BaseException):
    """The process is gone: from here on it writes nothing."""


class Death:
    """Kills a run at its event number `after`: before it is written, or once it is."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int, *, written: bool) -> None:
        self._left = after
        self._real = RunWriter.append
        death = self

        def append(writer: RunWriter, event: Event) -> None:
            death._left -= 1
            if death._left < 0 or (death._left == 0 and not written):
                raise Killed
            death._real(writer, event)
            if death._left == 0:
                raise Killed

        patch.setattr(RunWriter, "append", append)


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text(durable.TEXT)
    return path


class Whole:
    """The run as it is when nothing happens to it."""

    def __init__(self, answer: Answer, events: tuple[Event, ...], paid: list[str]) -> None:
        self.answer = answer
        self.events = events
        self.paid = sorted(paid)


@pytest.fixture(scope="module")
def whole(sandbox: WasmSandbox, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "lines.txt").write_text(durable.TEXT)
    paid: list[str] = []
    store = RunStore(folder / "runs")
    answer = durable.ask(
        store, folder / "lines.txt", sandbox, model=durable.AccountingModel(paid.append)
    )
    assert answer.complete, answer
    return Whole(answer, store.read(answer.run_id).events, paid)


Kill = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def kill(store: RunStore, prompt: Path, sandbox: WasmSandbox) -> Kill:
    """Kills a run at an event: its id, and what it had paid for."""

    def kill(after: int, *, written: bool) -> tuple[str, list[str]]:
        paid: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            Death(patch, after, written=written)
            with pytest.raises(Killed):
                durable.ask(store, prompt, sandbox, model=durable.AccountingModel(paid.append))
        return store.ids()[-1], paid

    return kill


def on_record(events: tuple[Event, ...]) -> set[str]:
    """What the record says was paid for, as the model writes it down."""
    paid = set()
    for event in events:
        if isinstance(event, Replied):
            paid.add(f"turn {event.node} {event.turn}")
        elif isinstance(event, SubCalled):
            paid.update(f"call {event.node} {event.call} {prompt}" for prompt in event.prompts)
    return paid


def check_resumed(
    store: RunStore, run_id: str, whole: Whole, sandbox: WasmSandbox | None, times: int = 1
) -> Answer:
    """Resume, and hold what comes of it against the run that nothing happened to."""
    before = store.read(run_id).events
    paid: list[str] = []
    answer = durable.resume(store, run_id, sandbox, model=durable.AccountingModel(paid.append))
    check_same(store, run_id, answer, whole, times)
    assert not on_record(before) & set(paid), "what was on record is paid for again"
    return answer


def check_same(store: RunStore, run_id: str, answer: Answer, whole: Whole, times: int = 1) -> None:
    assert (answer.text, answer.stop) == (whole.answer.text, whole.answer.stop)
    assert untimed(answer) == untimed(whole.answer)
    events = store.read(run_id).events
    done = [event for event in events if not isinstance(event, Resumed)]
    assert len(events) - len(done) == times
    keys = [key_of(event) for event in done]
    assert len(keys) == len(set(keys)), "something is on record twice"
    assert set(keys) == {key_of(event) for event in whole.events}
    assert on_record(tuple(done)) == on_record(whole.events)
    assert not (store.folder / run_id / CHECKPOINTS).exists()


def untimed(answer: Answer) -> object:
    return msgspec.structs.replace(answer.usage, seconds=0.0)


EVENTS_IN_ALL = 102
MOMENTS = [(after, written) for after in range(2, EVENTS_IN_ALL) for written in (False, True)]


@pytest.mark.parametrize(("after", "written"), random.Random(1).sample(MOMENTS, 8))
def test_a_run_that_is_killed_goes_on(
    after: int, written: bool, kill: Kill, whole: Whole, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(after, written=written)
    assert store.read(run_id).state is RunState.BROKEN_OFF
    check_resumed(store, run_id, whole, sandbox)


@pytest.mark.slow
@pytest.mark.parametrize(("after", "written"), MOMENTS)
def test_a_run_that_is_killed_at_any_event_goes_on(
    after: int, written: bool, kill: Kill, whole: Whole, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(after, written=written)
    check_resumed(store, run_id, whole, sandbox)


def test_the_events_are_as_many_as_the_tests_assume(whole: Whole):
    assert len(whole.events) == EVENTS_IN_ALL


def test_a_run_may_be_killed_again_and_again(
    kill: Kill, whole: Whole, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(9, written=True)
    for times, after in enumerate((8, 23, 31), 1):
        with pytest.MonkeyPatch.context() as patch:
            Death(patch, after, written=times % 2 == 0)
            with pytest.raises(Killed):
                durable.resume(store, run_id, sandbox)
    check_resumed(store, run_id, whole, sandbox, times=4)
    used = [e.used_seconds for e in store.read(run_id).events if isinstance(e, Resumed)]
    assert used == sorted(used)


def test_no_cell_before_the_checkpoint_runs_again(
    kill: Kill,
    whole: Whole,
    store: RunStore,
    sandbox: WasmSandbox,
    monkeypatch: pytest.MonkeyPatch,
):
    at = [key_of(event) for event in whole.events].index((Ran, "0", 6)) + 1
    run_id, _ = kill(at, written=True)
    cells: list[str] = []
    from rlm_local.wasm.repl import WasmRepl

    real = WasmRepl.execute
    monkeypatch.setattr(
        WasmRepl,
        "execute",
        lambda repl, code, **limits: (cells.append(code), real(repl, code, **limits))[1],
    )
    check_resumed(store, run_id, whole, sandbox)
    # Killed before the checkpoint of turn 6 was written: it is turn 5's.
    run = [cell.strip() for cell in cells if "compile(" not in cell]  # a check runs nothing
    assert run == durable.ROOT_CELLS[5:]


# ------------------------------------------------------------------ what a crash leaves


def lose_unsynced(folder: Path, synced: dict[str, bytes], chance: random.Random) -> None:
    """What a power cut may leave: of each file no more than was synced is certain."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        kept = synced.get(str(path))
        now = path.read_bytes()
        if kept is not None:
            garbage = now[len(kept) :]
            path.write_bytes(kept + garbage[: chance.randrange(len(garbage) + 1)])
        elif chance.random() < 0.3:
            path.unlink()
        else:
            pages = bytearray(now)
            for start in range(0, len(pages), 4096):
                if chance.random() < 0.5:
                    pages[start : start + 4096] = bytes(len(pages[start : start + 4096]))
            path.write_bytes(pages[: chance.randrange(len(pages) + 1)])


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_loses_what_was_not_synced(
    seed: int,
    kill: Kill,
    whole: Whole,
    store: RunStore,
    sandbox: WasmSandbox,
    monkeypatch: pytest.MonkeyPatch,
):
    synced: dict[str, bytes] = {}
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        path = os.readlink(f"/proc/self/fd/{file}")
        synced[path] = Path(path).read_bytes()

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    chance = random.Random(seed)
    run_id, _ = kill(chance.randrange(5, EVENTS_IN_ALL), written=True)
    folder = store.folder / run_id
    # A line that was being written.
    with (folder / EVENTS).open("ab") as file:
        file.write(b'{"n":999,"crc32":"00000000","event":{"type":"turn"' + bytes(50))
    lose_unsynced(folder, synced, chance)
    check_resumed(store, run_id, whole, sandbox)


@pytest.mark.parametrize("damage", ["none", "empty", "cut", "bit", "other"])
def test_a_damaged_checkpoint_is_passed_over(
    damage: str, kill: Kill, whole: Whole, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(60, written=True)
    paths = sorted((store.folder / run_id / CHECKPOINTS).rglob("*.pages"))
    assert paths
    for path in paths:
        data = bytearray(path.read_bytes())
        match damage:
            case "none":
                path.unlink()
                continue
            case "empty":
                data.clear()
            case "cut":
                del data[-1:]
            case "bit":
                data[len(data) // 2] ^= 4
            case "other":
                data = bytearray(paths[0].read_bytes())
        path.write_bytes(data)
    check_resumed(store, run_id, whole, sandbox)


def test_the_checkpoint_of_another_guest_is_passed_over(
    kill: Kill, whole: Whole, store: RunStore, sandbox: WasmSandbox, monkeypatch: pytest.MonkeyPatch
):
    run_id, _ = kill(60, written=True)
    _, image = sandbox._ready()
    monkeypatch.setattr(image, "identity", "another")
    check_resumed(store, run_id, whole, sandbox)


def test_a_full_disk_for_checkpoints_is_no_harm(
    whole: Whole,
    store: RunStore,
    prompt: Path,
    sandbox: WasmSandbox,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(file: int, buffers: list[memoryview], offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    answer = durable.ask(store, prompt, sandbox)
    assert answer.text == whole.answer.text


@pytest.mark.parametrize("nth", [3, 20, 55])
def test_a_record_that_cannot_be_written_ends_the_run_and_it_can_be_resumed(
    nth: int,
    whole: Whole,
    store: RunStore,
    prompt: Path,
    sandbox: WasmSandbox,
    monkeypatch: pytest.MonkeyPatch,
):
    real, left = eventfile._write_all, [nth]

    def fail(file: int, data: bytes, offset: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            real(file, data[:7], offset)
            raise OSError(28, "No space left on device")
        real(file, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(eventfile, "_write_all", fail)
        answer = durable.ask(store, prompt, sandbox)
    assert answer.stop is StopReason.DISK
    assert "No space left on device" in answer.message
    check_resumed(store, store.ids()[-1], whole, sandbox)


# ------------------------------------------------------------------ what is refused


def test_a_prompt_with_other_content_is_refused(
    kill: Kill, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    run_id, _ = kill(30, written=True)
    prompt.write_text(durable.TEXT.replace("value 7\n", "value 8\n"))
    before = (store.folder / run_id / EVENTS).read_bytes()
    with pytest.raises(RunError, match="has other content now"):
        durable.resume(store, run_id, sandbox)
    assert (store.folder / run_id / EVENTS).read_bytes() == before


def test_a_run_that_takes_another_course_is_refused(
    kill: Kill, store: RunStore, sandbox: WasmSandbox, monkeypatch: pytest.MonkeyPatch
):
    run_id, _ = kill(30, written=True)
    shutil.rmtree(store.folder / run_id / CHECKPOINTS)
    from rlm_local.wasm import preview1

    monkeypatch.setattr(preview1, "START_NS", preview1.START_NS + 10**9)  # as another guest may
    with pytest.raises(RunError, match=r"turn 3 of node 0, stdout was .* and is"):
        durable.resume(store, run_id, sandbox)
    assert not any(isinstance(event, RunEnded) for event in store.read(run_id).events)


def test_an_ended_run_is_not_resumed(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    answer = durable.ask(store, prompt, sandbox)
    with pytest.raises(RunError, match="has ended: answered"):
        durable.resume(store, answer.run_id, sandbox)


def test_another_model_is_refused(kill: Kill, store: RunStore, sandbox: WasmSandbox):
    run_id, _ = kill(5, written=True)
    model = durable.AccountingModel()
    model._info = msgspec.structs.replace(model.info, name="other")
    with pytest.raises(RunError, match="was made with the model scripted, not with other"):
        durable.resume(store, run_id, sandbox, model=model)


def test_a_run_without_setup_or_events_is_refused(
    kill: Kill, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(1, written=True)
    (store.folder / run_id / EVENTS).write_bytes(b"")  # as a power cut leaves it before that
    with pytest.raises(RunError, match="nothing is on record"):
        durable.resume(store, run_id, sandbox)
    run_id, _ = kill(5, written=True)
    (store.folder / run_id / SETUP).write_text("{}")
    with pytest.raises(RunError, match=r"setup\.json is missing or damaged"):
        durable.resume(store, run_id, sandbox)


def test_a_run_that_is_still_running_is_refused(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    refused: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, Ran) and not refused:
            with pytest.raises(RunError, match="is still running") as caught:
                durable.resume(store, store.ids()[-1], sandbox)
            refused.append(str(caught.value))

    assert durable.ask(store, prompt, sandbox, on_event=look).complete
    assert refused


# ------------------------------------------------------------------ ends that are none


def test_an_interrupted_run_goes_on(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, Ran)
        if seen == 3:
            seen += 100
            raise KeyboardInterrupt

    stopped = durable.ask(store, prompt, sandbox, on_event=interrupt)
    assert stopped.stop is StopReason.INTERRUPTED
    assert (store.folder / stopped.run_id / CHECKPOINTS).is_dir()
    # The clock was set, or the machine slept, in the middle of it: that is no time it has used.
    later = time.time() + 2 * durable.LIMITS.wall_seconds
    os.utime(store.folder / stopped.run_id / EVENTS, (later, later))
    assert store.read(stopped.run_id).used_seconds == stopped.usage.seconds
    answer = durable.resume(store, stopped.run_id, sandbox)
    assert (answer.text, untimed(answer)) == (whole.answer.text, untimed(whole.answer))
    ends = [e for e in store.read(stopped.run_id).events if isinstance(e, RunEnded)]
    assert [end.answer.stop for end in ends] == [StopReason.INTERRUPTED, StopReason.ANSWERED]


def test_the_time_that_was_used_counts(kill: Kill, store: RunStore, sandbox: WasmSandbox):
    run_id, _ = kill(30, written=True)
    path = store.folder / run_id / EVENTS
    began = next(iter(store.read(run_id).events)).time  # type: ignore[union-attr]
    os.utime(path, (began, began + 2 * durable.LIMITS.wall_seconds))
    answer = durable.resume(store, run_id, sandbox)
    assert answer.stop is StopReason.WALL_CLOCK
    assert answer.usage.seconds > durable.LIMITS.wall_seconds


def test_a_prompt_from_memory_is_kept_until_the_end(
    whole: Whole, store: RunStore, sandbox: WasmSandbox
):
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 40, written=True)
        runtime = Runtime(
            model=durable.AccountingModel(), sandbox=sandbox, store=store, limits=durable.LIMITS
        )
        with pytest.raises(Killed), runtime:
            runtime.ask(durable.QUESTION, durable.TEXT, mode="rlm", seed=7)
    run_id = store.ids()[-1]
    assert (store.folder / run_id / PROMPT).is_dir()
    check_resumed(store, run_id, whole, sandbox)


@pytest.mark.parametrize("after", [2, 3])
def test_a_run_that_was_asked_directly_goes_on(
    after: int, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    def runtime(paid: list[str]) -> Runtime:
        def reply(request: Request) -> str:
            paid.append(request.node)
            return "42"

        return Runtime(model=ScriptedModel(reply), sandbox=sandbox, store=store)

    with pytest.MonkeyPatch.context() as patch:
        Death(patch, after, written=True)
        with pytest.raises(Killed), runtime([]) as asked:
            asked.ask("how many?", prompt, mode="direct")
    paid: list[str] = []
    with runtime(paid) as resumed:
        assert rerun.resume(resumed, store.ids()[-1]).text == "42"
    assert len(paid) == (1 if after == 2 else 0)


# ------------------------------------------------------------------ replay and fork


def test_a_replay_compares_every_cell(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    answer = durable.ask(store, prompt, sandbox)
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert replay.equal
    assert replay.cells == sum(isinstance(event, Ran) for event in whole.events)
    assert not replay.passed_over


def change(store: RunStore, run_id: str, edit: Callable[[Event], Event]) -> None:
    """Write a run's record anew, with each event as `edit` has it."""
    events = store.read(run_id).events
    path = store.folder / run_id / EVENTS
    path.unlink()
    with RunWriter(run_id, path) as run:
        for event in events:
            run.append(edit(event))


def test_a_replay_finds_what_is_not_equal(store: RunStore, prompt: Path, sandbox: WasmSandbox):
    run_id = durable.ask(store, prompt, sandbox).run_id

    def edit(event: Event) -> Event:
        if isinstance(event, Ran) and (event.node, event.turn) == ("0.1", 1):
            ran = msgspec.structs.replace(event.observation, stdout="825 \n")
            return msgspec.structs.replace(event, observation=ran)
        if isinstance(event, RunEnded):
            answer = msgspec.structs.replace(event.answer, text="4711")
            return msgspec.structs.replace(event, answer=answer)
        return event

    change(store, run_id, edit)
    replay = rerun.replay(store, run_id, sandbox)
    assert [difference.event for difference in replay.differences] == [
        "turn 1 of node 0.1",
        "the run's end",
    ]
    assert "825 " in replay.differences[0].what


def test_a_broken_off_run_is_replayed_as_far_as_it_goes(
    kill: Kill, store: RunStore, sandbox: WasmSandbox
):
    run_id, _ = kill(70, written=True)
    replay = rerun.replay(store, run_id, sandbox)
    assert replay.equal, replay.differences
    assert replay.cells > 5


def test_a_cell_that_the_clock_stopped_is_passed_over(
    store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    class Looping(durable.AccountingModel):
        def _turn(self, request: object) -> str:
            turn = request.turn  # type: ignore[attr-defined]
            cells = ["x = 1\nprint(x)", "while True:\n    x += 1", "FINAL(7)"]
            return f"```repl\n{cells[turn - 1]}\n```\n"

    limits = Limits(cell_seconds=0.2)
    answer = durable.ask(store, prompt, sandbox, model=Looping(), limits=limits)
    assert answer.text == "7"
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert replay.equal, replay.differences
    assert replay.passed_over == ("node 0 from turn 2 on",)


def test_a_dialogue_that_outgrows_the_window_does_so_again(
    store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    class Growing(durable.AccountingModel):
        def _turn(self, request: Request) -> str:
            if request.turn == 4:
                raise WindowError(9_000, 8_000)
            return f"```repl\nprint({request.turn})\n```\n"

    answer = durable.ask(store, prompt, sandbox, model=Growing())
    assert answer.stop is StopReason.WINDOW
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert replay.equal, replay.differences
    assert replay.cells > 1

    def edit(event: Event) -> Event:
        if isinstance(event, RunEnded):
            ended = msgspec.structs.replace(event.answer, stop=StopReason.TURNS)
            return msgspec.structs.replace(event, answer=ended)
        return event

    change(store, answer.run_id, edit)
    assert not rerun.replay(store, answer.run_id, sandbox).equal


class Forking(durable.AccountingModel):
    """Goes on otherwise from turn 5 on."""

    def _turn(self, request: object) -> str:
        if request.depth == 0 and request.turn == 5:  # type: ignore[attr-defined]
            self._paid("turn 0 5")
            return "```repl\nFINAL(f'{question} {label} {random.random()}')\n```\n"
        return super()._turn(request)  # type: ignore[arg-type]


def fork(
    store: RunStore, run_id: str, turn: int, sandbox: WasmSandbox, **given: object
) -> tuple[Answer, list[str]]:
    paid: list[str] = []
    with Runtime(model=Forking(paid.append), sandbox=sandbox, store=store) as runtime:
        return rerun.fork(runtime, run_id, turn, **given), paid  # type: ignore[arg-type]


def test_a_fork_goes_on_from_a_turn(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    run_id = durable.ask(store, prompt, sandbox).run_id
    answer, paid = fork(store, run_id, 4, sandbox, question="and now?")
    assert answer.text.startswith("and now? <LABEL LINE 3: VALUE 21> 0.")
    assert paid == ["turn 0 5"]  # nothing before is asked again
    assert answer.run_id != run_id
    assert rerun.replay(store, answer.run_id, sandbox).equal
    assert store.read(run_id).events[-1] == store.read(run_id).events[-1]


def test_a_fork_takes_children_with_it(
    whole: Whole, store: RunStore, prompt: Path, sandbox: WasmSandbox
):
    run_id = durable.ask(store, prompt, sandbox).run_id
    paid: list[str] = []
    model = durable.AccountingModel(paid.append)
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        answer = rerun.fork(runtime, run_id, 5)
    assert (answer.text, untimed(answer)) == (whole.answer.text, untimed(whole.answer))
    assert all(line.split()[1] == "0" or line.split()[1] == "0.4" for line in paid)
    keys = {key_of(event) for event in store.read(answer.run_id).events}
    assert keys == {key_of(event) for event in whole.events}
    assert rerun.replay(store, answer.run_id, sandbox).equal


def test_a_fork_with_other_limits(store: RunStore, prompt: Path, sandbox: WasmSandbox):
    run_id = durable.ask(store, prompt, sandbox).run_id
    limits = msgspec.structs.replace(durable.LIMITS, turns=3)
    answer, _ = fork(store, run_id, 2, sandbox, limits=limits)
    assert answer.stop is StopReason.TURNS
    assert answer.usage.turns == 3


def test_a_fork_of_no_turn_is_refused(store: RunStore, prompt: Path, sandbox: WasmSandbox):
    run_id = durable.ask(store, prompt, sandbox).run_id
    with pytest.raises(RunError, match="has 7 turns that came to their end, so there is no turn 8"):
        fork(store, run_id, 8, sandbox)


# ------------------------------------------------------------------ the ledger


def test_children_that_ended_are_entered_in_the_ledger(whole: Whole):
    from rlm_local.budget import Budget

    past = Past(whole.events)
    budget = Budget(durable.LIMITS)
    past.charge_calls(budget, last_call=1 << 20)
    used = budget.usage()
    assert used.sub_calls == whole.answer.usage.sub_calls
    below = [level for level in whole.answer.usage.by_depth if level.depth > 0]
    assert [level for level in used.by_depth if level.depth > 0] == below
    ended = {e.node: e.usage for e in whole.events if isinstance(e, NodeEnded)}
    child = budget.child("0.1")
    past.charge_node(child)
    assert untimed_usage(child.usage()) == untimed_usage(ended["0.1"])


def test_calls_that_failed_late_are_entered_in_the_ledger():
    """What a batch has cost of which the code was told by an exception."""
    from rlm_local.budget import Budget

    lost = (completion(30, 10, 5), completion(7, 0, 0))
    raised = CallRaised(turn=1, call=1, kind="ValueError", message="", node="0.1", completions=lost)
    past = Past([raised, msgspec.structs.replace(raised, call=2, index=3)])
    for last_call, tokens in ((0, 0), (1, 32), (2, 64)):
        budget = Budget(durable.LIMITS)
        child = budget.child("0.1")
        past.charge_calls(child, last_call=last_call)
        for usage in (child.usage(), budget.usage()):
            assert (usage.work_tokens, usage.call_tokens) == (tokens, tokens)
        assert [level.depth for level in budget.usage().by_depth if level.completion_tokens] == (
            [2] if tokens else []
        )


def untimed_usage(usage: object) -> object:
    return msgspec.structs.replace(usage, seconds=0.0)  # type: ignore[type-var]
