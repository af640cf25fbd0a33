"""A thread with a stack large enough for a guest.

WebAssembly runs on the native stack, up to `WASM_STACK_BYTES` of it; the thread
must have more than that left, or an overflow is a crash instead of a trap.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from rlm_local.errors import SandboxError
from rlm_local.starting import begin
from rlm_local.wasm import wakeup

T = TypeVar("T")

WASM_STACK_BYTES = 32 << 20
STACK_BYTES = 64 << 20
#: How often a wait looks for signals.
_LOOK_SECONDS = 0.1

#: `threading.stack_size` is one setting for the whole process.
_starting = threading.Lock()


class Job(Generic[T]):
    """One call on the guest's thread."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._outcome: tuple[T | None, BaseException | None] | None = None
        self._ended = wakeup.new()

    def run(self) -> None:
        """Do it, on the thread."""
        try:
            outcome: tuple[T | None, BaseException | None] = (self._function(), None)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome = (None, error)
        self._outcome = outcome
        self._ended.post()

    def result(self, timeout: float = math.inf) -> T:
        """Wait for it: its result, or what it raised.

        A signal's exception, such as KeyboardInterrupt, ends the waiting on the
        main thread. Raises TimeoutError after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while self._outcome is None:
            # The signal may have gone to another thread, which does not wake this one.
            left = max(0.0, end - time.monotonic())
            if not self._ended.wait(min(left, _LOOK_SECONDS)) and time.monotonic() >= end:
                raise TimeoutError(f"the guest did not end within {timeout:g} s")
        result, error = self._outcome
        self._outcome = (None, None)  # it is handed over once
        if error is not None:
            try:
                raise error
            finally:
                del error  # it would hold this frame, and this frame it
        return result  # type: ignore[return-value] # None only where T allows it


class GuestThread:
    """Runs calls one after another. It is a daemon: a stuck call does not keep the process."""

    def __init__(self) -> None:
        self._jobs = _Jobs()
        self._thread: threading.Thread | None = None

    def start(self, function: Callable[[], T]) -> Job[T]:
        """Begin `function` on the thread. Raises SandboxError if the system has none left."""
        if self._thread is None:
            self._thread = _start(self._jobs)
        job = Job(function)
        self._jobs.put(job)  # type: ignore[arg-type]
        return job

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the thread and wait for it."""
        return self.start(function).result()

    def close(self, timeout: float = 1.0) -> bool:
        """Let the thread end. False if it is still in a call after `timeout` seconds."""
        if self._thread is None:
            return True
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()


class _Jobs:
    """Jobs in the order in which they came; None says that there are no more."""

    def __init__(self) -> None:
        self._waiting: deque[Job[object] | None] = deque()
        self._come = wakeup.new()

    def put(self, job: Job[object] | None) -> None:
        self._waiting.append(job)
        self._come.post()

    def get(self) -> Job[object] | None:
        while not self._come.wait():
            pass  # a signal
        return self._waiting.popleft()


def _start(jobs: _Jobs) -> threading.Thread:
    thread = threading.Thread(target=_serve, args=(jobs,), name="guest", daemon=True)
    with _starting:
        before = threading.stack_size(STACK_BYTES)
        try:
            begin(thread, "the sandbox", SandboxError)
        finally:
            threading.stack_size(before)
    return thread


def _serve(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job
