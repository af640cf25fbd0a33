"""A run as it is watched: as plain lines, as JSON lines, or not at all.

What the views have to say of each event is here too, as text; `live` draws it
on a terminal. Everything that a model or a guest wrote goes through `visible`
before it is shown: control characters in it could move the cursor, rename the
window or worse.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from queue import SimpleQueue
from types import TracebackType
from typing import IO, BinaryIO, Protocol, Self

from rlm_local import jsontext
from rlm_local.closing import Closing
from rlm_local.fences import blocks
from rlm_local.records import (
    ROOT,
    Completion,
    Event,
    NodeEnded,
    NodeStarted,
    Observation,
    Ran,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
    Usage,
)
from rlm_local.units import counted, format_seconds

#: Lines of a cell's output that are shown; the record has them all.
SHOWN_LINES = 16
_LINE_CHARS = 1_000

#: C0 and C1 controls but tab and newline, lone surrogates, and what reorders or hides text.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\ud800-\udfff\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """`text` with every character that a terminal might obey shown as its escape."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class View(Protocol):
    """Somebody who watches a run. `progress` may be called from any thread.

    After `close` everything that it was told of has been shown.
    """

    def progress(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` bytes; a total of 0 is not known, and both 0 is a mere notice."""
        ...

    def event(self, event: Event) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Tally:
    """What a run has used so far and what is left, from its events alone.

    `turns` are the root's, since each node has its own; all else is of the whole
    tree. `children` are those at work now.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.sub_calls = 0
        self.tokens = 0
        self._children: set[str] = set()
        self._limits: dict[str, object] = {}
        self._began = time.monotonic()

    @property
    def children(self) -> int:
        return len(self._children)

    def add(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._limits = event.limits
                self._began = time.monotonic()
            case Resumed():
                self._began = time.monotonic() - event.used_seconds
            case NodeStarted():
                self.sub_calls += 1
                self._children.add(event.node)
            case NodeEnded():  # of one that was interrupted, it comes again if the run goes on
                self._children.discard(event.node)
            case TurnStarted(node="0"):
                self.turns += 1
            case Replied():
                self._charge(event.completion)
            case SubCalled():
                self.sub_calls += len(event.prompts)
                for completion in event.completions:
                    self._charge(completion)

    def left(self) -> str:
        """`left: 9m50s, 19 turns, 2,000 sub-calls, 3,998,120 tokens`."""
        seconds = self._limit("wall_seconds") - (time.monotonic() - self._began)
        return (
            f"left: {format_seconds(max(0.0, seconds))}, "
            f"{self._limit('turns') - self.turns:,.0f} turns, "
            f"{self._limit('sub_calls') - self.sub_calls:,.0f} sub-calls, "
            f"{self._limit('tokens') - self.tokens:,.0f} tokens"
        )

    def _charge(self, completion: Completion) -> None:
        self.tokens += completion.work_tokens

    def _limit(self, name: str) -> float:
        value = self._limits.get(name, 0)
        return float(value) if isinstance(value, int | float) else 0.0


class QuietView(Closing):
    """Shows nothing; the base of the others."""

    def progress(self, stage: str, done: int, total: int) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def close(self) -> None:
        """Show what is still to be shown. Closing twice is harmless."""


class Aside(QuietView):
    """Watches through another view on a thread of its own: drawing costs the run no time.

    The thread starts with the first event. Before that the second wall is put up, which does
    not hold for threads that are there already.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def progress(self, stage: str, done: int, total: int) -> None:
        with contextlib.suppress(OSError):
            self._view.progress(stage, done, total)

    def event(self, event: Event) -> None:
        self._events.put(event)
        if self._thread is None:  # a run's first event comes before it has other threads
            thread = threading.Thread(target=self._watch, daemon=True)
            with contextlib.suppress(RuntimeError):  # the system has no more: all is shown later
                thread.start()
                self._thread = thread

    def close(self) -> None:
        self._events.put(None)
        if self._thread is None:
            self._watch()
        else:
            self._thread.join()

    def _watch(self) -> None:
        # Whoever looked at the stream may have gone, or the disk that it is written to may be
        # full: the run goes on without them.
        with contextlib.suppress(OSError):
            try:
                while (event := self._events.get()) is not None:
                    self._view.event(event)
            finally:
                self._view.close()


class EventLines(QuietView):
    """One line of JSON for each event, the moment it is on record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def event(self, event: Event) -> None:
        self._stream.write(jsontext.encode(event) + b"\n")
        self._stream.flush()


class PlainView(QuietView):
    """Plain lines on a stream: for logs, pipes and `runs show`."""

    def __init__(self, stream: IO[str], *, lines: int = SHOWN_LINES) -> None:
        self._stream = stream
        self._lines = lines
        self._tally = Tally()
        self._stages: set[str] = set()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say once what is being done, where it is more than reading and loading."""
        if done == total == 0 and stage not in self._stages:
            self._stages.add(stage)
            self._write(stage)

    def event(self, event: Event) -> None:
        self._tally.add(event)
        match event:
            case RunStarted():
                self._write(f"run {event.run_id}: {heading(event)}")
            case NodeStarted():
                self._write(asked(event), whose(event.node))
            case TurnStarted(node="0"):
                self._write(f"turn {event.turn} ({self._tally.left()})")
            case TurnStarted():
                self._write(f"turn {event.turn}", whose(event.node))
            case Replied():
                self._write(effort(event), f"{whose(event.node)}  ")
                self._write(said(event), f"{whose(event.node)}  ")
                self._write(event.code, f"{whose(event.node)}  | ")
            case SubCalled():
                self._write(sub_calls(event), f"{whose(event.node)}  ")
            case Ran():
                text = shortened(output(event.observation), self._lines)
                self._write(text, f"{whose(event.node)}  > ")
            case NodeEnded():
                self._write(ended(event), whose(event.node))
            case RunEnded():
                self._write(ending(event))
        self._stream.flush()

    def _write(self, text: str, margin: str = "") -> None:
        for line in visible(text).splitlines():
            self._stream.write(f"{margin}{line}\n")


# ------------------------------------------------------- what the views have to say


def heading(event: RunStarted) -> str:
    """`rlm-nano on 40,000,000 characters in 3 documents (rlm): What is the code?`"""
    chars, documents, skipped = (_number(event, key) for key in ("chars", "documents", "skipped"))
    among = f" in {counted(documents, 'document')}" if documents > 1 else ""
    less = f", {counted(skipped, 'binary file')} left out" if skipped else ""
    size = f"{counted(chars, 'character')}{among}{less}"
    other = f" with {event.sub_model} for sub-calls" if event.sub_model else ""
    return f"{event.model}{other} on {size} ({event.mode}): {event.question}"


def _number(event: RunStarted | NodeStarted, key: str) -> int:
    value = event.prompt.get(key)
    return value if isinstance(value, int) else 0


def whose(node: str) -> str:
    """What stands before the lines of a node: nothing for the root, `[0.3] ` for a child."""
    return "" if node == ROOT else f"[{node}] "


def asked(event: NodeStarted) -> str:
    """`a child on 10,000 characters: Who signed?`"""
    chars, documents = (_number(event, key) for key in ("chars", "documents"))
    among = f" in {counted(documents, 'document')}" if documents > 1 else ""
    return f"a child on {counted(chars, 'character')}{among}: {event.question}"


def ended(event: NodeEnded) -> str:
    """`answered in 1.20 s: 2 turns, 0 sub-calls, 1,234 tokens`, with all that was below it."""
    return _end(event.stop, event.message, event.usage)


def said(event: Replied) -> str:
    """What the model wrote before its code, or all of it when there is no code."""
    found = blocks(event.text)
    return (event.text[: found[0].start] if found else event.text).strip()


def effort(event: Replied) -> str:
    """`(thought for 321 tokens)`, and whether its code had to be written again; or ''."""
    completion = event.completion
    parts = []
    if completion.thought_tokens:
        parts.append(f"thought for {counted(completion.thought_tokens, 'token')}")
    if completion.retries:
        parts.append(f"written again {counted(completion.retries, 'time')}")
    return f"({', '.join(parts)})" if parts else ""


def sub_calls(event: SubCalled) -> str:
    """`64 sub-calls in 3.40 s, 1,234 tokens`"""
    tokens = sum(completion.work_tokens for completion in event.completions)
    calls = counted(len(event.prompts), "sub-call")
    return f"{calls} in {format_seconds(event.seconds)}, {counted(tokens, 'token')}"


def output(observation: Observation) -> str:
    """All that a cell wrote and raised."""
    error = observation.error
    raised = (error.traceback.strip() or f"{error.type}: {error.message}") if error else ""
    parts = (observation.stdout, observation.stderr, observation.value or "", raised)
    return "\n".join(part.rstrip("\n") for part in parts if part)


def shortened(text: str, lines: int) -> str:
    """The first `lines` lines of `text`, none beyond bounds, and what was left out."""
    every = text.splitlines()
    kept = [
        line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}… ({len(line):,} characters)"
        for line in every[:lines]
    ]
    if len(every) > lines:
        kept.append(f"… {len(every) - lines:,} more lines")
    return "\n".join(kept)


def ending(event: RunEnded) -> str:
    """`answered in 3.20 s: 2 turns, 0 sub-calls, 1,234 tokens; run 2026…`

    Where another model answered the sub-calls, the tokens are told of each.
    """
    answer, usage = event.answer, event.answer.usage
    each = (
        f" ({usage.work_tokens - usage.call_tokens:,} of {answer.model}, "
        f"{usage.call_tokens:,} of {answer.sub_model})"
        if answer.sub_model and usage.call_tokens
        else ""
    )
    return f"{_end(answer.stop, answer.message, usage)}{each}; run {answer.run_id}"


def _end(stop: StopReason, message: str, usage: Usage) -> str:
    why = f" ({message})" if message else ""
    return (
        f"{stop}{why} in {format_seconds(usage.seconds)}: {counted(usage.turns, 'turn')}, "
        f"{counted(usage.sub_calls, 'sub-call')}, {counted(usage.work_tokens, 'token')}"
    )
