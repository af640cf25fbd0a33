"""The run record: one folder a run, and in it one append-only file of events.

    runs/20261122-180132-517-9f3a/
        setup.json      what it was asked with, beside what its first event says
        events.jsonl    everything that happened
        checkpoints/    a folder for each node that runs: the states of its Python
        prompt/         the prompt, where it cannot be read again

Checkpoints go when the run has ended, and so does a large prompt. Each line is

    {"n": 1, "crc32": "0a1b2c3d", "event": {…}}

with a sequence number from 1 and the CRC-32 of the event's bytes as they stand. A
line is on disk before `RunWriter.append` returns, so a run that is killed has lost
nothing but the event it was writing. Nothing is shortened: prompts of sub-calls
are kept whole.

A last line that is torn or garbled is what a power cut leaves: reading passes over
it and says so.
Any other damage is a RunError with file and line.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from rlm_local import jsontext
from rlm_local.errors import RunError
from rlm_local.past import PASSING
from rlm_local.paths import data_folder
from rlm_local.records import Event, ModelInfo, Record, Resumed, RunEnded, RunStarted

EVENTS = "events.jsonl"
SETUP = "setup.json"
CHECKPOINTS = "checkpoints"
PROMPT = "prompt"
SETUP_FORMAT = 1
#: A kept prompt up to this size stays with a run that has ended, for replays and forks.
KEPT_PROMPT_BYTES = 16 << 20
_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")
_LINE = re.compile(rb'\{"n":(\d+),"crc32":"([0-9a-f]{8})","event":(.*)\}\n', re.DOTALL)
_TAIL_BYTES = 1 << 16


class RunState(StrEnum):
    RUNNING = "running"
    ENDED = "ended"
    BROKEN_OFF = "broken_off"  # no end is recorded, and no process writes it


class RunRecord(Record, frozen=True):
    """A run as read: its events in order, of `bytes` in the file, the last of them written
    at the Unix time `written`. `torn`: the last line was cut and left out."""

    run_id: str
    events: tuple[Event, ...]
    state: RunState
    torn: bool
    bytes: int
    written: float

    @property
    def used_seconds(self) -> float:
        """How long the run has run, without the times when it was broken off."""
        began, used = self.written, 0.0
        for event in self.events:
            if isinstance(event, RunStarted):
                began = event.time
            elif isinstance(event, Resumed):
                began, used = event.time, event.used_seconds
        return used + max(0.0, self.written - began)


class RunSummary(Record, frozen=True):
    """One line of `runs list`. `started` and `ended` are None where not recorded."""

    run_id: str
    state: RunState
    started: RunStarted | None
    ended: RunEnded | None
    bytes: int


def new_run_id() -> str:
    """An id that sorts by time (UTC, to the millisecond) and ends in 16 random bits."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}-{secrets.token_hex(2)}"


class RunSetup(Record, frozen=True):
    """What a run was asked with, so that it can be taken up again.

    `model` is a name or a path, `info` what it was then. `sources` are the files
    and folders of the prompt, none if it is kept with the run; `identity` is that
    of its content (`rlm_local.spool.identity`).
    """

    format: int
    model: str
    info: ModelInfo
    context_tokens: int | None
    threads: int | None
    sources: tuple[str, ...]
    replace_bad_bytes: bool
    identity: str


class RunWriter:
    """Appends the events of one run, from any thread. Made by `RunStore.new` and `reopen`."""

    def __init__(self, run_id: str, path: Path, *, events: int = 0, size: int = 0) -> None:
        """`events` are on record already, and take `size` bytes; what is beyond is cut off.

        Raises RunError if another process writes this record.
        """
        self.run_id = run_id
        self.path = path
        self.folder = path.parent
        self._lock = threading.Lock()
        self._end = (events, size)  # what is safely on disk
        create = 0 if events else os.O_CREAT | os.O_EXCL
        with _disk_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | create, 0o600)
            try:
                # Held for the life of the writer: readers tell a running run by it.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._file, size)
                _sync_folder(path.parent)
                _sync_folder(path.parent.parent)
            except BlockingIOError:
                self.close()
                raise _running(run_id) from None
            except BaseException:
                self.close()
                raise

    def append(self, event: Event) -> None:
        """Write `event`; it is on disk when this returns.

        Raises RunError if it cannot be written (a full disk); the record then
        ends with the event before.
        """
        body = jsontext.encode(event)
        with self._lock, _disk_errors(self.path):
            if self._file < 0:
                raise RunError(f"the record of run {self.run_id} is already closed")
            count, size = self._end
            line = _line(count + 1, body)
            # What an append left behind that a full disk or Ctrl-C cut short.
            if os.fstat(self._file).st_size > size:
                os.ftruncate(self._file, size)
            try:
                _write_all(self._file, line, size)
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, size)
                raise
            self._end = (count + 1, size + len(line))

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RunStore:
    """The folder of all runs. Any number of processes may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: by default `runs` in the user's data folder."""
        self.folder = folder if folder is not None else data_folder("runs")

    def new(self, setup: RunSetup | None = None) -> RunWriter:
        """Begin a record under a new id; without `setup` it cannot be taken up again.

        Raises RunError if the disk does not take it.
        """
        while True:
            run_id = new_run_id()
            path = self.folder / run_id
            try:
                with _disk_errors(path):
                    path.mkdir(mode=0o700, parents=True)
            except FileExistsError:
                continue
            if setup is not None:
                _write_synced(path / SETUP, msgspec.json.encode(setup))
            return RunWriter(run_id, path / EVENTS)

    def reopen(self, run_id: str) -> tuple[RunRecord, RunWriter]:
        """A run that was broken off, to be gone on with: its events, and what appends to them.

        Raises RunError if it is still running, missing or damaged.
        """
        path = self.folder / run_id / EVENTS
        record = self.read(run_id)
        if record.state is RunState.RUNNING:
            raise _running(run_id)
        if not record.events:
            raise RunError(
                f"nothing is on record of run {run_id} yet", hint="ask the question anew"
            )
        writer = RunWriter(run_id, path, events=len(record.events), size=record.bytes)
        return record, writer

    def setup(self, run_id: str) -> RunSetup:
        """What a run was asked with. Raises RunError if that is not on record."""
        path = self.folder / run_id / SETUP
        try:
            setup = msgspec.json.decode(path.read_bytes(), type=RunSetup)
        except (OSError, msgspec.MsgspecError) as error:
            raise RunError(
                f"run {run_id} cannot be taken up again: {path} is missing or damaged",
                hint="ask the question anew",
            ) from error
        if setup.format != SETUP_FORMAT:
            raise RunError(f"run {run_id} is of another version of this program")
        return setup

    def prune(self, run_id: str, *, most_prompt_bytes: int = KEPT_PROMPT_BYTES) -> int:
        """Remove what only serves to go on with a run, and a prompt that is larger than that;
        the bytes freed."""
        freed = 0
        for name, most in ((CHECKPOINTS, -1), (PROMPT, most_prompt_bytes)):
            folder = self.folder / run_id / name
            size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            if size > most:
                shutil.rmtree(folder, ignore_errors=True)
                freed += size
        return freed

    def collect(self, *, resumable: bool = False) -> dict[str, int]:
        """Remove what serves only to go on with runs that have ended: bytes freed, by run.

        `resumable`: also of those that were broken off or interrupted and could be
        gone on with. A run that is running is left alone.
        """
        freed = {}
        for summary in self.summaries():
            ended = summary.ended is not None and summary.ended.answer.stop not in PASSING
            if summary.state is RunState.RUNNING or not (ended or resumable):
                continue
            if size := self.prune(summary.run_id, most_prompt_bytes=0):
                freed[summary.run_id] = size
        return freed

    def ids(self) -> list[str]:
        """The ids of all runs, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if _ID.fullmatch(entry.name))

    def find(self, name: str) -> str:
        """The id that `name` stands for: an id, the beginning of just one, or 'last'."""
        ids = self.ids()
        if name == "last":
            if not ids:
                raise RunError("no run is recorded yet", hint="ask a question first")
            return ids[-1]
        matches = [name] if name in ids else [i for i in ids if name and i.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise RunError(f"{len(matches)} runs begin with {name!r}", hint="give more of the id")
        raise RunError(f"there is no run {name!r}", hint="`rlm-local runs list` shows them")

    def read(self, run_id: str) -> RunRecord:
        """All events of a run. Raises RunError if it is missing or damaged."""
        path = self.folder / run_id / EVENTS
        events: list[Event] = []
        torn, size = False, 0
        with _opened(path) as file:
            running = _is_locked(file)
            written = os.fstat(file.fileno()).st_mtime
            for number, line in enumerate(file, 1):
                try:
                    events.append(_parse(line, path, number))
                except RunError:
                    if file.read(1):
                        raise  # only the last line may be what was being written
                    torn = True
                    break
                size += len(line)
        return RunRecord(
            run_id=run_id,
            events=tuple(events),
            state=_state(events, running),
            torn=torn,
            bytes=size,
            written=written,
        )

    def summaries(self) -> Iterator[RunSummary]:
        """Every run in short, oldest first, reading only the ends of each file."""
        for run_id in self.ids():
            yield self.summary(run_id)

    def summary(self, run_id: str) -> RunSummary:
        """One run in short; a damaged record shows as having no start or end."""
        path = self.folder / run_id / EVENTS
        try:
            with _opened(path) as file:
                running = _is_locked(file)
                size = os.fstat(file.fileno()).st_size
                first, last = _first_line(file), _last_line(file, size)
        except RunError:
            return RunSummary(
                run_id=run_id, state=RunState.BROKEN_OFF, started=None, ended=None, bytes=0
            )
        started = _parse_or_none(first)
        ended = _parse_or_none(last)
        return RunSummary(
            run_id=run_id,
            state=_state([ended] if ended else [], running),
            started=started if isinstance(started, RunStarted) else None,
            ended=ended if isinstance(ended, RunEnded) else None,
            bytes=size,
        )


def _state(events: list[Event], running: bool) -> RunState:
    if events and isinstance(events[-1], RunEnded):
        return RunState.ENDED
    return RunState.RUNNING if running else RunState.BROKEN_OFF


def _parse(line: bytes, path: Path, number: int) -> Event:
    """The event in line `number` (from 1) of `path`."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise _damaged(path, number, "it is not a line of a run record")
    if int(match[1]) != number:
        raise _damaged(path, number, f"its number is {int(match[1])}")
    if int(match[2], 16) != zlib.crc32(match[3]):
        raise _damaged(path, number, "its checksum does not match")
    try:
        return _decode(match[3])
    except ValueError as error:
        raise _damaged(path, number, f"not an event of this version: {error}") from error


def _damaged(path: Path, number: int, reason: str) -> RunError:
    return RunError(
        f"{path}, line {number}: the record is damaged ({reason})",
        hint="the lines before it are whole; each is one JSON object",
    )


def _parse_or_none(line: bytes) -> Event | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    try:
        return _decode(match[3])
    except ValueError:
        return None


def _decode(body: bytes) -> Event:
    return jsontext.decode(body, Event)  # type: ignore[arg-type]  # a union is not a `type`


def _first_line(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.readline()


def _last_line(file: BinaryIO, size: int) -> bytes:
    """The last complete line of `file`: read backwards, since an answer can be long."""
    data = b""
    start = size
    while start > 0 and data.rstrip(b"\n").count(b"\n") < 1:
        step = min(max(_TAIL_BYTES, len(data)), start)
        start -= step
        file.seek(start)
        data = file.read(step) + data
    complete = data[: data.rfind(b"\n") + 1]
    return complete[complete.rstrip(b"\n").rfind(b"\n") + 1 :]


def _line(number: int, body: bytes) -> bytes:
    return b'{"n":%d,"crc32":"%08x","event":%b}\n' % (number, zlib.crc32(body), body)


def _write_all(file: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(file, memoryview(data)[written:], offset + written)


def sync_files(folder: Path) -> None:
    """Bring all files in `folder` to the disk, as far as they are still there."""
    for path in (*folder.rglob("*"), folder):
        with suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def _write_synced(path: Path, data: bytes) -> None:
    with _disk_errors(path):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, data, 0)
            os.fdatasync(file)
        finally:
            os.close(file)


def _running(run_id: str) -> RunError:
    return RunError(f"run {run_id} is still running", hint="wait for it, or stop it with Ctrl-C")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RunError(
            f"there is no run record at {path}", hint="`rlm-local runs list` shows the runs"
        ) from None
    except OSError as error:
        raise RunError(f"the run record {path} cannot be read: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise RunError(
            f"the run record {path} cannot be written: {error.strerror}",
            hint="free disk space, or let RLM_LOCAL_DATA name another folder",
        ) from error
