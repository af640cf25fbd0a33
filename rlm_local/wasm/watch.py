"""Wakes running guests when one of them is due to be stopped.

A guest looks at the engine's epoch in every loop; when it has moved, the guest's
own thread asks us whether to go on. So nothing ticks: one thread sleeps until
the earliest time that was asked for, then moves the epoch once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rlm_local.errors import SandboxError
from rlm_local.starting import begin


class Watch:
    """Calls `move_epoch` at the times asked for. Its thread lives only while there are some."""

    def __init__(self, move_epoch: Callable[[], None]) -> None:
        self._move_epoch = move_epoch
        self._changed = threading.Condition()
        self._times: dict[int, float] = {}
        self._waking = float("inf")  # when the thread will look again
        self._running = False

    def arm(self, number: int, when: float) -> None:
        """Move the epoch at `when` (`time.monotonic`); one time for each `number`.

        Raises SandboxError if the system has no thread for it.
        """
        with self._changed:
            if not self._running:
                thread = threading.Thread(target=self._run, name="guest-watch", daemon=True)
                begin(thread, "the sandbox", SandboxError)
                self._running = True
                self._waking = when
            elif when < self._waking:
                self._changed.notify()
            self._times[number] = when

    def disarm(self, number: int) -> None:
        """Forget the time of `number`."""
        with self._changed:
            self._times.pop(number, None)

    def close(self) -> None:
        """Forget all times, and let the thread end."""
        with self._changed:
            self._times.clear()
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._times:
                self._waking = min(self._times.values())
                left = self._waking - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                now = time.monotonic()
                self._times = {n: when for n, when in self._times.items() if when > now}
                self._move_epoch()
            self._running = False
