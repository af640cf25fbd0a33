"""Guesses by a second, small model that has the same tokens.

It follows the replies in a context of its own: reads what they have so far, and says a
few tokens more. Where the large model then says otherwise, its cells are cut back.
"""

from __future__ import annotations

from collections.abc import Mapping

from rlm_local.llama.cache import PrefixCache, Sequence
from rlm_local.llama.engine import Engine, Outcome, Tokens, common_prefix
from rlm_local.llama.jobs import Job
from rlm_local.llama.payoff import Chance

EXPECTED = 0.7  # of its guesses are right, until more is known


class DraftModel:
    """A `Guesser` over `engine`, whose context has `cells` cells: the longest that it can follow.

    `vocabulary`: tokens that the large model has; others are not guessed. A long text is
    read a batch at a time, so that other replies go on meanwhile.
    """

    for_nothing = False

    def __init__(self, engine: Engine, *, cells: int, sequences: int, vocabulary: int) -> None:
        self._engine = engine
        self._cells = cells
        self._vocabulary = vocabulary
        self._cache = PrefixCache(engine, cells=cells, sequences=sequences)
        self._following: dict[Job, Sequence] = {}
        self._chance = Chance(EXPECTED)

    def chance(self, job: Job) -> Chance | None:
        if job.sequence is None or job.sequence.known + job.room > self._cells:
            return None
        if job.made == 1:  # another reply may be easier to guess than those before
            self._chance.count(EXPECTED, 1 - EXPECTED)
        return self._chance

    def guess(self, counts: Mapping[Job, int]) -> Mapping[Job, list[int]]:
        """See `Guesser`. None for a job that there is still more to read of, or no cells for."""
        self._let_go()
        guesses: dict[Job, list[int]] = {job: [] for job in counts if self._follow(job)}
        ready = self._read(list(guesses))
        while ready:
            logits = self._engine.logits()[:, : self._vocabulary]
            for job, token in zip(ready, logits.argmax(axis=1).tolist(), strict=True):
                guesses[job].append(token)
                self._following[job].append(token)
            ready = self._read([job for job in ready if len(guesses[job]) < counts[job]])
        return {job: guess for job, guess in guesses.items() if guess}

    def _let_go(self) -> None:
        """Keep what replies that are over have left for the next turn."""
        for job, row in list(self._following.items()):
            if job.sequence is None or job.sequence.number < 0:
                self._cache.close(row)
                del self._following[job]

    def _follow(self, job: Job) -> bool:
        """Have a row that holds what the reply has so far. False if there is no place for it."""
        if job.sequence is None:
            return False
        tokens, room = job.sequence.all, job.room
        row = self._following.get(job)
        if row is None:
            while self._cache.free < len(tokens) + room:
                if not self._cache.evict():
                    return False
            row = self._cache.open(tokens, room=room, dialogue=job.dialogue, node=job.node)
            self._following[job] = row
        else:
            same = common_prefix(row.held, tokens[:-1])
            if same < row.computed:
                self._cache.cut(row, same)
            row.refill(tokens, room)
        return True

    def _read(self, jobs: list[Job]) -> list[Job]:
        """Compute what is pending of each, as far as it fits a batch; those that are up to date."""
        parts: list[tuple[Job, Sequence, int]] = []
        for job in jobs:
            row = self._following[job]
            count = min(len(row.pending), self._engine.room, self._cache.free)
            if count <= 0:
                continue
            pending: Tokens = row.pending[:count]
            self._cache.grow(row, count)
            self._engine.add(
                row.number, pending, row.computed, output=int(count == len(row.pending))
            )
            parts.append((job, row, count))
        if not parts:
            return []
        if self._engine.decode() is not Outcome.DONE:
            for _, row, _ in parts:
                self._cache.cut(row, row.computed)
            return []
        for _, row, count in parts:
            row.computed += count
        return [job for job, row, _ in parts if not row.pending.size]
