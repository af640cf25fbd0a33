"""What each step of a run learns from: rows drawn, changed and put into batches.

A step's batches depend on the plan and the step alone, so that a resumed run and one whose
batches are made ahead, by other processes, see the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from models.nano import samples
from models.nano.plan import Plan

Batches = list[samples.Batch]


class Part(NamedTuple):
    """Which of the processes that share a step this is, and of how many."""

    rank: int = 0
    processes: int = 1


#: All of each step.
ALONE = Part()


class Steps(Dataset[list[Batches]]):
    """The batches of each step, by its number: those of root dialogues and those of sub-calls."""

    def __init__(
        self, rows: Sequence[samples.Row], plan: Plan, vocabulary: int, part: Part = ALONE
    ) -> None:
        self.roots = [row for row in rows if row.cells]
        self.workers = [row for row in rows if not row.cells]
        self.plan, self.vocabulary, self.part = plan, vocabulary, part

    def __getitem__(self, step: int) -> list[Batches]:
        plan, rng = self.plan, random.Random(f"{self.plan.seed}-{step}")
        whole = step >= plan.steps * (1 - plan.whole)
        short = not whole and rng.random() < plan.short
        roots = [
            changed(row, plan, self.vocabulary, rng, short=short)
            for row in rng.choices(self.roots, k=plan.rows)
        ]
        workers = rng.choices(self.workers, k=plan.workers) if self.workers else []
        return [self._batches(roots, short=short), self._batches(workers, short=False)]

    def from_step(self, first: int, makers: int = 0) -> Iterator[list[Batches]]:
        """The batches of that step and all that follow; made ahead by so many processes."""
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first, self.plan.steps),
            num_workers=makers,
            prefetch_factor=8 if makers else None,
            pin_memory=bool(makers) and torch.cuda.is_available(),
        )
        return iter(loader)

    def _batches(self, rows: list[samples.Row], *, short: bool) -> Batches:
        """This process's part of the rows, those of like length in one batch."""
        rows.sort(key=lambda row: len(samples.shortened(row) if short else row.tokens))
        mine = rows[self.part.rank :: self.part.processes]
        size = math.ceil(len(mine) / self.plan.parts)
        return [
            samples.batch(mine[n : n + size], short=short, multiple=self.plan.multiple)
            for n in range(0, len(mine), size or 1)
        ]


def changed(
    row: samples.Row, plan: Plan, vocabulary: int, rng: random.Random, *, short: bool
) -> samples.Row:
    """The row, or in a part of the draws what it is with another question."""
    way = rng.random()
    if way < plan.noisy:
        return samples.noisy(row, vocabulary, rng, plan.noise)
    if not short and way < plan.noisy + plan.garbled:
        return samples.garbled(row, vocabulary, rng)
    return row
