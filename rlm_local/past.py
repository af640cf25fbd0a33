"""What a recorded run has been through, to be looked up when it happens again.

A run that is resumed, replayed or forked runs its loop from the beginning, and
where the record says what came of a step, that is taken instead of doing it. So
the steps must be found by names that are the same each time: a node's id and
turn, and the number of the call that its code made. Order in time is no such
name, since children and submitted calls run side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rlm_local.budget import Budget
from rlm_local.records import (
    ROOT,
    CallRaised,
    Event,
    NodeEnded,
    NodeStarted,
    Observation,
    Polled,
    Ran,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    Submitted,
    TurnStarted,
    depth_of,
)

#: An event's name: its kind, its node, and its turn or call and index.
Key = tuple[object, ...]

#: What a REPL says of a cell that it stopped for good, for a reason that is not the cell's.
_CLOCK_WORDS = (
    "the time of the whole run is over",
    "which is the limit of a cell",
    "it was interrupted from outside",
)

#: A run or a child that ended so may go on: nothing of its own ended it.
PASSING = frozenset(
    [
        StopReason.INTERRUPTED,
        StopReason.MODEL,
        StopReason.SANDBOX,
        StopReason.DISK,
        StopReason.CANCELLED,
    ]
)


def key_of(event: Event) -> Key:
    """The name of an event, the same whenever its run takes the same course."""
    match event:
        case RunStarted() | RunEnded() | Resumed():
            return (type(event), ROOT)
        case NodeStarted() | NodeEnded():
            return (type(event), event.node)
        case TurnStarted() | Replied() | Ran():
            return (type(event), event.node, event.turn)
        case SubCalled() | Submitted():
            return (type(event), event.node, event.call)
        case CallRaised() | Polled():
            return (type(event), event.node, event.call, event.index)


def difference(old: Event, new: Event) -> str:
    """How `new` differs from `old`, the event of the same name: a few words, or ''.

    Times do not count, nor does the turn in which a submitted call came back.
    """
    match old, new:
        case Replied(), Replied():
            return _unlike(old, new, "text", "code")
        case SubCalled(), SubCalled():
            return _unlike(old, new, "prompts", "replies")
        case Submitted(), Submitted():
            return _unlike(old, new, "prompts")
        case CallRaised(), CallRaised():
            return _unlike(old, new, "kind", "message")
        case NodeStarted(), NodeStarted():
            old = msgspec.structs.replace(old, prompt=content_of(old.prompt))
            new = msgspec.structs.replace(new, prompt=content_of(new.prompt))
            return _unlike(old, new, "question", "prompt", "turn", "call", "index", "share")
        case NodeEnded(), NodeEnded():
            return _unlike(old, new, "text", "stop")
        case RunEnded(), RunEnded():
            return _unlike(old.answer, new.answer, "text", "stop")
        case Ran(), Ran():
            return _unlike(timeless(old.observation), timeless(new.observation)) or _unlike(
                old, new, "shown"
            )
    return ""


def content_of(prompt: dict[str, object]) -> dict[str, object]:
    """What a record says of a prompt, but for where it came from and what lay there beside it:
    a run that goes on reads the same content by another path than the one given, or from what
    was kept of a stream."""
    return {name: what for name, what in prompt.items() if name not in ("sources", "skipped")}


def title(event: Event) -> str:
    """What people call an event."""
    match event:
        case RunStarted():
            return "the run's start"
        case RunEnded() | Resumed():
            return "the run's end"
        case NodeStarted():
            return f"the start of child {event.node}"
        case NodeEnded():
            return f"the end of child {event.node}"
        case TurnStarted() | Replied() | Ran():
            return f"turn {event.turn} of node {event.node}"
        case SubCalled() | Submitted() | CallRaised() | Polled():
            return f"call {event.call} of node {event.node}"


def timeless(ran: Observation) -> Observation:
    """What a cell gave, without how long it took."""
    return msgspec.structs.replace(ran, seconds=0.0, host_seconds=0.0)


def stopped_by_clock(ran: Observation) -> bool:
    """Whether a cell was ended for its time, or from outside: another time it goes further."""
    error = ran.error
    return error is not None and (
        (error.type == "KeyboardInterrupt" and error.message.startswith("the cell was interrupted"))
        or (ran.restarted and any(words in error.message for words in _CLOCK_WORDS))
    )


class Past:
    """The events of a run, by name."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: dict[Key, Event] = {}
        self._calls: dict[str, list[SubCalled | CallRaised | NodeStarted]] = {}
        self._turns: dict[str, list[TurnStarted | Replied]] = {}
        self._last_calls: dict[str, int] = {}
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        if isinstance(event, Resumed):
            self._reopen()
        self.events[key_of(event)] = event
        match event:
            case NodeStarted():
                self._note_call(parent_of(event.node), event.call)
            case Submitted() | SubCalled() | CallRaised():
                self._note_call(event.node, event.call)
        match event:
            case SubCalled() | CallRaised():
                self._calls.setdefault(event.node, []).append(event)
            case NodeStarted():
                self._calls.setdefault(parent_of(event.node), []).append(event)
            case TurnStarted() | Replied():
                self._turns.setdefault(event.node, []).append(event)

    def _note_call(self, node: str, call: int) -> None:
        self._last_calls[node] = max(call, self._last_calls.get(node, 0))

    def _reopen(self) -> None:
        """The run was taken up again: ends that came from outside are none, and what they cut
        short is done anew. A node that had ended for good stays as it is, with all below it."""
        over = [
            event.node
            for event in self.events.values()
            if isinstance(event, NodeEnded) and event.stop not in PASSING
        ]
        self.events = {
            key: event
            for key, event in self.events.items()
            if not _is_broken_off(event) or any(_is_within(event, node) for node in over)
        }
        for calls in self._calls.values():
            calls[:] = [event for event in calls if self.same(event) is event]
        for turns in self._turns.values():
            turns[:] = [event for event in turns if self.same(event) is event]

    # ----------------------------------------------------------- single steps

    @property
    def started(self) -> RunStarted | None:
        found = self.events.get((RunStarted, ROOT))
        return found if isinstance(found, RunStarted) else None

    @property
    def ended(self) -> RunEnded | None:
        found = self.events.get((RunEnded, ROOT))
        return found if isinstance(found, RunEnded) else None

    def same(self, event: Event) -> Event | None:
        """The event of the same name."""
        return self.events.get(key_of(event))

    def reply(self, node: str, turn: int) -> Replied | None:
        """What the model said in a turn."""
        found = self.events.get((Replied, node, turn))
        return found if isinstance(found, Replied) else None

    def sub_call(self, node: str, call: int) -> SubCalled | None:
        """What came of a node's call."""
        found = self.events.get((SubCalled, node, call))
        return found if isinstance(found, SubCalled) else None

    def ran(self, node: str, turn: int) -> Ran | None:
        """What a turn's cell gave."""
        found = self.events.get((Ran, node, turn))
        return found if isinstance(found, Ran) else None

    def last_ran(self, node: str = ROOT) -> int:
        """The last turn of a node that came to its end; 0 if none did."""
        turn = 0
        while (Ran, node, turn + 1) in self.events:
            turn += 1
        return turn

    def last_step(self) -> Replied | Ran | None:
        """The last that the root has come to on record: what the model said, or what the cell
        of that gave."""
        turn = self.last_ran()
        return self.reply(ROOT, turn + 1) or self.ran(ROOT, turn)

    def node_started(self, node: str) -> NodeStarted | None:
        """How a child began."""
        found = self.events.get((NodeStarted, node))
        return found if isinstance(found, NodeStarted) else None

    def node_ended(self, node: str) -> NodeEnded | None:
        """What came of a child."""
        found = self.events.get((NodeEnded, node))
        return found if isinstance(found, NodeEnded) else None

    def raised(self, node: str, call: int, index: int) -> CallRaised | None:
        """The exception that a node's code was told of a call, or of an item of it."""
        found = self.events.get((CallRaised, node, call, index))
        return found if isinstance(found, CallRaised) else None

    def polls(self, node: str, call: int, index: int) -> int | None:
        """How often a submitted call was polled until it was done; None if it never was."""
        found = self.events.get((Polled, node, call, index))
        return found.polls if isinstance(found, Polled) else None

    def last_call(self, node: str) -> int:
        """The last call of a node's code that left a trace; 0 if none did."""
        return self._last_calls.get(node, 0)

    def was_stopped_by_clock(self, node: str) -> bool:
        """Whether one of a node's cells was stopped for its time."""
        return any(
            isinstance(event, Ran) and event.node == node and stopped_by_clock(event.observation)
            for event in self.events.values()
        )

    def events_of(self, node: str) -> list[Event]:
        """The events of a child and of all below it, in order."""
        return [event for event in self.events.values() if _is_within(event, node)]

    # ------------------------------------------------------------------ costs

    def charge_calls(self, budget: Budget, last_call: int) -> None:
        """Enter what a node's calls up to `last_call` have cost, with all below them."""
        for event in self._calls.get(budget.node, ()):
            if event.call > last_call:
                continue
            if isinstance(event, NodeStarted):
                budget.enter(sub_calls=1)
                child = budget.known_child(event.node)
                child.begin()
                self.charge_node(child)
                continue
            if isinstance(event, SubCalled):
                budget.enter(sub_calls=len(event.prompts))
            budget.charge_completions(event.completions, depth=depth_of(budget.node) + 1)

    def charge_node(self, budget: Budget) -> None:
        """Enter what a whole child has cost."""
        for event in self._turns.get(budget.node, ()):
            if isinstance(event, Replied):
                budget.charge_completions([event.completion], depth=event.depth)
            else:
                budget.enter(turns=1)
        self.charge_calls(budget, last_call=1 << 62)


def _is_within(event: Event, node: str) -> bool:
    """Whether an event is of `node` or of one below it."""
    name: str = getattr(event, "node", ROOT)
    return name == node or name.startswith(f"{node}.")


def _is_broken_off(event: Event) -> bool:
    """Whether it tells of what an end from outside may have cut short."""
    match event:
        case RunEnded():
            return True
        case NodeEnded():
            return event.stop in PASSING
        case Replied():
            return event.completion.is_cut
        case SubCalled():
            return any(completion.is_cut for completion in event.completions)
    return False


def until_turn(
    events: Iterable[Event], turn: int, *, said_by_others: bool = False
) -> Iterator[Event]:
    """The events of a run up to the end of the root's turn `turn`, without an end of the run.

    `said_by_others`: its plain calls were answered by another model than the one that is to
    go on, and its start says so (`RunStarted.others_turns`).
    """
    for each in events:
        event = each
        if isinstance(event, RunStarted) and said_by_others:
            event = msgspec.structs.replace(event, others_turns=turn)
        if isinstance(event, TurnStarted) and event.node == ROOT and event.turn > turn:
            return
        if not isinstance(event, RunEnded):
            yield event


def parent_of(node: str) -> str:
    """The node that `node` is a child of."""
    return node.rpartition(".")[0]


def _unlike(old: msgspec.Struct, new: msgspec.Struct, *fields: str) -> str:
    for name in fields or old.__struct_fields__:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"{name} was {_brief(was)} and is {_brief(now)}"
    return ""


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
