"""What all nodes of one run share, and how a part of the tree is ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from rlm_local.budget import Budget
from rlm_local.errors import LimitReached, NoTimeLeft, RlmError
from rlm_local.helpers import Helpers
from rlm_local.journal import Journal
from rlm_local.limits import Limits
from rlm_local.model import Model
from rlm_local.records import ROOT, Event, RunEnded, StopReason, TurnForm
from rlm_local.sandbox import Repl, Sandbox

#: How long after an interrupt what is still busy gets another: the first may have come before
#: it really began.
_AGAIN_SECONDS = 0.1


class Tree:
    """The models, the sandbox, the record and the threads of one run.

    `model` takes the turns of all nodes, `sub_model` answers their code's plain calls.
    `spools` is the folder for the contexts of children, None the user's cache.
    """

    def __init__(
        self,
        *,
        model: Model,
        sub_model: Model,
        sandbox: Sandbox,
        limits: Limits,
        journal: Journal,
        seed: int,
        turn_form: TurnForm = "auto",
        spools: Path | None = None,
    ) -> None:
        self.model = journal.model(model)
        self.sub_model = sub_model  # plain calls look for whole batches on record themselves
        self.journal = journal
        self.sandbox = sandbox
        self.limits = limits
        self.seed = seed
        self.turn_form = turn_form
        self.spools = spools
        self.helpers = Helpers()
        self._recording = threading.Lock()
        self.over = False  # its end is on record
        self._busy: list[tuple[Budget, Repl | None]] = []
        self._lock = threading.Lock()

    def record(self, event: Event) -> None:
        """Record an event; the next one waits until it is on disk. None comes after the end of
        the run: what still runs then, since nobody waited for it, ends here."""
        with self._recording:
            if self.over:
                raise interrupted()
            self.journal.record(event)
            self.over = isinstance(event, RunEnded)

    @contextlib.contextmanager
    def busy(self, budget: Budget, repl: Repl | None = None) -> Iterator[None]:
        """While a node's cell runs in `repl`, or the model works for it: ending its part of
        the tree ends that. Raises what has ended it already. A server that cannot be asked
        again in the time of a child ends that child."""
        work = (budget, repl)
        try:
            with self._lock:
                self._busy.append(work)
            budget.check()
            yield
        except NoTimeLeft as error:
            raise budget.out_of_time(error) from error
        finally:
            with self._lock, contextlib.suppress(ValueError):  # Ctrl-C came before it was there
                self._busy.remove(work)

    def end(self, error: RlmError, budget: Budget) -> None:
        """End the part of the tree whose limit `error` is, seen from `budget`, or all of it."""
        self.end_level(error, budget.level_of(error))

    def end_level(self, error: RlmError, level: Budget) -> None:
        """End a node with all that is below it. Its code cannot catch that."""
        level.end(error)
        self._stop(level)

    def close(self, root: Budget) -> None:
        """End what still runs, and wait for it: nothing is charged after this."""
        self.end_level(cancelled(root), root)
        self.helpers.join()

    def cancel(self, node: str) -> None:
        """As `Model.cancel`, of both models."""
        self.model.cancel(node)
        self.sub_model.cancel(node)

    def _stop(self, level: Budget) -> None:
        """Interrupt the work of a level that has ended, until there is none."""
        with self._lock:
            work = [(budget, repl) for budget, repl in self._busy if budget.is_below(level)]
        for _, repl in work:
            if repl is not None:
                repl.interrupt()
        if any(repl is None for _, repl in work):
            self.cancel("" if level.node == ROOT else level.node)
        if work:
            again = threading.Timer(_AGAIN_SECONDS, self._stop, [level])
            again.daemon = True
            with contextlib.suppress(RuntimeError):  # the system has no more threads
                again.start()


def interrupted() -> LimitReached:
    """Why all ends after Ctrl-C."""
    return LimitReached(StopReason.INTERRUPTED, "the run was interrupted")


def cancelled(budget: Budget) -> LimitReached:
    """Why a node ends whose parent has ended."""
    return LimitReached(
        StopReason.CANCELLED, "its parent ended without waiting for it", node=budget.node
    )
