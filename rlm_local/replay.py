"""Replaying a run: the recorded words of the model, through a fresh sandbox, compared.

The sandbox is deterministic, so every observation must come out as it is on
record, byte by byte, and every call must be made again. What a clock has decided
cannot be: a cell that was stopped for its time is passed over, with those after
it in its node, and so is a child that was, or that had used up its share of what
was left. What nobody has asked for is not compared.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from rlm_local.budget import Budget
from rlm_local.closing import Closing
from rlm_local.errors import WindowError
from rlm_local.journal import Journal, RecordEndsError
from rlm_local.past import PASSING, Past, difference, key_of, stopped_by_clock, title
from rlm_local.prompt import Prompt
from rlm_local.records import (
    ROOT,
    CallRaised,
    Completion,
    Event,
    ModelInfo,
    NodeEnded,
    NodeStarted,
    Observation,
    Polled,
    Ran,
    Record,
    Replied,
    Request,
    Resumed,
    RunEnded,
    StopReason,
    SubCalled,
    Submitted,
    TurnStarted,
)
from rlm_local.sandbox import GuestRaise, Repl

_WINDOW_WORDS = re.compile(r"has ([\d,]+) tokens, and ([\d,]+) fit")
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


class ReplayJournal(Journal):
    """Has everything done again, and compares it with the record. Nothing is written."""

    def __init__(self, past: Past) -> None:
        super().__init__(lambda event: None, past=past)
        self._lock = threading.Lock()
        self._seen: set[object] = set()
        self._cells = 0
        self._passed_over: dict[str, int] = {}  # by node: the turn from which on
        self._differences: list[tuple[Event, str]] = []
        self._unused: set[tuple[str, int, int]] = set()  # nodes, calls and items
        self._unused_children: set[str] = set()
        #: Whether the record goes to an end that must come again.
        self._complete = past.ended is not None and not _is_chance(past, past.ended.answer.stop)

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
            if found:
                self._differences.append((event, found))

    def result(self, run_id: str) -> Replay:
        """What came of it, once the run is through."""
        if self._complete:
            for key, event in self.past.events.items():
                if key not in self._seen and not isinstance(event, Polled | Resumed):
                    self._differences.append((event, "it did not come again"))
        return Replay(
            run_id=run_id,
            cells=self._cells,
            events=len(self._seen),
            passed_over=tuple(
                f"node {node} from turn {turn} on" for node, turn in self._passed_over.items()
            ),
            differences=tuple(
                Difference(event=title(event), what=what)
                for event, what in self._differences
                if not self._is_passed_over(event)
            ),
        )

    def completions(self, requests: Sequence[Request]) -> list[Completion] | None:
        known = super().completions(requests)
        asked = requests[0]
        stop, message = self._end_of(asked.node)
        if known is None:
            if asked.dialogue and stop is StopReason.WINDOW:
                # How long the prompt was and what fits, only the model of then could say.
                raise WindowError(*_figures(message))
            raise RecordEndsError("the record has nothing that the model said to this")
        # What its node's end has cut short ends nothing itself.
        cut = {completion.finish for completion in known if completion.is_cut}
        if cut and (stop is not StopReason.TOKENS or cut != {"tokens"}):
            raise RecordEndsError("the call was cancelled")
        return known

    def _end_of(self, node: str) -> tuple[StopReason | None, str]:
        """Why a node ended, and the sentence on it, if it is on record that it did."""
        ended = self.past.node_ended(node)
        if node == ROOT and self.past.ended is not None:
            return self.past.ended.answer.stop, self.past.ended.answer.message
        return (ended.stop, ended.message) if ended is not None else (None, "")

    def refused(self, node: str, call: int, index: int, prompt: str) -> GuestRaise | None:
        raised = self.past.raised(node, call, index)
        called = self.past.sub_call(node, call)
        if raised is None or (called is not None and (index < 0 or prompt in called.prompts)):
            return None  # it was answered, if not in its form
        return GuestRaise(raised.kind, raised.message)

    def unused(self, node: str, call: int, index: int, child: str = "") -> None:
        with self._lock:
            self._unused.add((node, call, index))
            if child:
                self._unused_children.add(child)

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
        if ended is None and self._complete and self.past.node_started(budget.node) is None:
            raise RecordEndsError("the child is not on record: it never began")
        if ended is None:
            return None
        by_chance = ended.stop in _BY_CHANCE or self.past.was_stopped_by_clock(budget.node)
        if not by_chance and not self._is_out_of_share(ended):
            return None  # it is run again like all else
        with self._lock:
            self._passed_over[budget.node] = 1
        if ended.stop is StopReason.CANCELLED:
            raise RecordEndsError("the child was cancelled, and its parent never told of it")
        return self._told(budget, ended, call, index)

    def share(self, share: float | None) -> float | None:
        return None  # how much was left depends on what ran beside

    def _is_out_of_share(self, ended: NodeEnded) -> bool:
        """Whether a child had used up what it had been given."""
        started = self.past.node_started(ended.node)
        return (
            started is not None
            and started.share is not None
            and ended.message.startswith(f"the child {ended.node} ")
        )

    def restore(self, repl: Repl, node: str) -> None:
        return None

    def _code_of(self, ran: Ran) -> str:
        reply = self.past.reply(ran.node, ran.turn)
        return "" if reply is None else reply.code

    def _is_passed_over(self, event: Event) -> bool:
        """Whether it belongs to a node that cannot be compared at that point, or tells of what
        nobody has asked for: whether that begins, and how far it comes, is chance."""
        node = getattr(event, "node", ROOT)
        if isinstance(event, SubCalled | CallRaised):
            index = event.index if isinstance(event, CallRaised) else -1
            if (node, event.call, index) in self._unused:
                return True
        if any(node == each or node.startswith(f"{each}.") for each in self._unused_children):
            return True
        turn = event.turn if isinstance(event, TurnStarted | Replied | Ran) else 1 << 62
        return any(
            (node == other and turn >= first) or node.startswith(f"{other}.")
            for other, first in self._passed_over.items()
        )


def _is_chance(past: Past, stop: StopReason) -> bool:
    """Whether a run that ended so may end elsewhere: when it has used up what it may use depends
    on what runs beside, where something does."""
    beside = any(isinstance(event, NodeStarted | Submitted) for event in past.events.values())
    return stop in _BY_CHANCE or (beside and stop in (StopReason.TOKENS, StopReason.SUB_CALLS))


def _is_cut(event: Event) -> bool:
    """Whether it tells of an end that came because the record ends."""
    return isinstance(event, RunEnded) or (isinstance(event, NodeEnded) and event.stop in PASSING)


def _figures(message: str) -> tuple[int, int]:
    """The tokens of a prompt that did not fit, and how many did, as a sentence says them."""
    found = _WINDOW_WORDS.search(message)
    tokens, fits = found.groups() if found else ("0", "0")
    return int(tokens.replace(",", "")), int(fits.replace(",", ""))


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
