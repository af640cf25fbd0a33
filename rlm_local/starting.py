"""Parts that take a while to start: each is made on a thread of its own, and waited for where
it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from rlm_local.errors import RlmError


class Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=Closable)


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
        self._thread.start()

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
        if self._made.is_set():
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
