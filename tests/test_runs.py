"""The run record: what is written comes back, whatever happens to the disk or the process."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local import jsontext
from rlm_local.errors import DiskError, RunError
from rlm_local.eventfile import RunWriter
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    GuestError,
    Observation,
    Ran,
    Replied,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
    Usage,
)
from rlm_local.runs import CHECKPOINTS, EVENTS, PROMPT, RunRecord, RunState, RunStore

ANY_TEXT = st.text(st.characters(), max_size=40)  # lone surrogates and control codes included


def started(run_id: str = "r") -> RunStarted:
    return RunStarted(
        run_id=run_id,
        time=1.0,
        question="who?",
        model="m",
        mode="rlm",
        prompt={"chars": 10},
        limits={"turns": 3},
    )


def ended(run_id: str = "r", text: str = "done") -> RunEnded:
    answer = Answer(text=text, stop=StopReason.ANSWERED, usage=Usage(), run_id=run_id, model="m")
    return RunEnded(time=2.0, answer=answer)


def completion(text: str) -> Completion:
    return Completion(
        text=text, finish="stop", prompt_tokens=3, cached_tokens=1, completion_tokens=2, seconds=0.5
    )


EVENTS_OF_ANY_KIND = st.one_of(
    st.builds(TurnStarted, turn=st.integers(1, 99)),
    st.builds(
        Replied,
        turn=st.integers(1, 99),
        text=ANY_TEXT,
        code=ANY_TEXT,
        completion=st.builds(completion, ANY_TEXT),
    ),
    st.builds(
        SubCalled,
        turn=st.integers(1, 99),
        prompts=st.lists(ANY_TEXT, max_size=3).map(tuple),
        replies=st.lists(ANY_TEXT, max_size=3).map(tuple),
        completions=st.lists(st.builds(completion, ANY_TEXT), max_size=3).map(tuple),
        seconds=st.floats(0, 1e6),
    ),
    st.builds(
        Ran,
        turn=st.integers(1, 99),
        observation=st.builds(
            Observation,
            stdout=ANY_TEXT,
            value=st.none() | ANY_TEXT,
            error=st.none()
            | st.builds(GuestError, type=ANY_TEXT, message=ANY_TEXT, traceback=ANY_TEXT),
        ),
        shown=ANY_TEXT,
        turn_seconds=st.floats(0, 1e6),
        model_seconds=st.floats(0, 1e6),
        overhead_seconds=st.floats(0, 1e6),
    ),
    st.builds(ended, run_id=st.just("r"), text=ANY_TEXT),
)


def write(store: RunStore, events: list[Event]) -> str:
    with store.new() as run:
        for event in events:
            run.append(event)
    return run.run_id


@given(st.lists(EVENTS_OF_ANY_KIND, max_size=6))
def test_what_is_appended_is_read(tmp_path_factory: pytest.TempPathFactory, events: list[Event]):
    store = RunStore(tmp_path_factory.mktemp("runs"))
    record = store.read(write(store, events))
    assert list(record.events) == events
    assert not record.torn


@given(ANY_TEXT)
def test_json_text_is_one_line_and_lossless(text: str):
    data = jsontext.encode({"text": text})
    assert b"\n" not in data
    assert jsontext.decode(data, dict) == {"text": text}


def test_an_event_is_on_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    store = RunStore(tmp_path)
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))
    with store.new() as run:
        run.append(started())
        run.append(TurnStarted(turn=1))
        lines = run.path.read_bytes().splitlines(keepends=True)
    assert synced == [len(lines[0]), len(lines[0]) + len(lines[1])]


def test_a_killed_process_leaves_all_it_appended(tmp_path: Path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from rlm_local.records import TurnStarted\n"
        "from rlm_local.runs import RunStore\n"
        "run = RunStore(Path(sys.argv[1])).new()\n"
        "for turn in range(1, 4): run.append(TurnStarted(turn=turn))\n"
        "print(run.run_id, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        run_id = process.stdout.readline().strip()
        store = RunStore(tmp_path)
        assert store.read(run_id).state is RunState.RUNNING
        assert store.summary(run_id).state is RunState.RUNNING
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    record = store.read(run_id)
    assert [event.turn for event in record.events if isinstance(event, TurnStarted)] == [1, 2, 3]
    assert record.state is RunState.BROKEN_OFF


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_torn_last_line_is_passed_over(tmp_path: Path, cut: int):
    store = RunStore(tmp_path)
    run_id = write(store, [started(), TurnStarted(turn=1)])
    path = tmp_path / run_id / EVENTS
    path.write_bytes(path.read_bytes()[:-cut])
    record = store.read(run_id)
    assert record.events == (started(),)
    assert record.torn
    assert record.state is RunState.BROKEN_OFF


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"turn":1', b'"turn":7', "checksum"),
        (b'"n":2', b'"n":3', "its number is 3"),
        (b'"crc32"', b'"crc99"', "not a line of a run record"),
    ],
)
def test_damage_names_file_and_line(tmp_path: Path, old: bytes, new: bytes, reason: str):
    store = RunStore(tmp_path)
    run_id = write(store, [started(), TurnStarted(turn=1), ended()])
    path = tmp_path / run_id / EVENTS
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(old, new) + third)
    with pytest.raises(RunError, match=reason) as caught:
        store.read(run_id)
    assert f"{path}, line 2" in str(caught.value)


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
):
    store = RunStore(tmp_path_factory.mktemp("runs"))
    events = [started(), TurnStarted(turn=1), ended()]
    path = store.folder / write(store, events) / EVENTS
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        record = store.read(path.parent.name)
    except RunError:
        return
    # Only the last newline can be lost without damage: then that line counts as torn.
    assert record.torn
    assert list(record.events) == events[:-1]


def test_a_full_disk_is_a_clear_error_and_the_record_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = RunStore(tmp_path)
    real = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        real(file, bytes(data)[:5], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.new() as run:
        run.append(started())
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(DiskError, match="No space left on device") as caught:
            run.append(TurnStarted(turn=1))
        # Not with another RLM_LOCAL_DATA: there the run could not be gone on with.
        assert caught.value.hint == "free disk space"
        monkeypatch.undo()
        run.append(ended())
    assert store.read(run.run_id).events == (started(), ended())


def test_an_interrupted_append_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = RunStore(tmp_path)

    def interrupt(file: int) -> None:
        raise KeyboardInterrupt

    with store.new() as run:
        run.append(started())
        monkeypatch.setattr(os, "fdatasync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.append(ended(text="a long text " * 100))
        monkeypatch.undo()
        run.append(ended())
    assert store.read(run.run_id).events == (started(), ended())


def test_appends_from_many_threads_keep_their_order_numbers(tmp_path: Path):
    store = RunStore(tmp_path)
    with store.new() as run:
        threads = [
            threading.Thread(target=lambda n=n: [run.append(TurnStarted(turn=n))] * 5)
            for n in range(1, 9)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = store.read(run.run_id).events
    assert sorted(event.turn for event in events if isinstance(event, TurnStarted)) == [
        *range(1, 9)
    ]


def test_a_closed_record_takes_no_more(tmp_path: Path):
    run = RunStore(tmp_path).new()
    run.close()
    run.close()
    with pytest.raises(RunError, match="closed"):
        run.append(started())


def test_ids_sort_by_time_and_differ(tmp_path: Path):
    many = RunStore(tmp_path / "many")  # which draws again where two of a millisecond are alike
    for _ in range(50):
        many.new().close()
    assert len(many.ids()) == 50
    store = RunStore(tmp_path / "few")
    made = [write(store, [started()]) for _ in range(3)]
    assert [run_id[:19] for run_id in made] == sorted(run_id[:19] for run_id in made)
    assert store.ids() == sorted(made)


def test_summaries_read_the_ends(tmp_path: Path):
    store = RunStore(tmp_path)
    long_answer = ended(text="x" * 300_000)
    write(store, [started(), TurnStarted(turn=1), long_answer])
    [summary] = store.summaries()
    assert summary.started == started()
    assert summary.ended == long_answer
    assert summary.state is RunState.ENDED


def test_a_run_without_end_or_without_file_is_listed(tmp_path: Path):
    store = RunStore(tmp_path)
    run_id = write(store, [started()])
    (tmp_path / "20000101-000000-000-0000").mkdir()
    (tmp_path / "something else").mkdir()
    empty, broken = store.summaries()
    assert (empty.started, empty.ended, empty.state) == (None, None, RunState.BROKEN_OFF)
    assert (broken.run_id, broken.ended, broken.state) == (run_id, None, RunState.BROKEN_OFF)


def test_find_takes_a_prefix_or_last(tmp_path: Path):
    store = RunStore(tmp_path)
    with pytest.raises(RunError, match="no run is recorded"):
        store.find("last")
    for run_id in ("20260101-000000-000-aaaa", "20260102-000000-000-bbbb"):
        (tmp_path / run_id).mkdir()
    assert store.find("20260101") == "20260101-000000-000-aaaa"
    assert store.find("last") == "20260102-000000-000-bbbb"
    with pytest.raises(RunError, match="2 runs begin with '2026'"):
        store.find("2026")
    for name in ("", "nope"):
        with pytest.raises(RunError, match="there is no run"):
            store.find(name)
    with pytest.raises(RunError, match="there is no run record"):
        store.read("20990101-000000-000-cccc")


def test_the_folder_is_for_the_user_alone(tmp_path: Path):
    store = RunStore(tmp_path / "runs")
    run_id = write(store, [started()])
    assert (tmp_path / "runs" / run_id).stat().st_mode & 0o077 == 0
    assert (tmp_path / "runs" / run_id / EVENTS).stat().st_mode & 0o077 == 0


def test_an_attempt_to_go_on_takes_no_time_of_the_run(tmp_path: Path):
    store = RunStore(tmp_path)
    run_id = write(store, [started(), TurnStarted(turn=1)])
    with (tmp_path / run_id / EVENTS).open("ab") as file:
        file.write(b"torn")
    os.utime(tmp_path / run_id / EVENTS, (31.0, 31.0))  # killed 30 s after its start
    for _ in range(2):  # the prompt was not there, say
        record, run = store.reopen(run_id)
        run.close()
        assert record.used_seconds == 30.0
    _, run = store.reopen(run_id)
    with run:
        run.append(ended())
    record = store.read(run_id)
    assert (record.events, record.torn) == ((started(), TurnStarted(turn=1), ended()), False)


def test_what_another_process_has_added_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, other = RunStore(tmp_path), RunStore(tmp_path)
    run_id = write(store, [started()])
    os.utime(tmp_path / run_id / EVENTS, (31.0, 31.0))
    read = store.read

    def slowly(run_id: str) -> RunRecord:
        record = read(run_id)
        with other.reopen(run_id)[1] as run:
            run.append(ended())
        return record

    monkeypatch.setattr(store, "read", slowly)
    with pytest.raises(RunError, match="another process has gone on with run"):
        store.reopen(run_id)
    assert other.read(run_id).events == (started(), ended())


def test_a_reader_who_looks_keeps_no_writer_out(tmp_path: Path):
    store = RunStore(tmp_path)
    run_id = write(store, [started()])
    reader = os.open(tmp_path / run_id / EVENTS, os.O_RDONLY)
    looking = threading.Timer(0.05, os.close, [reader])
    record = store.read(run_id)
    fcntl.flock(reader, fcntl.LOCK_SH)  # as `runs list` does to see whether it is running
    looking.start()
    with RunWriter(run_id, tmp_path / run_id / EVENTS, events=1, size=record.bytes) as run:
        run.append(ended())
    looking.join()
    assert store.read(run_id).events == (started(), ended())


def test_what_another_process_removes_at_the_same_time_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A run that has just ended, and `runs gc` beside it."""
    store = RunStore(tmp_path)
    run_id = write(store, [started(), ended()])
    node = tmp_path / run_id / CHECKPOINTS / "0"
    node.mkdir(parents=True)
    for turn in range(3):
        (node / str(turn)).write_bytes(b"pages")
    stat, lstat = os.stat, os.lstat

    def gone(path: object) -> None:
        if str(path).startswith(f"{node}/"):
            shutil.rmtree(node, ignore_errors=True)

    def late_stat(path: Path, *, follow_symlinks: bool = True, **given: Any) -> os.stat_result:
        if not follow_symlinks:
            gone(path)
        return stat(path, follow_symlinks=follow_symlinks, **given)

    def late_lstat(path: Path, **given: Any) -> os.stat_result:
        gone(path)
        return lstat(path, **given)

    monkeypatch.setattr(os, "stat", late_stat)
    monkeypatch.setattr(os, "lstat", late_lstat)
    store.prune(run_id)
    assert store.read(run_id).events == (started(), ended())


def test_what_is_being_taken_up_again_is_not_collected(tmp_path: Path):
    """From `runs resume` to the first event: it may wait for its model for a while."""
    store = RunStore(tmp_path)
    answer = msgspec.structs.replace(ended().answer, stop=StopReason.INTERRUPTED)
    run_id = write(store, [started(), RunEnded(time=2.0, answer=answer)])
    prompt = tmp_path / run_id / PROMPT / "text-0"
    prompt.parent.mkdir()
    prompt.write_text("from a stream")
    _, run = store.reopen(run_id)
    with run:
        assert store.collect(resumable=True) == {}
        assert prompt.exists()
    assert store.collect(resumable=True) == {run_id: 13}


def test_ctrl_c_before_a_record_begins_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlm_local.runs.RunWriter", interrupt)
    store = RunStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.new()
    assert store.ids() == []
    assert list(tmp_path.iterdir()) == []
