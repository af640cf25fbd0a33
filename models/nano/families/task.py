"""A task of any family: what is asked, about what, what is right, and how it is done."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.nano import programs
from models.nano.lexicon import Split

#: How an answer is compared with the right one; see `score`.
Match = Literal["exact", "number", "set", "pairs"]


@dataclass(frozen=True)
class Task:
    """`texts` is the prompt (one text if `single`), `gold` what is right.

    `plan`: the cells after the profile, the last of which ends the run. `chance`: that of a guess
    among its endings. `reply` answers the sub-calls; `child` is the task of an `rlm_query`.
    `labels`: those that the sub-prompts of a semantic task must name.
    """

    family: str
    seed: int
    question: str
    texts: tuple[str, ...]
    gold: str
    plan: tuple[str, ...]
    kind: str
    match: Match = "exact"
    chance: float = 0.0
    traits: tuple[str, ...] = ()
    reply: Callable[[str], str] | None = None
    child: Task | None = None
    labels: tuple[str, ...] = ()
    listed: bool = False

    @property
    def single(self) -> bool:
        """Whether `context` is a str, not a list of str."""
        return len(self.texts) == 1 and not self.listed

    @property
    def chars(self) -> int:
        """Length of all texts, in characters."""
        return sum(map(len, self.texts))

    @property
    def turns(self) -> tuple[str, ...]:
        """The turns of the dialogue, as the model has to write them."""
        return tuple(programs.turn(cell) for cell in self.plan)


def first_made(
    family: str, split: Split, seed: int, attempt: Callable[[random.Random], Task | None]
) -> Task:
    """What `attempt` makes of the first of this seed's random numbers that it can use."""
    for number in range(1_000):
        made = attempt(random.Random(f"{family}-{split}-{seed}-{number}"))
        if made:
            return made
    raise RuntimeError(f"no {family} task for seed {seed} in 1,000 attempts")


def score(answer: str, gold: str, match: Match) -> float:
    """How right an answer is, from 0 to 1.

    "exact": the same text. "number": the same number within 0.01. "set": the same things,
    between commas or line ends, in any order. "pairs": F1 over lines of the form `(a, b)`, in
    any order, each pair in either order.
    """
    if match == "exact":
        return float(answer.strip() == gold)
    if match == "number":
        try:
            return float(abs(float(answer) - float(gold)) < 0.01)
        except ValueError:
            return 0.0
    if match == "set":
        return float(_things(answer) == _things(gold))
    said, right = _pairs(answer), _pairs(gold)
    if not said or not right:
        return float(said == right)
    return 2 * len(said & right) / (len(said) + len(right))


def _things(text: str) -> set[str]:
    return {thing.strip() for thing in text.replace("\n", ",").split(",")} - {""}


def _pairs(text: str) -> set[frozenset[str]]:
    return {
        frozenset(name.strip() for name in line.strip().strip("()").split(","))
        for line in text.splitlines()
        if line.strip()
    }
