"""How many guessed tokens to compute along with a reply's next one: as many as pay.

One batch tells of every guess whether the model would have said the same, and the
guesses up to the first that it would not are tokens won. But a longer batch takes longer:
how much so depends on the weights' type and on the machine, from half the time to five
times it. So both sides are measured in use: how often guesses of a kind come true, and
how long batches take.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import NamedTuple, Protocol

from rlm_local.llama.jobs import Job
from rlm_local.llama.lookup import LONGEST_MATCH
from rlm_local.llama.payoff import Chance, Costs

MOST_REPLIES = 4  # at once; with more of them a batch is well used without guesses
WORTH = 1.1  # times the tokens a second that there would be without
MOST_ROWS = 32  # tokens of a batch with guesses in it
_LENGTHS = (1, 3, 7, 15)  # of guesses: with one reply, batches of 2, 4, 8 and 16 tokens


class Speculator(Protocol):
    """Guesses tokens of replies, and is told what came of them."""

    def guesses(self, jobs: Items[Job], *, room: int) -> Mapping[Job, list[int]]:
        """Tokens that may follow the last one of some of `jobs`, at most `room` in all."""
        ...

    def measured(self, rows: int, seconds: float) -> None:
        """Take note of the batch for these jobs: so many tokens, guesses included."""
        ...

    def came(self, job: Job, tokens: Items[int]) -> None:
        """Take note of what followed the last token of `job` in fact, guessed or not."""
        ...


class Guesser(Protocol):
    """One way of guessing. `for_nothing`: it takes so little time that it is always tried."""

    for_nothing: bool

    def chance(self, job: Job) -> Chance | None:
        """How likely its guesses for `job` are right, or None where it has none."""
        ...

    def guess(self, counts: Mapping[Job, int]) -> Mapping[Job, list[int]]:
        """For each job so many tokens, or none; of those that `chance` was asked about last."""
        ...


class Lookups:
    """A `Guesser` that looks up what followed the same words before."""

    for_nothing = True

    def __init__(self) -> None:
        # By how many tokens were equal. Before anything is known, long matches are trusted.
        # Where none was, a guess is hardly ever right, and can be worth it all the same: of
        # weights in f16, llama.cpp computes two rows in half the time of one.
        self._chances = [Chance(equal / (equal + 2)) for equal in range(LONGEST_MATCH + 1)]

    def chance(self, job: Job) -> Chance | None:
        if job.sequence is None:
            return None
        return self._chances[job.lookup.look(job.sequence.all)]

    def guess(self, counts: Mapping[Job, int]) -> Mapping[Job, list[int]]:
        return {job: job.lookup.guess(count) for job, count in counts.items()}


class _Plan(NamedTuple):
    """To guess `length` tokens, which gives `rate` tokens a second."""

    length: int
    rate: float


class _Way:
    """A guesser, what batches with its guesses take, and what it could do for some jobs."""

    def __init__(self, guesser: Guesser) -> None:
        self.guesser = guesser
        self.costs = Costs()
        self.chances: dict[Job, Chance] = {}

    def look(self, jobs: Items[Job]) -> None:
        self.chances = {}
        for job in jobs:
            if job.choices is None and (chance := self.guesser.chance(job)) is not None:
                self.chances[job] = chance

    def counts(self, length: int) -> dict[Job, int]:
        """How many tokens to guess for each job. One comes without a guess."""
        return {job: min(length, job.room - 1) for job in self.chances if job.room > 1}

    def plan(self, replies: int, room: int) -> _Plan:
        """How far to guess: as far as gives most tokens a second, or not at all."""
        if self.costs.due(replies):
            return _Plan(0, 0.0)
        seconds = self.costs.of(replies) or 0.0
        least = WORTH * replies / seconds if seconds else 0.0
        best = _Plan(0, least)
        likely = [(chance.value, job.room - 1) for job, chance in self.chances.items()]
        for length in _LENGTHS:
            rows, tokens = replies, float(replies - len(likely))
            for value, most in likely:
                count = min(length, most)
                rows += count
                tokens += (1 - value ** (count + 1)) / (1 - value)
            if rows > MOST_ROWS or rows - replies > room:
                break
            measured = self.costs.of(rows)
            if measured is None and length == _LENGTHS[0]:
                return _Plan(length, least)  # whether it pays cannot be said of anything else
            seconds = measured or seconds
            if seconds and tokens / seconds > best.rate:
                best = _Plan(length, tokens / seconds)
            if measured is None:
                # More than was tried will not take less than that: so it is tried as soon
                # as it would pay then, and nothing longer before that.
                break
        return best


class Speculation:
    """A `Speculator` that guesses in the way that pays best at the time.

    `computed` and `right` count the guesses that were in a batch, and those of them that
    the model said too.
    """

    def __init__(self, *guessers: Guesser) -> None:
        self.computed = 0
        self.right = 0
        self._ways = [_Way(guesser) for guesser in guessers]
        self._open: dict[Job, tuple[Chance, list[int], int]] = {}
        self._measured: list[_Way] = []  # whose costs the batch tells of

    def guesses(self, jobs: Items[Job], *, room: int) -> Mapping[Job, list[int]]:
        self._open.clear()
        self._measured = []
        if not 0 < len(jobs) <= MOST_REPLIES:
            return {}
        best, length, rate = None, 0, -1.0
        for way in self._ways:
            way.look(jobs)
            plan = way.plan(len(jobs), room)
            if plan.length and plan.rate > rate:
                best, (length, rate) = way, plan
        if best is None:
            self._measured = self._ways
            self._compare()
            return {}
        guesses = best.guesser.guess(best.counts(length))
        if guesses:
            self._measured = [best]
        for job, guess in guesses.items():
            self._open[job] = (best.chances[job], guess, len(guess))
        return guesses

    def _compare(self) -> None:
        """Guess a token that is not computed, only compared with what comes."""
        for way in self._ways:
            if way.guesser.for_nothing:
                for job, guess in way.guesser.guess(dict.fromkeys(way.chances, 1)).items():
                    self._open[job] = (way.chances[job], guess, 0)

    def measured(self, rows: int, seconds: float) -> None:
        for way in self._measured:
            way.costs.measured(rows, seconds)

    def came(self, job: Job, tokens: Items[int]) -> None:
        if job not in self._open:
            return
        chance, guess, computed = self._open.pop(job)
        right = 0
        for guessed, token in zip(guess, tokens, strict=False):
            if guessed != token:
                chance.count(right, 1)
                break
            right += 1
        else:
            chance.count(right, 0)
        self.computed += computed
        self.right += min(right, computed)
