"""Whether the worker's main thread still comes back from llama.cpp.

Computing may take long, but heeds an abort at the next node of its graph. Nothing else
does: a grammar may take for ever over a token. So the main thread says when it is at one request
alone, which takes milliseconds. Where it does not come back from that, or an abort is not
heeded, its process is past help.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

PATIENCE_SECONDS = 15.0  # the parent waits a little longer after a deadline


class Place(NamedTuple):
    """The request at `at` of the call of this number."""

    call: int
    at: int


class Watch:
    """Kept by two threads: the main thread tells what it does, the other looks at it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience = PATIENCE_SECONDS
        self._clock = clock
        self._last: tuple[Place | None, float] = (None, clock())
        self._aborted = math.inf

    def attend(self, place: Place | None) -> None:
        """From now on the main thread is at this request alone, or at none."""
        self._last = place, self._clock()  # at once: the other thread may look in between

    @property
    def attended(self) -> Place | None:
        return self._last[0]

    def abort(self) -> None:
        """From now on computing is to end."""
        self._aborted = min(self._aborted, self._clock())

    def heed(self) -> None:
        """It has ended."""
        self._aborted = math.inf
        self.attend(None)

    @property
    def stuck(self) -> bool:
        """Whether the main thread is not expected to come back."""
        place, since = self._last
        if place is None:
            since = max(since, self._aborted)
        return self._clock() - since > self.patience
