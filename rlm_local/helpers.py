"""Work side by side: jobs that threads of one run do, few at a time.

Whoever needs a job's outcome does it himself if nobody has begun it. So a job
that waits for other jobs never waits for a free thread, however deep they nest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

T = TypeVar("T")

#: Threads beside those that wait. Children mostly wait for the model, which is one.
MOST_HELPERS = 8
#: How often a wait looks whether it is to go on.
_LOOK_SECONDS = 0.05


class Job(Generic[T]):
    """Something that is done once, by whoever claims it first."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._claimed = threading.Lock()
        self._ended = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    def run(self) -> None:
        """Do it, unless it is claimed already."""
        if not self._claimed.acquire(blocking=False):
            return
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            self._error = error
        finally:
            self._ended.set()

    def drop(self) -> None:
        """See to it that it never begins, if it has not yet. It has no result then."""
        if self._claimed.acquire(blocking=False):
            self._error = RuntimeError("the job was dropped")
            self._ended.set()

    def settle(self) -> None:
        """Wait until it has ended or was dropped."""
        while not self.wait(_LOOK_SECONDS):
            pass  # awake now and then: a signal may have gone to another thread

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most so long; whether it has ended."""
        return self._ended.wait(seconds)

    def result(self, check: Callable[[], None] = lambda: None) -> T:
        """Its outcome, done here if nobody has begun it. `check` is called now and then."""
        self.run()
        while not self.wait(_LOOK_SECONDS):
            check()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class Helpers:
    """The threads of one run. They live only while there is work."""

    def __init__(self, most: int = MOST_HELPERS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Job[object]] = deque()
        self._threads: set[threading.Thread] = set()

    def start(self, job: Job[T]) -> Job[T]:
        """Have a job done soon, by a helper or by who waits for it."""
        with self._lock:
            self._waiting.append(cast("Job[object]", job))
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._help, name="helper", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has no more: whoever waits for it does it
                    pass
                else:
                    self._threads.add(thread)
        return job

    def all(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """The outcomes of functions that run side by side, some of them on this thread.

        Every one has ended, or will never begin, when this returns or raises: what
        they use may then be taken away.
        """
        first, *others = [Job(function) for function in functions]
        for job in others:
            self.start(job)
        try:
            return [job.result() for job in (first, *others)]
        finally:
            for job in others:
                job.drop()
            for job in others:
                job.settle()

    def join(self) -> None:
        """Wait for all threads. What they have not begun is never done."""
        while True:
            with self._lock:
                self._waiting.clear()
                threads = list(self._threads)
            if not threads:
                return
            threads[0].join(_LOOK_SECONDS)  # a signal may have gone to another thread

    def _help(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.discard(threading.current_thread())
                    return
                job = self._waiting.popleft()
            job.run()
