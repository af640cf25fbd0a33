"""Choosing the next token from a row of logits.

Greedy needs no sampler: it is one argmax over all rows. With a temperature,
unlikely tokens are cut first (min-p), so that the draw is among few: exact, and
repeatable from the seed alone.
"""

from __future__ import annotations

import numpy as np

from rlm_local.llama.engine import Logits

MIN_P = 0.05  # a token less likely than this share of the likeliest is never drawn


class Sampler:
    """Draws tokens for one sequence, at a temperature above 0."""

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._random = np.random.default_rng(seed & (1 << 64) - 1)

    def __call__(self, logits: Logits) -> int:
        top = logits.max()
        if not np.isfinite(top):  # damaged weights: there is nothing to choose between
            return int(logits.argmax())
        scaled = (logits - top) / np.float32(self._temperature)
        likely = np.flatnonzero(scaled >= np.log(MIN_P))
        weights = np.exp(scaled[likely].astype(np.float64)).cumsum()
        drawn = int(np.searchsorted(weights, self._random.random() * weights[-1], side="right"))
        return int(likely[min(drawn, likely.size - 1)])
