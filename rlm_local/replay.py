"""Replaying a run: the recorded words of the model, through a fresh sandbox, compared.

The sandbox is deterministic, so every observation must come out as it is on
record, byte by byte, and every call must be made again. What a clock has decided
cannot be: a cell that was stopped for its time is passed over, with those after
it in its node, and so is a child that was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rlm_local.closing import Closing
from rlm_local.errors import ModelError, WindowError
from rlm_local.journal import Journal
from rlm_local.limits import Budget
from rlm_local.past import PASSING, Past, difference, key_of, stopped_by_clock, title
from rlm_local.prompt import Prompt
from rlm_local.records import (
    ROOT,
    Completion,
    Event,
    ModelInfo,
    NodeEnded,
    Observation,
    Polled,
    Ran,
    Record,
    Replied,
    Request,
    Resumed,
    RunEnded,
    StopReason,
    TurnStarted,
)
from rlm_local.sandbox import Repl

#: How often a child that was cancelled looks whether it is so again.
_LOOK_SECONDS = 0.01
#: Nothing that can be compared comes after the end of a run that ended so.
_BY_CHANCE = PASSING | {StopReason.WALL_CLOCK}


class Difference(Record, frozen=True):
    """An event that came out otherwise. `event` is what people call it."""

    event: str
    what: str


class Replay(Record, frozen=True):
    """What came of a replay: cells that were run and compared, and passed over by node and
    turn; sub-calls and children are counted as events. No differences: it is proven equal."""

    run_id: str
    cells: int
    events: int
    passed_over: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        return not self.differences


class RecordEndsError(ModelError):
    """The model said no more than this."""


class ReplayJournal(Journal):
    """Has everything done again, and compares it with the record. Nothing is written."""

    def __init__(self, past: Past) -> None:
        super().__init__(lambda event: None, past=past)
        self._lock = threading.Lock()
        self._seen: set[object] = set()
        self._cells = 0
        self._passed_over: dict[str, int] = {}  # by node: the turn from which on
        self._differences: list[Difference] = []
        ended = past.ended
        #: Whether the record goes to an end that must come again.
        self._complete = ended is not None and ended.answer.stop not in _BY_CHANCE

    def record(self, event: Event) -> None:
        old = self.past.same(event)
        with self._lock:
            self._seen.add(key_of(event))
            self._cells += isinstance(event, Ran) and bool(self._code_of(event))
            if old is None:
                found = "it is not on record" if self._complete else ""
            elif not self._complete and _is_cut(event):
                found = ""
            else:
                found = difference(old, event)
            if found and not self._is_passed_over(event):
                self._differences.append(Difference(event=title(event), what=found))

    def result(self, run_id: str) -> Replay:
        """What came of it, once the run is through."""
        if self._complete:
            for key, event in self.past.events.items():
                again = key in self._seen or isinstance(event, Polled | Resumed)
                if not again and not self._is_passed_over(event):
                    self._differences.append(
                        Difference(event=title(event), what="it did not come again")
                    )
        return Replay(
            run_id=run_id,
            cells=self._cells,
            events=len(self._seen),
            passed_over=tuple(
                f"node {node} from turn {turn} on" for node, turn in self._passed_over.items()
            ),
            differences=tuple(self._differences),
        )

    def completions(self, requests: Sequence[Request]) -> list[Completion] | None:
        known = super().completions(requests)
        if known is None:
            asked = requests[0]
            if asked.dialogue and self._stop_of(asked.node) is StopReason.WINDOW:
                # How long the prompt was and what fits, only the model of then could say.
                raise WindowError(0, 0)
            raise RecordEndsError("the record has nothing that the model said to this")
        return known

    def _stop_of(self, node: str) -> StopReason | None:
        """Why a node ended, if it is on record that it did."""
        if node != ROOT:
            ended = self.past.node_ended(node)
            return ended.stop if ended else None
        return self.past.ended.answer.stop if self.past.ended else None

    def observation(self, node: str, turn: int) -> Observation | None:
        ran = self.past.ran(node, turn)
        if ran is None:
            return None
        if node not in self._passed_over and not stopped_by_clock(ran.observation):
            return None
        with self._lock:
            self._passed_over.setdefault(node, turn)
        return ran.observation

    def child(
        self, budget: Budget, question: str, prompt: Prompt, *, call: int, index: int
    ) -> NodeEnded | None:
        ended = self.past.node_ended(budget.node)
        if ended is None:
            return None
        if ended.stop not in _BY_CHANCE and not self.past.was_stopped_by_clock(budget.node):
            return None  # it is run again like all else
        with self._lock:
            self._passed_over[budget.node] = 1
        while self._complete and ended.stop is StopReason.CANCELLED:
            budget.check()  # its parent is never told of it, but ends without it again
            time.sleep(_LOOK_SECONDS)
        return self._told(budget, ended, call, index)

    def restore(self, repl: Repl, node: str) -> None:
        return None

    def _code_of(self, ran: Ran) -> str:
        reply = self.past.reply(ran.node, ran.turn)
        return "" if reply is None else reply.code

    def _is_passed_over(self, event: Event) -> bool:
        """Whether it belongs to a node that cannot be compared at that point."""
        node = getattr(event, "node", ROOT)
        turn = event.turn if isinstance(event, TurnStarted | Replied | Ran) else 1 << 62
        return any(
            (node == other and turn >= first) or node.startswith(f"{other}.")
            for other, first in self._passed_over.items()
        )


def _is_cut(event: Event) -> bool:
    """Whether it tells of an end that came because the record ends."""
    return isinstance(event, RunEnded) or (isinstance(event, NodeEnded) and event.stop in PASSING)


class SilentModel(Closing):
    """Stands for a model in a replay: it is known by name, and never asked."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """Raises RecordEndsError."""
        raise RecordEndsError("a replay asks no model")

    def count_tokens(self, text: str) -> int:
        """Any number will do: what the model was told is not part of a replay."""
        return len(text) // 4 + 1

    def cancel(self, node: str = "") -> None:
        pass

    def close(self) -> None:
        pass
