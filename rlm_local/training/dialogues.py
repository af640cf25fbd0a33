"""The dialogues of a recorded run: what its model saw, and what it said."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rlm_local import dialogue
from rlm_local.past import Past
from rlm_local.records import (
    ROOT,
    Event,
    Message,
    NodeStarted,
    Ran,
    Replied,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
)
from rlm_local.runs import RunRecord
from rlm_local.training.filter import Dialogue, MarkedMessage

#: Who says something in a run: its root, the children with a REPL, and the plain calls.
ROLES = ("root", "child", "sub")
_OF_OTHERS = "taken from a run of another model"


class RunDialogue(Dialogue):
    """A dialogue of a run, with the model that spoke in it. `call` is the number of a plain call
    of the node, else 0."""

    run_id: str
    node: str
    call: int
    model: str


def dialogues(
    record: RunRecord, roles: Collection[str] = ("root",), *, score: float | None = None
) -> Iterator[RunDialogue]:
    """All dialogues of `roles`, with a fault where nothing is to be learned of one.

    `score` is the run's; its children and calls have no other.
    """
    reader = _Reader(record, score)
    for event in list(reader.past.events.values()):
        yield from (found for found in reader.told_by(event) if found["role"] in roles)


class _Reader:
    """Reads the dialogues of one run."""

    def __init__(self, record: RunRecord, score: float | None) -> None:
        self.past = Past(record.events)
        self._run_id = record.run_id
        self._score = score
        started, ended = self.past.started, self.past.ended
        self._model = started.model if started else ""
        self._sub_model = (started.sub_model if started else "") or self._model
        self._others_turns = started.others_turns if started else 0
        self._answered = ended is not None and ended.answer.stop is StopReason.ANSWERED

    def told_by(self, event: Event) -> list[RunDialogue]:
        """The dialogues that begin with `event`."""
        match event:
            case RunStarted():
                return [self._node(ROOT, "root")]
            case NodeStarted():
                return [self._node(event.node, "child")]
            case SubCalled():
                return self._calls(event)
        return []

    def _node(self, node: str, role: str) -> RunDialogue:
        first = self.past.events.get((TurnStarted, node, 1))
        messages = [_shown(m) for m in first.opening] if isinstance(first, TurnStarted) else []
        others = self._others_turns if node == ROOT else 0
        fault = "" if messages else "its first messages are not on record"
        if node != ROOT:
            ended = self.past.node_ended(node)
            if ended is None or ended.stop is not StopReason.ANSWERED:
                fault = "the child did not answer"
            elif self._is_others(node):
                fault = _OF_OTHERS
        turn = 1
        while (reply := self.past.reply(node, turn)) is not None:
            ran = self.past.ran(node, turn)
            messages.append(_said(reply, ran, of_others=turn <= others))
            if ran is not None:
                messages.append({"role": "user", "content": ran.shown, "learn": False})
            turn += 1
        if messages and messages[-1]["role"] == "user":  # the last output, which nobody read
            del messages[-1]
        return self._dialogue(role, node, messages, fault)

    def _calls(self, event: SubCalled) -> list[RunDialogue]:
        found = []
        for prompt, completion in zip(event.prompts, event.completions, strict=True):
            reply = completion.text if event.choices else completion.text.strip()
            fault = "" if reply else "an empty reply"
            if self._is_others(event.node, event.turn):
                fault = _OF_OTHERS
            elif completion.reused:
                fault = "a call that was made before"
            elif completion.finish == "form":
                fault = "a reply that was not in its form"
            elif completion.finish != "stop":
                fault = "a reply that was cut short"
            messages = [_shown(message) for message in dialogue.sub_call(prompt)]
            messages.append(
                {
                    "role": "assistant",
                    "content": reply,
                    "learn": True,
                    "fault": "",
                    "thought": completion.thought,
                }
            )
            found.append(self._dialogue("sub", event.node, messages, fault, call=event.call))
        return found

    def _is_others(self, node: str, turn: int = 0) -> bool:
        """Whether a child, or the call in a `turn` of the root, comes of a turn of theirs."""
        if node != ROOT:
            started = self.past.node_started(".".join(node.split(".")[:2]))
            turn = started.turn if started is not None else 0
        return turn <= self._others_turns

    def _dialogue(
        self, role: str, node: str, messages: list[MarkedMessage], fault: str, call: int = 0
    ) -> RunDialogue:
        return {
            "messages": messages,
            "role": role,
            "score": self._score,
            "fault": fault if self._answered else "the run was not answered",
            "run_id": self._run_id,
            "node": node,
            "call": call,
            "model": self._sub_model if role == "sub" else self._model,
        }


def _shown(message: Message) -> MarkedMessage:
    return {"role": message.role, "content": message.content, "learn": False}


def _said(reply: Replied, ran: Ran | None, *, of_others: bool) -> MarkedMessage:
    """A turn, with what is wrong with it."""
    read = dialogue.read_turn(reply.text, cut=reply.completion.finish == "length")
    fault = ""
    if of_others:
        fault = _OF_OTHERS
    elif ran is None:
        fault = "not run to its end"
    elif not reply.code:
        fault = "no code"
    elif ran.observation.error is not None:
        fault = "an error"
    elif ran.shown == dialogue.REPEATED:
        fault = "a repeat"
    # What follows a block was never part of the history; of a turn to learn the filter cuts it.
    content = read.said if fault else reply.text
    return {
        "role": "assistant",
        "content": content,
        "learn": True,
        "fault": fault,
        "thought": reply.completion.thought,
    }
