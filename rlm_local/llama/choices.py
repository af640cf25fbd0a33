"""Which of several replies is the likeliest, at the price of as few tokens as can be.

A reply's likelihood is the product over its tokens, so it is never above that of its
beginning. The search therefore goes on from the likeliest beginning until that is a
whole reply. Labels that differ in their first token and are one token long need the
prompt's own logits and nothing more.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence as Items

import numpy as np

from rlm_local.llama.engine import Logits

Path = tuple[int, ...]


class Choices:
    """A search among `texts`, spelled by `paths`, of which none begins another.

    `path`: the tokens after the prompt that the next logits are to follow.
    """

    def __init__(self, texts: Items[str], paths: Items[Path]) -> None:
        self.path: Path = ()
        self.best: str | None = None
        self.longest = max(map(len, paths))
        self._texts = dict(zip(reversed(paths), reversed(texts), strict=True))  # the first wins
        self._next: dict[Path, set[int]] = {}
        for path in paths:
            for at, token in enumerate(path):
                self._next.setdefault(path[:at], set()).add(token)
        self._score = 0.0  # of `path`: the logarithm of its likelihood
        self._open: list[tuple[float, Path]] = []

    def feed(self, logits: Logits) -> bool:
        """Take the logits (vocabulary,) that follow `path`; True once `best` is known."""
        tokens = sorted(self._next[self.path])
        top = logits.max()
        total = float(top) + float(np.log(np.exp(logits - top).sum(dtype=np.float64)))
        for token in tokens:
            score = self._score + float(logits[token]) - total
            # Damaged weights give no numbers: then all choices are equally bad.
            cost = -score if np.isfinite(score) else np.inf
            heapq.heappush(self._open, (cost, (*self.path, token)))
        cost, self.path = heapq.heappop(self._open)
        self._score = -cost
        self.best = self._texts.get(self.path)
        return self.best is not None


def without_prefixes(paths: Items[Path], end: int) -> list[Path]:
    """`paths`, each with the token `end` behind it if one of them begins another."""
    distinct = set(paths)
    begun = any(path[:at] in distinct for path in distinct for at in range(1, len(path)))
    return [(*path, end) for path in paths] if begun else list(paths)


def shared_start(one: Path, other: Path) -> int:
    """How many tokens at the beginning are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
