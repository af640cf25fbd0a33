"""When a running cell is interrupted, and when it is stopped for good."""

from __future__ import annotations

import time
from enum import Enum, auto


class Verdict(Enum):
    """What is to be done with a running cell now."""

    GO_ON = auto()
    INTERRUPT = auto()  # softly: a KeyboardInterrupt in its code
    STOP = auto()  # for good: a trap


class Cell:
    """The clock of one running cell.

    The time in host calls does not count for `cell_seconds`, but it does for the
    `deadline` (`time.monotonic`). The soft interrupt comes once; code that is
    still running `GRACE_SECONDS` later is stopped. At the deadline it is
    `LAST_GRACE_SECONDS`: no later cell needs the variables.
    """

    GRACE_SECONDS = 0.25
    LAST_GRACE_SECONDS = 0.1

    def __init__(self, deadline: float, cell_seconds: float) -> None:
        self.started = time.monotonic()
        self.host_seconds = 0.0
        self.stopped_because = ""
        self._deadline = deadline
        self._cell_seconds = cell_seconds
        self._interrupted_at: float | None = None
        self.killed = False

    @property
    def due(self) -> float:
        """When to ask for a verdict next."""
        if self._interrupted_at is not None:
            is_last = self._interrupted_at >= self._deadline
            grace = self.LAST_GRACE_SECONDS if is_last else self.GRACE_SECONDS
            return self._interrupted_at + grace
        return min(self.started + self._cell_seconds + self.host_seconds, self._deadline)

    @property
    def interrupted(self) -> bool:
        """Whether its code was sent a KeyboardInterrupt."""
        return self._interrupted_at is not None

    def verdict(self) -> Verdict:
        """What to do now; says INTERRUPT only once."""
        now = time.monotonic()
        if self.killed:
            self.stopped_because = "it was interrupted from outside"
            return Verdict.STOP
        if now < self.due:
            return Verdict.GO_ON
        if self._interrupted_at is not None:
            self.stopped_because += ", and it went on after a KeyboardInterrupt"
            return Verdict.STOP
        self._interrupted_at = now
        self.stopped_because = (
            "the time of the whole run is over"
            if now >= self._deadline
            else f"it ran for {self._cell_seconds:g} s, which is the limit of a cell"
        )
        return Verdict.INTERRUPT

    def kill(self) -> None:
        """From any thread: the next verdict is STOP."""
        self.killed = True
