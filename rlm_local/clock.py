"""The clock of a run, which stands still while the run goes through what it has done before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Some 31 years: a wait for much more is an error to Python.
FAR_SECONDS = 1e9


class RunClock:
    """Seconds on the scale of `now`, without those in which it stood. For any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._stood = 0.0
        self._since: float | None = None  # when it stopped, on the scale of `now`

    def __call__(self) -> float:
        with self._lock:
            return (self._now() if self._since is None else self._since) - self._stood

    @property
    def stands(self) -> bool:
        return self._since is not None

    def stand(self) -> None:
        """Stop; nothing if it stands."""
        with self._lock:
            if self._since is None:
                self._since = self._now()

    def go_on(self) -> None:
        """Go on from where it stopped; nothing if it goes."""
        with self._lock:
            if self._since is not None:
                self._stood += self._now() - self._since
                self._since = None

    def due(self, moment: float) -> float:
        """When it will be `moment`, on the scale of `now`: while it stands, that is far off."""
        with self._lock:
            return moment + self._stood if self._since is None else self._now() + FAR_SECONDS
