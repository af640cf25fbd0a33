"""Whether the worker's main thread still comes back from llama.cpp.

Computing may take long, but heeds an abort at the next node of its graph. Nothing else
does: a grammar may take for ever over a token. So the main thread says when it is at one request
alone, which takes milliseconds. Where it does not come back from that, or an abort is not
heeded, its process is past help. Its own CPU time counts, so that a busy machine is no reason.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

PATIENCE_SECONDS = 15.0  # of CPU time


class Place(NamedTuple):
    """The request at `at` of the call of this number."""

    call: int
    at: int


class Watch:
    """Kept by two threads: the main thread tells what it does, the other looks at it.

    `clock`: by default the main thread's CPU time, in seconds. Only the other reads it, since
    the main thread has something to tell twice a token.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self.patience = PATIENCE_SECONDS
        self._clock = clock or _main_threads_clock()
        self._told: tuple[Place | None] = (None,)
        self._seen: tuple[Place | None] = self._told
        self._since = self._clock()  # the same has been told
        self._aborted = math.inf

    def attend(self, place: Place | None) -> None:
        """From now on the main thread is at this request alone, or at none."""
        self._told = (place,)

    def heed(self) -> None:
        """Computing has ended where it was to."""
        self._aborted = math.inf
        self.attend(None)

    # ------------------------------------------------------- the other thread

    def abort(self) -> None:
        """From now on computing is to end."""
        self._aborted = min(self._aborted, self._clock())

    def is_stuck(self) -> bool:
        """Whether the main thread is not expected to come back. To be asked every few seconds."""
        now = self._clock()
        if self._told is not self._seen:  # each time another object
            self._seen, self._since = self._told, now
        since = self._since if self.attended is not None else max(self._since, self._aborted)
        return now - since > self.patience

    @property
    def attended(self) -> Place | None:
        """Where the main thread was when it was last looked at."""
        return self._seen[0]


def _main_threads_clock() -> Callable[[], float]:
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS
        return time.monotonic
    clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
    return lambda: time.clock_gettime(clock)
