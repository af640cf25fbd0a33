"""Samples as trainers read them: a chat whose last message is the turn to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import msgspec

from rlm_local.errors import UsageError
from rlm_local.records import Record
from rlm_local.runs import RunRecord
from rlm_local.training.dialogues import RunDialogue, dialogues
from rlm_local.training.filter import MOST_CHARS, filtered


class ChatMessage(TypedDict):
    role: str
    content: str


class Sample(TypedDict):
    """One turn with its whole history. `turn` counts a node's turns from 1. Of a plain call
    it is 0, and `call` its number. `score` is the run's, None if not known."""

    messages: list[ChatMessage]
    run_id: str
    node: str
    turn: int
    call: int
    role: str
    model: str
    score: float | None


class Selection(Record, frozen=True):
    """What is taken of a run: dialogues of `roles`, of these `models` (none: of any).

    `scores`, by run id: runs without one are left out then. None: no run has one.
    `thoughts`: whether what was thought before a turn is learned with it.
    """

    roles: tuple[str, ...] = ("root",)
    models: tuple[str, ...] = ()
    scores: Mapping[str, float] | None = None
    least_score: float = 0.0
    most_chars: int = MOST_CHARS
    thoughts: bool = False


def samples(record: RunRecord, selection: Selection, tally: Counter[str]) -> Iterator[Sample]:
    """The samples of a run, filtered and repaired. `tally` counts what was done."""
    tally["runs"] += 1
    if not record.events:
        tally["runs left out: empty"] += 1
        return
    scores = selection.scores
    if scores is not None and record.run_id not in scores:
        tally["runs left out: without a score"] += 1
        return
    score = None if scores is None else scores[record.run_id]
    for kept in filtered(
        _of_models(dialogues(record, selection.roles, score=score), selection.models, tally),
        tally,
        least_score=selection.least_score,
        most_chars=selection.most_chars,
    ):
        yield from _samples_of(kept, thoughts=selection.thoughts)


def _of_models(
    found: Iterator[RunDialogue], models: Collection[str], tally: Counter[str]
) -> Iterator[RunDialogue]:
    for dialogue in found:
        if not models or dialogue["model"] in models:
            yield dialogue
        else:
            tally[f"dialogues left out: of another model, {dialogue['model']}"] += 1


def _samples_of(dialogue: RunDialogue, *, thoughts: bool) -> Iterator[Sample]:
    history: list[ChatMessage] = []
    turn = 0
    for message in dialogue["messages"]:
        said: ChatMessage = {"role": message["role"], "content": _as_utf8(message["content"])}
        if message["role"] == "assistant":
            turn += 1
        if message["role"] == "assistant" and message["learn"]:
            learned = said
            if thoughts:  # which the runtime, too, keeps out of the history
                thought = _as_utf8(message.get("thought", ""))
                learned = {"role": said["role"], "content": thought + said["content"]}
            yield {
                "messages": [*history, learned],
                "run_id": dialogue["run_id"],
                "node": dialogue["node"],
                "turn": 0 if dialogue["call"] else turn,
                "call": dialogue["call"],
                "role": dialogue["role"],
                "model": dialogue["model"],
                "score": dialogue["score"],
            }
        history.append(said)


def _as_utf8(text: str) -> str:
    """`text` with lone surrogates as the model has seen them: as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


class _Score(msgspec.Struct):
    run_id: str
    score: float


def read_scores(path: Path) -> dict[str, float]:
    """Scores by run id, from JSON lines with `run_id` and `score` (other fields are passed over).

    The last line on a run counts. Raises UsageError.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="name a file of JSON lines"
        ) from error
    scores = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=_Score)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path}, line {number}: {error}",
                hint='write a line for each run, like {"run_id": "…", "score": 0.5}',
            ) from error
        scores[found.run_id] = found.score
    return scores
