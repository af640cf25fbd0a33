"""The policy whose turns the model learns: it sees what the model sees, and the answer.

After each cell it looks up in which passages the value can be taken out, and by
which program; it prefers the first passage and the simplest program. Nothing it
writes contains a key or a value.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from models.nano import programs, values
from models.nano.tasks import Task
from rlm_local import dialogue
from rlm_local.records import Message, Observation
from rlm_local.sandbox import Repl

#: How often a dialogue has a first attempt that goes wrong, and its correction.
MISSTEPS = 0.08

#: (side, index): the programs by which a value is taken out, the simplest first.
_PROGRAMS = (("after", 0), ("before", -1), ("after", 1), ("before", -2))
_PARTS = {"before": 0, "after": 2}


class Hit(NamedTuple):
    """A passage, as `locate` returns it."""

    before: str
    key: str
    after: str


@dataclass
class Episode:
    """A finished dialogue. `learn[n]`: message `n` is a turn to be learned."""

    messages: list[Message]
    learn: list[bool] = field(default_factory=list)
    answer: str | None = None
    steps: list[str] = field(default_factory=list)


class Ending:
    """The host side of FINAL: keeps what the guest hands over."""

    def __init__(self) -> None:
        self.text: str | None = None

    def __call__(self, name: str, arguments: list[object]) -> object:
        if name == "final" and self.text is None:
            self.text = str(arguments[0])
        return None


def play(
    task: Task, opening: tuple[Message, ...], repl: Repl, ending: Ending, rng: random.Random
) -> Episode | None:
    """Play `task` in `repl`. None if the programs cannot find the answer."""
    profile = dialogue.profile_of("nano")
    episode = Episode(messages=list(opening), learn=[False] * len(opening))

    def run(step: str, cell: str, *, learn: bool = True) -> None:
        ran = execute(repl, cell)
        shown = dialogue.observation(profile, ran, 4_000)
        episode.messages += [Message("assistant", programs.turn(cell)), Message("user", shown)]
        episode.learn += [learn, False]
        episode.steps.append(step)

    run("locate", programs.LOCATE)
    hits = passages(task)
    for start in range(0, len(hits), programs.SHOWN):
        found = extraction(task, hits, range(start, start + programs.SHOWN))
        if found is not None:
            if rng.random() < MISSTEPS:
                for cell in misstep(task, hits, start, rng):
                    run("misstep", cell, learn=False)
            run("final", programs.final(*found))
            del episode.messages[-1], episode.learn[-1]
            episode.answer = ending.text
            return episode
        if extraction(task, hits, range(start + programs.SHOWN, programs.KEPT)) is None:
            return None
        run("more", programs.more(start + programs.SHOWN))
    return None


def execute(repl: Repl, cell: str) -> Observation:
    return repl.execute(cell, deadline=time.monotonic() + 120, cell_seconds=60)


def passages(task: Task) -> list[Hit]:
    """The passages that `hits` holds in the guest, from the same cells run here.

    (Looking into the guest would be a cell more, and the dialogue would show it.)
    """
    variables: dict[str, object] = {
        "context": task.texts[0] if task.single else list(task.texts),
        "question": task.question,
        "chunks": lambda text, chars: [text[n : n + chars] for n in range(0, len(text), chars)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        exec(programs.LOCATE, variables)
    return [Hit(*hit) for hit in cast("list[tuple[str, str, str]]", variables["hits"])]


def extraction(task: Task, hits: list[Hit], shown: range) -> tuple[str, int, str, int] | None:
    """The arguments of `programs.final` that give the answer from the shown passages."""
    found = [
        (n + 3 * (index not in (0, -1)), order, (values.PATTERNS[task.kind], n, side, index))
        for n, hit in enumerate(hits)
        if n in shown
        for order, (side, index) in enumerate(_PROGRAMS)
        if taken(task, hit, values.PATTERNS[task.kind], side, index) == task.gold
    ]
    return min(found)[2] if found else None


def taken(task: Task, hit: Hit, pattern: str, side: str, index: int) -> str | None:
    """What `programs.final` would answer, or None where it would raise."""
    found = [v for v in re.findall(pattern, hit[_PARTS[side]]) if v not in task.question]
    return found[index] if -len(found) <= index < len(found) else None


def misstep(task: Task, hits: list[Hit], start: int, rng: random.Random) -> Iterator[str]:
    """A cell that a careless model might write here: one that raises, or a needless look."""
    if rng.random() < 0.25:
        yield programs.more(start + programs.SHOWN)
        return
    tries = [
        (pattern, n, side, index)
        for pattern in values.PATTERNS.values()
        for n in range(start, min(start + programs.SHOWN, len(hits)))
        for side, index in _PROGRAMS[:2]
        if taken(task, hits[n], pattern, side, index) is None
    ]
    if tries:
        yield programs.final(*rng.choice(tries))
