"""Choosing the next token from a row of logits.

Greedy needs no sampler: it is one argmax over all rows. With a temperature,
unlikely tokens are cut first, so that the draw is among few: exact, and
repeatable from the seed alone.
"""

from __future__ import annotations

import numpy as np

from rlm_local.llama.engine import Logits

MIN_P = 0.05  # a token less likely than this share of the likeliest is not drawn
# Beyond these the draw is no other, and single precision ends.
_COLDEST, _HOTTEST = 1e-6, 1e6


class Sampler:
    """Draws tokens for one sequence, at a temperature above 0.

    Of the likelihoods at that temperature, these are left, in this order: the `top_k`
    largest (0: all), those of at least `min_p` times the largest, and of them the
    fewest that make up the share `top_p` of all.
    """

    def __init__(
        self,
        temperature: float,
        seed: int,
        *,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = MIN_P,
    ) -> None:
        self._temperature = np.float32(min(max(temperature, _COLDEST), _HOTTEST))
        self._top_k = top_k
        self._top_p = top_p
        self._min_log = np.log(min_p) if min_p > 0 else -np.inf
        self._random = np.random.default_rng(seed & (1 << 64) - 1)

    def __call__(self, logits: Logits) -> int:
        top = logits.max()
        if not np.isfinite(top):  # damaged weights: there is nothing to choose between
            return int(logits.argmax())
        scaled = (logits - top) / self._temperature
        likely = np.flatnonzero(scaled >= self._min_log)
        if 0 < self._top_k < likely.size:
            largest = np.argpartition(scaled[likely], -self._top_k)[-self._top_k :]
            likely = np.sort(likely[largest])  # in the vocabulary's order, as without
        weights = np.exp(scaled[likely].astype(np.float64))
        if self._top_p < 1.0:
            order = np.argsort(-weights, kind="stable")
            share = weights[order].cumsum() / weights.sum()
            kept = np.sort(order[: int(np.searchsorted(share, self._top_p)) + 1])
            likely, weights = likely[kept], weights[kept]
        sums = weights.cumsum()
        drawn = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(likely[min(drawn, likely.size - 1)])

    def close(self) -> None:
        """There is nothing to free."""
