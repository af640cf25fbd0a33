"""The run record: one folder a run, and in it one append-only file of events.

    runs/20261122-180132-517-9f3a/
        setup.json      what it was asked with, beside what its first event says
        events.jsonl    everything that happened
        checkpoints/    a folder for each node that runs: the states of its Python
        prompt/         the prompt, where it cannot be read again

Checkpoints go when the run has ended, and so does a large prompt.
`eventfile` has the form of the file of events.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from rlm_local import jsontext
from rlm_local.errors import RunError
from rlm_local.eventfile import (
    RunWriter,
    disk_errors,
    read_ends,
    read_events,
    still_running,
    write_synced,
)
from rlm_local.options import ModelOptions
from rlm_local.past import PASSING
from rlm_local.paths import data_folder, size_of
from rlm_local.records import (
    Event,
    ModelInfo,
    Record,
    Resumed,
    RunEnded,
    RunStarted,
)

EVENTS = "events.jsonl"
SETUP = "setup.json"
CHECKPOINTS = "checkpoints"
PROMPT = "prompt"
SETUP_FORMAT = 2
#: A kept prompt up to this size stays with a run that has ended, for replays and forks.
KEPT_PROMPT_BYTES = 16 << 20
_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")


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
        """How long the run has run, without the times when it was broken off.

        By its own count if it came to an end: the system's clock may have been set meanwhile,
        and goes on while the machine sleeps.
        """
        if self.events and isinstance(last := self.events[-1], RunEnded):
            return last.answer.usage.seconds
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


class RunSetup(ModelOptions, frozen=True):
    """What a run was asked with, so that it can be taken up again.

    `model` is a name, a path or a URL, `info` what it was then, with its adapters;
    likewise `sub_model`, which is None where one model does all. `sources` are the files
    and folders of the prompt, none if it is kept with the run; `identity` is that
    of its content (`rlm_local.spool.identity`).
    """

    format: int
    model: str
    info: ModelInfo
    sources: tuple[str, ...]
    replace_bad_bytes: bool
    identity: str
    sub_model: str | None = None
    sub_info: ModelInfo | None = None
    reuse_calls: bool = False
    draft_model: str | None = None


class RunStore:
    """The folder of all runs. Any number of processes may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: by default `runs` in the user's data folder."""
        self.folder = folder if folder is not None else data_folder("runs")

    def new(self, setup: RunSetup | None = None) -> RunWriter:
        """Begin a record under a new id; without `setup` it cannot be taken up again.

        Raises DiskError if it cannot be written.
        """
        while True:
            run_id = new_run_id()
            path = self.folder / run_id
            try:
                with disk_errors(path):
                    path.mkdir(mode=0o700, parents=True)
            except FileExistsError:
                continue
            try:
                if setup is not None:
                    write_synced(path / SETUP, jsontext.encode(setup))  # a path may be any bytes
                return RunWriter(run_id, path / EVENTS)
            except BaseException:  # Ctrl-C too: it has not begun
                shutil.rmtree(path, ignore_errors=True)
                raise

    def remove(self, run_id: str) -> None:
        """Remove all that there is of a run."""
        shutil.rmtree(self.folder / run_id, ignore_errors=True)

    def reopen(self, run_id: str) -> tuple[RunRecord, RunWriter]:
        """A run that was broken off, to be gone on with: its events, and what appends to them.

        Raises RunError if it is still running, missing or damaged, or if another process
        has gone on with it meanwhile.
        """
        path = self.folder / run_id / EVENTS
        record = self.read(run_id)
        if record.state is RunState.RUNNING:
            raise still_running(run_id)
        if not record.events:
            raise RunError(
                f"nothing is on record of run {run_id} yet", hint="ask the question anew"
            )
        writer = RunWriter(run_id, path, events=len(record.events), size=record.bytes)
        if path.stat().st_mtime != record.written:
            writer.close()
            raise RunError(
                f"another process has gone on with run {run_id} just now",
                hint="`rlm-local runs show` says how far it came",
            )
        return record, writer

    def setup(self, run_id: str) -> RunSetup:
        """What a run was asked with. Raises RunError if that is not on record."""
        path = self.folder / run_id / SETUP
        try:
            setup = jsontext.decode(path.read_bytes(), RunSetup)
        except (OSError, ValueError) as error:
            raise RunError(
                f"run {run_id} cannot be taken up again: {path} is missing or damaged",
                hint="ask the question anew",
            ) from error
        if setup.format != SETUP_FORMAT:
            raise RunError(
                f"run {run_id} is of another version of this program",
                hint="go on with it in that version, or ask the question anew",
            )
        return setup

    def prune(self, run_id: str, *, most_prompt_bytes: int = KEPT_PROMPT_BYTES) -> int:
        """Remove what only serves to go on with a run, and a prompt that is larger than that;
        the bytes freed."""
        freed = 0
        for name, most in ((CHECKPOINTS, -1), (PROMPT, most_prompt_bytes)):
            folder = self.folder / run_id / name
            size = size_of(folder)
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
            if not (ended or resumable) or self._is_written(summary.run_id):
                continue
            if size := self.prune(summary.run_id, most_prompt_bytes=0):
                freed[summary.run_id] = size
        return freed

    def _is_written(self, run_id: str) -> bool:
        """Whether a process has a run in its hands, also one that has ended and is to go on."""
        try:
            return read_ends(self.folder / run_id / EVENTS).locked
        except RunError:
            return False

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
        found = read_events(self.folder / run_id / EVENTS)
        return RunRecord(
            run_id=run_id,
            events=tuple(found.events),
            state=_state(found.events, found.locked),
            torn=found.torn,
            bytes=found.bytes,
            written=found.written,
        )

    def summaries(self) -> Iterator[RunSummary]:
        """Every run in short, oldest first, reading only the ends of each file."""
        for run_id in self.ids():
            yield self.summary(run_id)

    def summary(self, run_id: str) -> RunSummary:
        """One run in short; a damaged record shows as having no start or end."""
        try:
            ends = read_ends(self.folder / run_id / EVENTS)
        except RunError:
            return RunSummary(
                run_id=run_id, state=RunState.BROKEN_OFF, started=None, ended=None, bytes=0
            )
        started, ended = ends.first, ends.last
        return RunSummary(
            run_id=run_id,
            state=_state([ended] if ended else [], ends.locked),
            started=started if isinstance(started, RunStarted) else None,
            ended=ended if isinstance(ended, RunEnded) else None,
            bytes=ends.bytes,
        )


def _state(events: list[Event], running: bool) -> RunState:
    if events and isinstance(events[-1], RunEnded):
        return RunState.ENDED
    return RunState.RUNNING if running else RunState.BROKEN_OFF
