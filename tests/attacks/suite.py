"""What an attack is, and what must hold after every one.

A case says what it tries, the code that tries it, and what must come of it. Beyond
that, after each case: the host is alive; the REPL's next cell works, with its variables
unless the Python was started anew; the next fork is clean; no file has changed.
"""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from rlm_local.records import Observation
from tests.wasm.conftest import Guest

TEXT = "the quick brown fox jumps over the lazy dog\n" * 100
#: What code that does not end gets.
SHORT_SECONDS = 0.2
#: What code that must end by itself gets, also on a busy machine.
LONG_SECONDS = 30.0
#: Nothing that the host must stop takes longer, however busy the machine.
MOST_SECONDS = 15.0

Forks = Callable[..., Guest]
Check = Callable[[Observation], None]


class Outcome(NamedTuple):
    """What must come of a case: a check of its observation, and the time its cell has."""

    check: Check
    cell_seconds: float = LONG_SECONDS


class Case(NamedTuple):
    """`poisons`: it spoils its own REPL for good, which is allowed; only forks must be clean."""

    tries: str
    code: str
    must: Outcome
    poisons: bool = False


def raises(*kinds: str) -> Outcome:
    """An ordinary exception of one of these types, in a Python that goes on."""

    def check(ran: Observation) -> None:
        assert ran.error is not None, f"it gave {ran.value!r}"
        assert ran.error.type in kinds, ran.error
        assert not ran.restarted

    return Outcome(check)


def gives(value: str) -> Outcome:
    """It goes through, and its last line has this value."""

    def check(ran: Observation) -> None:
        assert ran.error is None, ran.error
        assert ran.value == value

    return Outcome(check)


def _interrupted(ran: Observation) -> None:
    assert ran.error is not None
    assert ran.error.type == "KeyboardInterrupt"
    assert "which is the limit of a cell" in ran.error.message
    assert not ran.restarted


def _restarted(ran: Observation) -> None:
    assert ran.restarted
    assert ran.error is not None
    assert ran.error.type == "GuestTrapped"
    assert ran.error.message.startswith("the Python was stopped and started anew")


#: A KeyboardInterrupt at the end of its time; its variables survive.
INTERRUPTED = Outcome(_interrupted, SHORT_SECONDS)
#: Stopped for good at the end of its time, and a fresh Python in its place.
STOPPED = Outcome(_restarted, SHORT_SECONDS)
#: Its own doing ends the Python; a fresh one takes its place.
RESTARTED = Outcome(_restarted)


def _out_of_memory(ran: Observation) -> None:
    assert ran.error is not None
    if ran.restarted:
        assert ran.error.message.endswith("its memory is used up")
    else:
        assert ran.error.type == "MemoryError"


#: A MemoryError; a fresh Python if what is left is in pieces too small to go on with.
USED_UP = Outcome(_out_of_memory)
#: It ends in its time, one way or another.
ENDED = Outcome(lambda ran: None, SHORT_SECONDS)
#: Whatever it gets: a value, an exception, a fresh Python. All else must hold.
HARMLESS = Outcome(lambda ran: None, 4.0)


def cases(*lists: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrizes a test by `case`; what it tries is its name, which no other has."""
    every = [case for part in lists for case in part]
    names = [case.tries for case in every]
    assert len(set(names)) == len(names), "two cases have one name"
    return pytest.mark.parametrize("case", every, ids=names)


def withstand(fork: Forks, world: World, case: Case) -> Observation:
    """Run the case in a REPL that has the variable `kept`; check what must hold."""
    guest = fork(TEXT)
    guest.run("kept = 'safe'")
    with world.unchanged():
        began = time.monotonic()
        ran = guest.run(case.code, cell_seconds=case.must.cell_seconds)
        took = time.monotonic() - began
    case.must.check(ran)
    assert took < case.must.cell_seconds + MOST_SECONDS
    if not case.poisons:
        assert guest.value("len(context), 6 * 7") == f"({len(TEXT)}, 42)"
        if not ran.restarted:
            assert guest.value("kept") == "'safe'"
    guest.repl.close()
    fresh = fork(TEXT)
    assert fresh.value(f"context == {TEXT[:44]!r} * 100, 'kept' in globals()") == "(True, False)"
    fresh.repl.close()
    return ran


class World:
    """The folders that must stay as they are: a home, caches, run records, a work folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = root / "cache" / "spool"
        for name, text in _PLANTED.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def state(self) -> dict[str, tuple[int, int, int, str]]:
        """Of every file and folder: mode, size, time of change; of short files the digest."""
        return dict(self._entries())

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing in it may change meanwhile."""
        before = self.state()
        yield
        assert self.state() == before

    def _entries(self) -> Iterator[tuple[str, tuple[int, int, int, str]]]:
        for path in sorted(self.root.rglob("*")):
            found = path.lstat()
            short = stat.S_ISREG(found.st_mode) and found.st_size < 1 << 16
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if short else ""
            yield str(path), (found.st_mode, found.st_size, found.st_mtime_ns, digest)


SECRET = "canary-5f1c77"
_PLANTED = {
    "home/notes.txt": f"a private note: {SECRET}\n",
    "home/.ssh/id_ed25519": f"PRIVATE KEY {SECRET}\n",
    "data/runs/20260101-000000-000-abcd/events.jsonl": f"another run's record: {SECRET}\n",
    "work/report.txt": f"in the folder that the program runs in: {SECRET}\n",
}
