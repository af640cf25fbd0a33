"""A thread with a stack large enough for a guest.

WebAssembly runs on the native stack, up to `WASM_STACK_BYTES` of it; the thread
must have more than that left, or an overflow is a crash instead of a trap.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

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
        self._outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = (
            queue.SimpleQueue()
        )

    def run(self) -> None:
        """Do it, on the thread."""
        try:
            outcome: tuple[T | None, BaseException | None] = (self._function(), None)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome = (None, error)
        self._outcome.put(outcome)

    def result(self, timeout: float = math.inf) -> T:
        """Wait for it: its result, or what it raised.

        A signal's exception, such as KeyboardInterrupt, ends the waiting on the
        main thread. Raises TimeoutError after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                # The signal may have gone to another thread, which does not wake this one.
                left = max(0.0, end - time.monotonic())
                result, error = self._outcome.get(timeout=min(left, _LOOK_SECONDS))
                break
            except queue.Empty:
                if time.monotonic() >= end:
                    raise TimeoutError(f"the guest did not end within {timeout:g} s") from None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it would hold this frame, and this frame it
        return result  # type: ignore[return-value] # None only where T allows it


class GuestThread:
    """Runs calls one after another. It is a daemon: a stuck call does not keep the process."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job[object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, function: Callable[[], T]) -> Job[T]:
        """Begin `function` on the thread."""
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


def _start(jobs: queue.SimpleQueue[Job[object] | None]) -> threading.Thread:
    thread = threading.Thread(target=_serve, args=(jobs,), name="guest", daemon=True)
    with _starting:
        before = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def _serve(jobs: queue.SimpleQueue[Job[object] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job
