"""What guesses cost and what they bring, measured in use."""

from __future__ import annotations

from collections import deque

_SAMPLES = 3  # batches of one size before it is judged
_KEPT = 8  # the latest of one size
_PLAIN_EVERY = 100  # batches until one without guesses is due again, to compare with
_RETRY_BATCHES = 3_000  # until all sizes are tried again
_REMEMBERED = 50  # guesses of a kind, about


class Costs:
    """Seconds that batches take, by their number of tokens."""

    def __init__(self) -> None:
        self._batches = 0
        self._samples: dict[int, deque[float]] = {}
        self._last: dict[int, int] = {}  # of a size: which batch that was
        self._known: dict[int, float] = {}

    def measured(self, rows: int, seconds: float) -> None:
        self._batches += 1
        if self._batches % _RETRY_BATCHES == 0:
            self._samples.clear()
            self._known.clear()
        samples = self._samples.setdefault(rows, deque(maxlen=_KEPT))
        samples.append(seconds)
        self._last[rows] = self._batches
        if len(samples) >= _SAMPLES:
            # The fastest is the one that the machine's other work disturbed least.
            self._known[rows] = min(samples)

    def of(self, rows: int) -> float | None:
        """What a batch of `rows` takes, or None for more than was ever tried."""
        if (known := self._known.get(rows)) is not None:
            return known
        below = max((size for size in self._known if size < rows), default=None)
        above = min((size for size in self._known if size > rows), default=None)
        if below is None or above is None:
            return None
        share = (rows - below) / (above - below)
        return (1 - share) * self._known[below] + share * self._known[above]

    def due(self, rows: int) -> bool:
        """Whether a batch of `rows` has to be measured, to compare others with."""
        return rows not in self._known or self._batches - self._last[rows] >= _PLAIN_EVERY


class Chance:
    """How likely guesses of one kind are to be right: the share of those that were, lately."""

    def __init__(self, expected: float) -> None:
        self._tried = 4.0
        self._right = 4.0 * expected

    @property
    def value(self) -> float:
        """From 0 to just below 1."""
        return min(0.999, self._right / self._tried)

    def count(self, right: float, wrong: float) -> None:
        keep = max(0.0, 1 - (right + wrong) / _REMEMBERED)
        self._right = keep * self._right + right
        self._tried = keep * self._tried + right + wrong
