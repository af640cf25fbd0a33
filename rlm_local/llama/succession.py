"""The worker of a model, and the one that takes its place when it dies.

A load may take longer than a call has left, so it is done on a thread of its own: who
waits for it waits as long as it may, and the load goes on for those who come later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from rlm_local.errors import ModelError
from rlm_local.llama.process import WorkerProcess

# A second death within so long is no accident: it is for good, until so long after the first.
RESTART_SECONDS = 600.0


class Load(Protocol):
    """Loads a model. Raises WorkerDied, ModelError."""

    def __call__(self, born: Callable[[WorkerProcess], None]) -> WorkerProcess:
        """A worker with the model loaded. `born` is told of its process before that."""
        ...


class Succession:
    """One worker after the other, for any number of threads. The first is loaded at once.

    `notice` is told how a worker died.
    """

    def __init__(self, load: Load, *, notice: Callable[[str], None] | None = None) -> None:
        self._load = load
        self._notice = notice
        self._changed = threading.Condition()
        self._loading: WorkerProcess | None = None
        self._loader: threading.Thread | None = None
        self._failure: Exception | None = None
        self._closed = False
        self._restarted = time.monotonic()
        self.restarts_left = 1
        self.worker = load(lambda _: None)

    @property
    def closed(self) -> bool:
        return self._closed

    def after(
        self, dead: WorkerProcess, *, until: float, ended: Callable[[], bool]
    ) -> WorkerProcess | None:
        """The worker that took the place of `dead`, or takes it now; None if it is not there by
        `until`, or before `ended`, which `wake` has looked at again.

        Raises ModelError: closed; WorkerDied: there is none any more.
        """
        with self._changed:
            self._check_open()
            if ended():
                return None
            if self.worker is dead and self._loader is None:
                self._begin(dead)
            seconds = max(0.0, min(until - time.monotonic(), threading.TIMEOUT_MAX))
            self._changed.wait_for(
                lambda: self._loader is None or self._closed or ended(), timeout=seconds
            )
            self._check_open()
            if self._loader is not None or ended():
                return None
            if self._failure is not None:
                raise self._failure
            return self.worker

    def wake(self) -> None:
        """Have those that wait look whether they are `ended`."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the worker, and one that is being loaded. Closing twice is harmless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            loading, loader = self._loading, self._loader
        if loading is not None:
            loading.close()
        if loader is not None:
            loader.join()
        self.worker.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError("the model was closed")

    def _begin(self, dead: WorkerProcess) -> None:
        """Load another one, with the lock held."""
        death = dead.died()
        if time.monotonic() - self._restarted >= RESTART_SECONDS:
            self.restarts_left = 1
        if not self.restarts_left:
            raise self._failure or death
        self.restarts_left -= 1
        self._restarted = time.monotonic()
        self._failure = None
        if self._notice is not None:
            self._notice(f"{death}; the model is loaded again")
        self._loader = threading.Thread(
            target=self._replace, args=[dead], name="model-restart", daemon=True
        )
        try:
            self._loader.start()
        except RuntimeError as error:  # the system has no more threads
            self._loader = None
            raise death from error

    def _replace(self, dead: WorkerProcess) -> None:
        worker: WorkerProcess | None = None
        failure: Exception | None = None
        try:
            dead.close()
            worker = self._load(self._born)
        except Exception as error:  # noqa: BLE001  # raised where the worker is waited for
            failure = error
        with self._changed:
            self._loader = self._loading = None
            self._failure = failure
            if worker is not None:
                self.worker = worker
            self._changed.notify_all()

    def _born(self, worker: WorkerProcess) -> None:
        with self._changed:
            self._loading = worker
            closed = self._closed
        if closed:
            worker.close()
