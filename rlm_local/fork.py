"""Forking a run: a new one that begins as another went, up to one of its turns.

What the root's model said is taken as it is; its cells run anew, in a sandbox and
under limits and a question that may be others. A call or a child that asks the
same as before gets the recorded reply; any other is made. So the new run's record
is whole: it can be resumed, replayed and forked as any.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rlm_local.budget import Budget
from rlm_local.journal import Journal, Place, Recorder
from rlm_local.past import Past, content_of
from rlm_local.prompt import Prompt
from rlm_local.records import ROOT, Completion, Event, NodeEnded, Request, RunStarted


class ForkJournal(Journal):
    """Writes all of the new run down; takes from the other one's past what fits."""

    def __init__(
        self, append: Recorder, *, past: Past, checkpoints: Path, others_turns: int = 0
    ) -> None:
        """`others_turns`: as in `RunStarted`."""
        super().__init__(append, past=past, checkpoints=checkpoints)
        self._others_turns = others_turns
        self._lock = threading.Lock()  # children side by side are told of, each all at once

    def begin(self, budget: Budget) -> None:
        """All that is done is the new run's, in its time."""

    def record(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            event = msgspec.structs.replace(event, others_turns=self._others_turns)
        with self._lock:
            self._append(event)

    def completions(self, requests: Sequence[Request]) -> list[Completion] | None:
        first = requests[0]
        if first.dialogue and first.node != ROOT:
            return None  # of a child that had not ended: its dialogue may be another
        return super().completions(requests)

    def child(
        self, budget: Budget, question: str, prompt: Prompt, *, call: int, index: int
    ) -> NodeEnded | None:
        started = self.past.node_started(budget.node)
        if started is None or started.question != question:
            return None
        before = self.past.started
        if before is None or before.limits.get("depth") != budget.limits.depth:
            return None  # its code could call what it cannot now, or the other way round
        if (started.call, started.index) != (call, index):
            return None  # what is taken over says so too, and is looked up by it
        if content_of(started.prompt) != content_of(prompt.describe()):
            return None
        return super().child(budget, question, prompt, call=call, index=index)

    def _told(self, budget: Budget, ended: NodeEnded, call: int, index: int) -> NodeEnded:
        with self._lock:
            for event in self.past.events_of(budget.node):
                self._append(event)
        return super()._told(budget, ended, call, index)

    def polled(self, node: str, turn: int, place: Place, polls: int, *, calls: int) -> bool | None:
        return None
