"""A run's memory of itself: what it writes down, and what it need not do again.

A run that was killed is resumed by running its loop from the beginning over its
own record. Where the record has a reply of the model, that is fed back; where it
has what a cell gave, and there is a checkpoint of the Python after it, the cell is
not run. A cell that was cut in the middle, or that comes after the last whole
checkpoint, is run again, and gets the recorded replies to its calls: the sandbox
is deterministic, so it makes the same calls. Events that are on record already
are compared with it and not written twice. Then the record ends, and the run goes
on as if nothing had been.

Replaying (`replay`) and forking (`fork`) a run are the same with another journal.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from rlm_local.budget import Budget
from rlm_local.errors import ModelError, RunError
from rlm_local.model import Model, ModelWrapper
from rlm_local.past import PASSING, Past, difference, parent_of, title
from rlm_local.prompt import Prompt
from rlm_local.records import (
    Completion,
    Event,
    NodeEnded,
    Observation,
    Record,
    Request,
    StopReason,
)
from rlm_local.sandbox import GuestRaise, Repl

Recorder = Callable[[Event], None]
#: A submitted call's number, and the item of it.
Place = tuple[int, int]


class RecordEndsError(ModelError):
    """The record of a run that is replayed says nothing of a step. It ends who waits for that."""


class Standing(Record, frozen=True):
    """What a checkpoint keeps beside a node's Python: where the calls of its code stand.

    `calls` and `children` number what it has called for so far; `sub_calls` is
    what that was charged as, with all below it. `outcomes` are of the calls that
    its code went on beside, by number: all are done. `polled` are those that the
    code has been told of.
    """

    calls: int
    children: int
    sub_calls: int
    outcomes: dict[int, list[dict[str, object]]]
    polled: list[Place]


class Journal:
    """What the nodes of one run ask of its record. For any thread."""

    def __init__(
        self, append: Recorder, *, past: Past | None = None, checkpoints: Path | None = None
    ) -> None:
        """`append` makes an event durable. `checkpoints` is the folder for those, None for
        a run without."""
        self.past = past if past is not None else Past()
        self._append = append
        self._checkpoints = checkpoints
        self._restored: dict[str, int] = {}
        self._diverged: RunError | None = None
        self._last_step: Event | None = None
        self._catching_up: Budget | None = None

    def begin(self, budget: Budget) -> None:
        """The run begins or goes on, with the root's ledger `budget`.

        While the root goes through what is on record of it, the clock stands: that time is
        counted already, and nothing that was come to is lost for want of it. What others begin
        meanwhile ends with the root, at the latest.
        """
        self._last_step = self.past.last_step()
        if self._last_step is not None:
            self._catching_up = budget
            budget.clock.stand()

    def model(self, model: Model) -> Model:
        """`model`, to be asked only for what is not on record."""
        return RememberingModel(model, self) if self.past.events else model

    def record(self, event: Event) -> None:
        """Write an event down, unless it is on record.

        Raises RunError if the record has another in its place, and from then on
        for every event: the run cannot be what it was.
        """
        if self._diverged is not None:
            raise self._diverged
        old = self.past.same(event)
        if old is None:
            self._append(event)
        elif found := difference(old, event):
            self._diverged = RunError(
                f"the run does not go again as the record has it: in {title(event)}, {found}",
                hint="another guest, other packages? `rlm-local runs fork` begins a new run from "
                "any turn of it",
            )
            raise self._diverged
        if self._catching_up is not None and old is self._last_step:
            self._catching_up.clock.go_on()
            self._catching_up = None

    # ---------------------------------------------------- what is on record

    def completions(self, requests: Sequence[Request]) -> list[Completion] | None:
        """What the model made of these requests, or None if that is not on record."""
        first = requests[0]
        if first.dialogue:
            reply = self.past.reply(first.node, first.turn)
            return None if reply is None else [reply.completion]
        called = self.past.sub_call(first.node, first.call)
        prompts = tuple(request.messages[-1].content for request in requests)
        if called is None or called.prompts != prompts:
            return None  # not yet asked, or refused: they did not fit the window
        if (called.choices, called.schema) != (first.choices, first.schema):
            return None  # in a fork with another question, the same may be asked in another form
        return list(called.completions)

    def observation(self, node: str, turn: int) -> Observation | None:
        """What a turn's cell gave, if it need not be run: its node was restored after it."""
        if turn > self._restored.get(node, 0):
            return None
        ran = self.past.ran(node, turn)
        return None if ran is None else ran.observation

    def child(
        self, budget: Budget, question: str, prompt: Prompt, *, call: int, index: int
    ) -> NodeEnded | None:
        """How the child of `budget` ended, if it did, with all that it used entered there.

        Raises GuestRaise where its parent's code was told so by an exception.
        """
        ended = self.past.node_ended(budget.node)
        if ended is None or ended.stop in PASSING:
            return None
        raised = self.past.raised(parent_of(budget.node), call, index)
        if ended.stop is StopReason.WINDOW and not ended.text and raised is None:
            return None  # killed before its parent was told how: it comes to the same end again
        return self._told(budget, ended, call, index)

    def _told(self, budget: Budget, ended: NodeEnded, call: int, index: int) -> NodeEnded:
        """Tell a parent what it was told then of a child, and enter what that had used."""
        budget.begin()
        self.past.charge_node(budget)
        _charge_failed(budget, ended.usage.sub_calls)
        raised = self.past.raised(parent_of(budget.node), call, index)
        if raised is not None:
            raise GuestRaise(raised.kind, raised.message)
        return ended

    def refused(self, node: str, call: int, index: int, prompt: str) -> GuestRaise | None:
        """How the model refused a plain call, or the item `index` of it that asks `prompt`, if
        it is not to be asked whether it does so again. Of a call that is one, `index` is -1."""
        return None

    def share(self, share: float | None) -> float | None:
        """What part of what is left a child is to have that was given `share` of it."""
        return share

    def unused(self, node: str, call: int, index: int, child: str = "") -> None:
        """The node has ended without asking for item `index` of a call that its code went on
        beside, or, with -1, for any. `child`: what the item is, if it is one."""

    def polled(self, node: str, turn: int, place: Place, polls: int, *, calls: int) -> bool | None:
        """Whether a submitted call was done at its poll number `polls`, which came after so many
        `calls` of the node's code; None if the record does not say."""
        done_at = self.past.polls(node, *place)
        if done_at is not None:
            return polls >= done_at
        went_on = self.past.ran(node, turn) is not None or self.past.last_call(node) > calls
        return False if went_on else None

    # ---------------------------------------------------------- checkpoints

    def save(self, repl: Repl, node: str, turn: int, standing: Standing) -> None:
        """Keep the state of a node's Python after `turn`, unless the record has more of it."""
        if self._checkpoints is not None and self.past.ran(node, turn + 1) is None:
            repl.save(self._checkpoints / node, turn, msgspec.msgpack.encode(standing))

    def restore(self, repl: Repl, node: str) -> Standing | None:
        """Bring a node's Python to its newest checkpoint that is whole and not ahead of the
        record: where its calls stood then, or None if there is none."""
        last = self.past.last_ran(node)
        if self._checkpoints is None or last == 0:
            return None
        found = repl.restore(self._checkpoints / node, last)
        if found is None:
            return None
        self._restored[node], note = found
        return msgspec.msgpack.decode(note, type=Standing)

    def charge(self, budget: Budget, standing: Standing) -> None:
        """Enter what the calls have cost that a restored Python has made already."""
        self.past.charge_calls(budget, standing.calls)
        _charge_failed(budget, standing.sub_calls)

    def forget(self, node: str) -> None:
        """A node has ended: its checkpoints are of no more use."""
        if self._checkpoints is not None:
            shutil.rmtree(self._checkpoints / node, ignore_errors=True)


def _charge_failed(budget: Budget, sub_calls: int) -> None:
    """Enter calls that left no reply: those beyond what is entered, up to `sub_calls` in all."""
    failed = sub_calls - budget.usage().sub_calls
    if failed > 0:
        budget.enter(sub_calls=failed)


class RememberingModel(ModelWrapper):
    """A model that is asked only for what a journal does not hold."""

    def __init__(self, model: Model, journal: Journal) -> None:
        super().__init__(model)
        self._journal = journal

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        known = self._journal.completions(requests)
        if known is not None:
            return known
        return super().complete(requests, deadline=deadline, token_limit=token_limit)
