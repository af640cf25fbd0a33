"""The policy whose turns the model learns: it sees what the model sees, and the answer.

It locates the passages and ends the run with the value of the right form. A part
of its dialogues first tries a form that there is not, and shows what follows.
Nothing it writes contains a key or a value.
"""

from __future__ import annotations

import contextlib
import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from models.nano import programs
from models.nano.tasks import Task
from rlm_local import dialogue
from rlm_local.records import Message, Observation
from rlm_local.sandbox import Repl

#: How often a dialogue has a first attempt that goes wrong, and its correction.
MISSTEPS = 0.05
#: Forms that a careless model might ask for.
_NO_FORMS = ("date", "name", "code", "text", "id")


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
    if rng.random() < MISSTEPS:
        run("misstep", programs.final(rng.choice(_NO_FORMS)), learn=False)
    if finder(task)(task.kind) != task.gold:
        return None
    run("final", programs.final(task.kind))
    del episode.messages[-1], episode.learn[-1]
    episode.answer = ending.text
    return episode


def execute(repl: Repl, cell: str) -> Observation:
    return repl.execute(cell, deadline=time.monotonic() + 120, cell_seconds=60)


def finder(task: Task) -> Callable[[str], str | None]:
    """What `nearest` gives in the guest, by the same cell run here; None if there is nothing.

    (Trying it in the guest would be a cell more, and the dialogue would show it.)
    """
    variables: dict[str, object] = {
        "context": task.texts[0] if task.single else list(task.texts),
        "question": task.question,
        "chunks": lambda text, chars: [text[n : n + chars] for n in range(0, len(text), chars)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        exec(programs.LOCATE, variables)
    nearest = cast("Callable[[str], tuple[float, str | None]]", variables["nearest"])
    return lambda form: nearest(form)[1]
