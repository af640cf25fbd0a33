"""A run's tree, told from its events: each node with what it did itself and why it ended."""

from __future__ import annotations

from collections.abc import Iterable

from rlm_local.past import PASSING, Past
from rlm_local.records import (
    ROOT,
    Completion,
    Event,
    NodeEnded,
    NodeStarted,
    Record,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
    depth_of,
)


class NodeOutline(Record, frozen=True):
    """One node: what it used itself, without those below it.

    `calls` are its plain calls; the children that it made follow it. `chars` is the
    length of its context. `stop` is None while it runs, or where the record breaks
    off; `seconds` is then None too.
    """

    node: str
    depth: int
    question: str
    chars: int
    turns: int
    calls: int
    tokens: int
    seconds: float | None
    stop: StopReason | None
    message: str


def outline(events: Iterable[Event]) -> list[NodeOutline]:
    """The nodes of a run, each followed by its children in the order of their calls."""
    drafts: dict[str, _Draft] = {}
    for event in Past(events).events.values():  # without what was done again
        match event:
            case RunStarted():
                drafts[ROOT] = _Draft(ROOT, event.question, event.prompt)
            case NodeStarted():
                drafts[event.node] = _Draft(event.node, event.question, event.prompt)
            case TurnStarted() if event.node in drafts:
                drafts[event.node].turns += 1
            case Replied() if event.node in drafts:
                drafts[event.node].add([event.completion])
            case SubCalled() if event.node in drafts:
                drafts[event.node].calls += len(event.prompts)
                drafts[event.node].add(event.completions)
            case NodeEnded() if event.node in drafts:
                drafts[event.node].end(event.stop, event.message, event.usage.seconds)
            case Resumed():
                for draft in drafts.values():
                    draft.reopen()
            case RunEnded(answer=answer) if ROOT in drafts:
                drafts[ROOT].end(answer.stop, answer.message, answer.usage.seconds)
    return [drafts[node].finished() for node in sorted(drafts, key=_place)]


def _place(node: str) -> list[int]:
    return [int(part) for part in node.split(".")]


class _Draft:
    """An outline that grows."""

    def __init__(self, node: str, question: str, prompt: dict[str, object]) -> None:
        chars = prompt.get("chars")
        self.turns = 0
        self.calls = 0
        self._node = node
        self._question = question
        self._chars = chars if isinstance(chars, int) else 0
        self._tokens = 0
        self._seconds: float | None = None
        self._stop: StopReason | None = None
        self._message = ""

    def add(self, completions: Iterable[Completion]) -> None:
        self._tokens += sum(completion.work_tokens for completion in completions)

    def end(self, stop: StopReason, message: str, seconds: float) -> None:
        self._stop, self._message, self._seconds = stop, message, seconds

    def reopen(self) -> None:
        """The run goes on: an end that came from outside is none."""
        if self._stop in PASSING:
            self._stop, self._message, self._seconds = None, "", None

    def finished(self) -> NodeOutline:
        return NodeOutline(
            node=self._node,
            depth=depth_of(self._node),
            question=self._question,
            chars=self._chars,
            turns=self.turns,
            calls=self.calls,
            tokens=self._tokens,
            seconds=self._seconds,
            stop=self._stop,
            message=self._message,
        )
