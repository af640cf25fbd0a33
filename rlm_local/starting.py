"""Parts that take a while to start: each is made on a thread of its own, and waited for where
it is needed. And how any thread is begun that cannot be done without."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from rlm_local.errors import RlmError


class Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=Closable)


def begin(thread: threading.Thread, whose: str, error: type[RlmError] = RlmError) -> None:
    """Start a thread. Raises `error`, which tells `whose` it was, if the system has no more."""
    try:
        thread.start()
    except RuntimeError as none_left:
        raise error(
            f"{whose} needs another thread: {none_left}",
            hint="raise the limit of processes and threads (`ulimit -u`)",
        ) from none_left


class Starting(Generic[Part]):
    """A part that is being made on a thread of its own.

    The thread lives as long as the part and closes it: a child process may be
    tied to the thread that started it. It is a daemon, so a start that cannot be
    broken off does not hold up the end of the process.
    """

    def __init__(self, make: Callable[[], Part]) -> None:
        self._make = make
        self._part: Part | None = None
        self._error: BaseException | None = None
        self._made = threading.Event()
        self._release = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        try:
            begin(self._thread, "the program")
        except RlmError as error:
            self._error = error
            self._made.set()

    def result(self) -> Part:
        """The part, waited for; or the error that its making raised."""
        while not self._made.wait(0.2):
            pass  # awake now and then: a signal may have gone to another thread
        if self._error is not None:
            raise self._error
        return cast("Part", self._part)

    def check(self) -> None:
        """Raise the error of a start that has failed already, if it is one of ours."""
        if isinstance(self._error, RlmError):
            raise self._error

    def close(self) -> None:
        """Close the part. One that is still being made is closed when it is ready."""
        self._release.set()
        if self._made.is_set() and self._thread.ident is not None:
            self._thread.join()

    def _live(self) -> None:
        try:
            self._part = self._make()
        except BaseException as error:  # noqa: BLE001  # raised where the part is waited for
            self._error = error
        self._made.set()
        if self._part is not None:
            self._release.wait()
            self._part.close()
