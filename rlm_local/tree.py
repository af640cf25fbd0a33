"""What all nodes of one run share, and how a part of the tree is ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rlm_local.errors import LimitReached, RlmError
from rlm_local.helpers import Helpers
from rlm_local.limits import Budget, Limits
from rlm_local.model import Model
from rlm_local.records import Event, StopReason
from rlm_local.sandbox import Repl, Sandbox

Recorder = Callable[[Event], None]

#: How long after an interrupt a REPL that still runs gets another: it may have been between
#: two cells when the first came.
_AGAIN_SECONDS = 0.1


class Tree:
    """The model, the sandbox, the record and the threads of one run.

    `spools` is the folder for the contexts of children, None the user's cache.
    """

    def __init__(
        self,
        *,
        model: Model,
        sandbox: Sandbox,
        limits: Limits,
        record: Recorder,
        seed: int,
        spools: Path | None = None,
    ) -> None:
        self.model = model
        self.sandbox = sandbox
        self.limits = limits
        self.seed = seed
        self.spools = spools
        self.helpers = Helpers()
        self._record = record
        self._recording = threading.Lock()
        self._live: dict[Budget, Repl] = {}
        self._lock = threading.Lock()

    def record(self, event: Event) -> None:
        """Record an event; the next one waits until it is on disk."""
        with self._recording:
            self._record(event)

    @contextlib.contextmanager
    def running(self, budget: Budget, repl: Repl) -> Iterator[None]:
        """While a cell of the REPL runs: it is interrupted if its level of the tree is ended."""
        with self._lock:
            self._live[budget] = repl
        try:
            budget.check()
            yield
        finally:
            with self._lock:
                del self._live[budget]

    def end(self, error: RlmError, budget: Budget) -> None:
        """End the part of the tree whose limit `error` is, seen from `budget`, or all of it."""
        self.end_level(error, budget.level_of(error))

    def end_level(self, error: RlmError, level: Budget) -> None:
        """End a node with all that is below it. Its code cannot catch that."""
        level.end(error)
        self._interrupt(level)

    def close(self, root: Budget) -> None:
        """End what still runs, and wait for it: nothing is charged after this."""
        self.end_level(cancelled(root), root)
        self.helpers.join(self._nudge)

    def _nudge(self) -> None:
        self.model.cancel()

    def _interrupt(self, level: Budget) -> None:
        with self._lock:
            running = [repl for budget, repl in self._live.items() if budget.is_below(level)]
        for repl in running:
            repl.interrupt()
        if running:
            again = threading.Timer(_AGAIN_SECONDS, self._interrupt, [level])
            again.daemon = True
            again.start()


def interrupted() -> LimitReached:
    """Why all ends after Ctrl-C."""
    return LimitReached(StopReason.INTERRUPTED, "the run was interrupted")


def cancelled(budget: Budget) -> LimitReached:
    """Why a node ends whose parent has ended."""
    return LimitReached(
        StopReason.CANCELLED, "its parent ended without waiting for it", node=budget.node
    )
