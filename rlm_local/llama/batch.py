"""What the next step computes: tokens of several jobs, and which of them have logits.

The next token of every running reply comes first; `portions` divides the rest among prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from typing import NamedTuple

import numpy as np

from rlm_local.llama.cache import PrefixCache, Sequence
from rlm_local.llama.engine import Engine
from rlm_local.llama.jobs import Job

# Prompt tokens in one batch beside running replies: of requests as deep as those, and
# of shallower ones, which may slow the replies by a fifth.
_PEER_TOKENS = 128
_SHALLOW_SHARE = 5
_SHALLOW_TOKENS = 2  # at least

_MakeRoom = Callable[[Job, int, "list[Part]"], int]


class Part(NamedTuple):
    """What one job has in a batch: its next `tokens`, then some that are guessed.

    `outputs`: rows of logits, for the last token and for each guess, or none.
    """

    job: Job
    sequence: Sequence
    tokens: int
    guess: Items[int]
    outputs: int


class Batch:
    """What the next step will compute. `make_room` gets cells, at most as many as wanted."""

    def __init__(self, engine: Engine, cache: PrefixCache, make_room: _MakeRoom) -> None:
        self.parts: list[Part] = []
        self._engine = engine
        self._cache = cache
        self._make_room = make_room
        self._spent = Counter[int]()  # tokens of prompts, by call

    def put(self, job: Job, most: int, guess: Items[int] = ()) -> None:
        """Add up to `most` of the next tokens of `job`.

        The `guess` may follow if they are all: there are cells and room for it.
        """
        sequence = job.sequence
        if sequence is None:  # given up for the sake of an older one
            return
        count = min(len(sequence.pending), most, self._engine.room)
        if job.uncounted:
            count = min(count, job.call.tokens_left - self._spent[job.call.number])
        if count > 0:
            count = min(count, self._make_room(job, count, self.parts))
        if count <= 0:
            return
        tokens = sequence.pending[:count]
        if guess:
            tokens = np.array([*tokens.tolist(), *guess], np.int32)
        outputs = 1 + len(guess) if count == len(sequence.pending) else 0
        self._cache.grow(sequence, len(tokens))
        self._engine.add(sequence.number, tokens, sequence.computed, output=outputs)
        self.parts.append(Part(job, sequence, count, guess, outputs))
        self._spent[job.call.number] += min(count, job.uncounted)


def portions(
    replying: Items[Job], prompts: Items[Job], room: Callable[[], int]
) -> Iterator[tuple[Job, int]]:
    """The prompts and how many of their tokens are computed now, deepest first.

    `room` is what the batch has left, each time that it is asked. A fifth of that is kept for
    shallower prompts, as far as they need it: they come on beside any number of deeper ones.
    """
    deepest = max((job.depth for job in replying), default=-1)
    beside = max(_SHALLOW_TOKENS, len(replying) // _SHALLOW_SHARE)
    for depth in sorted({job.depth for job in prompts}, reverse=True):
        shallower = sum(_length(job) for job in prompts if job.depth < depth)
        left = room() - min(shallower, (room() + _SHALLOW_SHARE - 2) // _SHALLOW_SHARE)
        if replying:
            left = min(left, _PEER_TOKENS if depth >= deepest else beside)
        mine = [job for job in prompts if job.depth == depth]
        mine.sort(key=_length)
        for at, job in enumerate(mine):
            if not left:
                break
            # What a short prompt leaves of its share, longer ones have.
            share = max(1, left // (len(mine) - at))
            left -= min(share, _length(job))
            yield job, share


def _length(job: Job) -> int:
    return len(job.sequence.pending) if job.sequence else 0
