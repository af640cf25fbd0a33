"""A limit on the time that Python code takes which is not ours."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class OvertimeError(BaseException):
    """It was not done in time. No `except Exception` in that code is to take it for its own."""


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise OvertimeError from within, after so much of the process's own time, not of others'.

    For the main thread, which gets the signals. What is done in C is not ended before it
    comes back: see `watch`.
    """
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _ring(*_: object) -> None:
    raise OvertimeError
