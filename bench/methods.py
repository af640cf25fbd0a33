"""Ways to answer a question about a text of any length, all with the same model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import bm25s
import msgspec

from bench.windows import Count, head_and_tail, pieces
from models.nano.evaluate import finished
from models.nano.families.evaluate import counts
from models.nano.families.task import Task
from rlm_local import dialogue
from rlm_local.limits import Limits
from rlm_local.model import Model
from rlm_local.plaincalls import most_written
from rlm_local.queries import MOST_CHARS_PER_TOKEN
from rlm_local.records import ROOT, Event, Message, Request, StopReason, Usage
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.sandbox import Sandbox

#: Of what the methods do. To be raised with every change by which one of them may answer or stop
#: otherwise, be it here, in `bench.windows` or in the runtime: earlier results are not used then.
VERSION = 2
#: What a chat template and joined texts may add to the tokens counted.
MARGIN_TOKENS = 64
#: Of a chunk that retrieval ranks. Fewer where the window holds less than four of them.
CHUNK_TOKENS = 256
#: Of the notes that the compaction agent keeps.
NOTES_TOKENS = 192
#: Who asks, where there is no run: so that what is in the cache of it can be let go.
NODE = "baseline"


@dataclass(frozen=True)
class Outcome:
    """What a method answered, and the model's calls and work tokens that it took.

    `guessed`: the task has labels, and a run answered it without sub-prompts that each name all.
    """

    answer: str
    stop: str
    calls: int
    tokens: int
    guessed: bool = False


class Method(Protocol):
    """Answers one task at a time. What `Limits.wall_seconds` allow, each has for a task."""

    def answer(self, task: Task) -> Outcome: ...


class TimeUp(Exception):
    """The time for the task is over."""


class Calls:
    """The model's calls for one task, counted. Raises TimeUp when its time is over."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self._deadline = time.monotonic() + limits.wall_seconds
        self.made = 0
        self.tokens = 0

    def room(self, *texts: str) -> int:
        """Tokens that fit the window beside these texts and a reply."""
        reply = most_written(self._limits, self._model.info)
        taken = sum(map(self.count, texts)) + reply + MARGIN_TOKENS
        return max(1, self._model.info.context_tokens - taken)

    def count(self, text: str) -> int:
        if time.monotonic() > self._deadline:
            raise TimeUp
        return self._model.count_tokens(text)

    def ask(self, messages: Sequence[Message], max_tokens: int) -> str:
        request = Request(
            messages=tuple(messages),
            max_tokens=max_tokens,
            thought_tokens=self._limits.sub_call_thought_tokens,
            dialogue=NODE,
            node=NODE,
        )
        [completion] = self._model.complete([request], deadline=self._deadline, token_limit=1 << 40)
        self.made += 1
        self.tokens += completion.work_tokens
        if completion.finish == "deadline":
            raise TimeUp
        return completion.text.strip()


class _Reading:
    """A method without a REPL: it reads texts that fit the window."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model = model
        self._limits = limits

    def answer(self, task: Task) -> Outcome:
        calls = Calls(self._model, self._limits)
        try:
            answer, stop = self.read(task, calls), StopReason.ANSWERED
        except TimeUp:
            answer, stop = "", StopReason.WALL_CLOCK
        finally:  # the next method may ask the very same, and is to take as long for it
            self._model.cancel(NODE)
        return Outcome(answer, stop.value, calls.made, calls.tokens)

    def read(self, task: Task, calls: Calls) -> str:
        raise NotImplementedError

    def reply(self, calls: Calls, question: str, text: str) -> str:
        return calls.ask(dialogue.direct(question, text), self._limits.sub_call_tokens)


class Direct(_Reading):
    """The text as it is; of one that does not fit the window, the beginning and the end."""

    def read(self, task: Task, calls: Calls) -> str:
        room = calls.room(task.question, *_WORDING)
        return self.reply(calls, task.question, head_and_tail(whole(task), room, calls.count))


class Retrieval(_Reading):
    """The chunks that BM25 ranks highest for the question, as many as fit, in the text's order."""

    def read(self, task: Task, calls: Calls) -> str:
        room = calls.room(task.question, *_WORDING)
        chunks = list(pieces(whole(task), min(CHUNK_TOKENS, max(1, room // 4)), calls.count))
        return self.reply(calls, task.question, best(task.question, chunks, room, calls.count))


class Compaction(_Reading):
    """Window after window, with notes that the model writes anew after each.

    A text that fits the window is read at once: there is nothing to compact.
    """

    def read(self, task: Task, calls: Calls) -> str:
        text = whole(task)
        most = calls.room(task.question, *_WORDING)
        if len(text) <= most * MOST_CHARS_PER_TOKEN and calls.count(text) <= most:
            return self.reply(calls, task.question, text)
        notes = "(none yet)"
        room = calls.room(task.question, _NOTES) - NOTES_TOKENS
        for number, part in enumerate(pieces(text, max(1, room), calls.count), 1):
            asked = _NOTES.format(question=task.question, notes=notes, number=number, part=part)
            notes = calls.ask((Message("user", asked),), NOTES_TOKENS)
        return self.reply(calls, task.question, f"Notes on a text:\n{notes}")


class Rlm:
    """The runtime of this project, with sub-calls down to `depth`."""

    def __init__(
        self, depth: int, model: Model, limits: Limits, *, sandbox: Sandbox, store: RunStore
    ) -> None:
        self._runtime = Runtime(
            model=model,
            sandbox=sandbox,
            store=store,
            limits=msgspec.structs.replace(limits, depth=depth),
        )

    def answer(self, task: Task) -> Outcome:
        context = task.texts[0] if task.single else list(task.texts)
        events: list[Event] = []
        made = finished(
            self._runtime.ask(task.question, context, mode="rlm", on_event=events.append)
        )
        self._runtime.model.cancel(ROOT)  # as the other methods leave nothing to the next
        return Outcome(
            made.text,
            made.stop.value,
            calls_of(made.usage),
            made.usage.work_tokens,
            guessed=not counts(task, events),
        )


def methods(
    model: Model, limits: Limits, *, sandbox: Sandbox, store: RunStore
) -> dict[str, Method]:
    """All methods by name."""
    depths = {
        f"rlm depth {depth}": Rlm(depth, model, limits, sandbox=sandbox, store=store)
        for depth in (0, 1, 2)
    }
    return {
        "direct": Direct(model, limits),
        "compaction": Compaction(model, limits),
        "retrieval": Retrieval(model, limits),
        **depths,
    }


def calls_of(usage: Usage) -> int:
    """The model's calls in a run: turns and plain calls, but those that had an earlier reply.

    A child is a sub-call by the ledger; what it asked of the model are its turns.
    """
    children = sum(depth.nodes for depth in usage.by_depth if depth.depth > 0)
    return usage.turns + usage.sub_calls - children - usage.reused_calls


def whole(task: Task) -> str:
    """The task's texts as one."""
    if task.single:
        return task.texts[0]
    return "\n\n".join(f"[text {n}]\n{text}" for n, text in enumerate(task.texts, 1))


def best(question: str, chunks: Sequence[str], room: int, count: Count) -> str:
    """The chunks that BM25 ranks highest, up to `room` tokens, in their own order."""
    words = _words(chunks)
    if not any(words):
        return ""
    ranking = bm25s.BM25()
    ranking.index(words, show_progress=False)
    ranked = ranking.retrieve(
        _words([question]), k=min(len(chunks), max(1, room)), show_progress=False, sorted=True
    )
    taken: list[int] = []
    for number in map(int, ranked.documents[0]):
        room -= count(chunks[number]) + _JOIN_TOKENS
        if room < 0:
            break
        taken.append(number)
    return GAP_OF_CHUNKS.join(chunks[number] for number in sorted(taken))


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="en", return_ids=False, show_progress=False
    )
    return words


#: Between two chunks that did not follow each other.
GAP_OF_CHUNKS = "\n…\n"
_JOIN_TOKENS = 4
_WORDING = tuple(message.content for message in dialogue.direct("", ""))
_NOTES = """\
You read a long text part by part, to answer a question when all of it is read.
Question: {question}

Your notes on the parts before:
{notes}

Part {number}:
{part}

Write the notes anew, with all that helps to answer the question, in at most 100 words."""
