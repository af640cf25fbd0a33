"""All families by name."""

from __future__ import annotations

from collections.abc import Callable

from models.nano.families import chains, labels, needles, pairs, parts, reports, tables
from models.nano.families.task import Task
from models.nano.lexicon import Split

#: Makes the task of a seed: `(seed, split, chars) -> Task`.
Maker = Callable[[int, Split, int], Task]

FAMILIES: dict[str, Maker] = {
    "needles": needles.task,
    "chains": chains.task,
    "labels": labels.task,
    "pairs": pairs.task,
    "parts": parts.task,
    "reports": reports.task,
    "tables": tables.task,
}

#: Families of which only training has tasks of their own: the evaluation of a single needle is
#: `models.nano.evaluate`.
_TRAINED = {"needle": needles.single}


def task(family: str, seed: int, split: Split, chars: int) -> Task:
    """The task of that family and seed, about `chars` characters long."""
    return (FAMILIES | _TRAINED)[family](seed, split, chars)
