"""What the next step computes: tokens of several jobs, and which of them have logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import NamedTuple

import numpy as np

from rlm_local.llama.cache import PrefixCache, Sequence
from rlm_local.llama.engine import Engine
from rlm_local.llama.jobs import Job

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
