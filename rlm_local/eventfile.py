"""The file of a run's events: written line by line, read back whole or by its ends.

Each line is

    {"n": 1, "crc32": "0a1b2c3d", "event": {…}}

with a sequence number from 1 and the CRC-32 of the event's bytes as they stand. A
line is on disk before `RunWriter.append` returns, so a run that is killed has lost
nothing but the event it was writing. Nothing is shortened: prompts of sub-calls
are kept whole.

A last line that is torn or garbled is what a power cut leaves: reading passes over
it and says so. Any other damage is a RunError with file and line.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rlm_local import jsontext
from rlm_local.closing import Closing
from rlm_local.errors import DiskError, RunError
from rlm_local.records import Event

_LINE = re.compile(rb'\{"n":(\d+),"crc32":"([0-9a-f]{8})","event":(.*)\}\n', re.DOTALL)
_TAIL_BYTES = 1 << 16
#: How long a writer waits for readers of the record to let go of its lock.
_READERS_SECONDS = 0.5
#: Where a run that has not begun could be recorded as well.
_ELSEWHERE = "free disk space, or let RLM_LOCAL_DATA name another folder"


class EventFile(NamedTuple):
    """All events of a file, of `bytes` in it, the last of them written at the Unix time
    `written`. `torn`: its last line was cut and left out. `locked`: a process writes it."""

    events: list[Event]
    bytes: int
    written: float
    torn: bool
    locked: bool


class Ends(NamedTuple):
    """The first and the last event of a file, None where they cannot be read."""

    first: Event | None
    last: Event | None
    bytes: int
    locked: bool


class RunWriter(Closing):
    """Appends the events of one run, from any thread. Made by `RunStore.new` and `reopen`."""

    def __init__(self, run_id: str, path: Path, *, events: int = 0, size: int = 0) -> None:
        """`events` are on record already, and take `size` bytes; what is beyond is written over.

        The file itself is left as it is until then: its time says how long the run has run.
        Raises RunError if another process writes this record, and DiskError.
        """
        self.run_id = run_id
        self.path = path
        self.folder = path.parent
        self._lock = threading.Lock()
        self._end = (events, size)  # what is safely on disk
        create = 0 if events else os.O_CREAT | os.O_EXCL
        with disk_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | create, 0o600)
            try:
                _lock(self._file)
                _sync_folder(path.parent)
                _sync_folder(path.parent.parent)
            except BlockingIOError:
                self.close()
                raise still_running(run_id) from None
            except BaseException:
                self.close()
                raise

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on record."""
        return self._end[0] == 0

    def append(self, event: Event) -> None:
        """Write `event`; it is on disk when this returns.

        Raises DiskError if it cannot be written; the record then ends with the event before.
        """
        body = jsontext.encode(event)
        with self._lock, disk_errors(self.path, hint="free disk space"):
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


def read_events(path: Path) -> EventFile:
    """All events in the file. Raises RunError if it is missing or damaged."""
    events: list[Event] = []
    torn, size = False, 0
    with _opened(path) as file:
        locked = _is_locked(file)
        written = os.fstat(file.fileno()).st_mtime
        for number, line in enumerate(file, 1):
            try:
                events.append(_parse(line, path, number))
            except RunError:
                # Only the last line may be what was being written, and it is but one: with
                # the next number in it, it is two whose line end was damaged.
                if file.read(1) or b'{"n":%d,"crc32":"' % (number + 1) in line:
                    raise
                torn = True
                break
            size += len(line)
    return EventFile(events, size, written, torn, locked)


def read_ends(path: Path) -> Ends:
    """The first and the last event in the file. Raises RunError if it is missing."""
    with _opened(path) as file:
        locked = _is_locked(file)
        size = os.fstat(file.fileno()).st_size
        first, last = _first_line(file), _last_line(file, size)
    return Ends(_parse_or_none(first), _parse_or_none(last), size, locked)


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
    paths = [folder]
    with suppress(OSError):  # the run may have ended, and its prompt with it
        paths += folder.rglob("*")
    for path in reversed(paths):
        with suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def write_synced(path: Path, data: bytes) -> None:
    """Make the file `path`, on disk when this returns. Raises DiskError."""
    with disk_errors(path):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, data, 0)
            os.fdatasync(file)
        finally:
            os.close(file)


def still_running(run_id: str) -> RunError:
    """The error of a record that another process writes."""
    return RunError(f"run {run_id} is still running", hint="wait for it, or stop it with Ctrl-C")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: int) -> None:
    """Take the lock that is held for the life of a writer: readers tell a running run by it.

    Raises BlockingIOError if another writer has it. A reader, who looks, has it for a moment.
    """
    until = time.monotonic() + _READERS_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.005)


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
def disk_errors(path: Path, *, hint: str = _ELSEWHERE) -> Iterator[None]:
    """Turns an OSError of writing to the record at `path` into a DiskError."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise DiskError(
            f"the run record {path} cannot be written: {error.strerror}", hint=hint
        ) from error
