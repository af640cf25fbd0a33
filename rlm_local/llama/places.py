"""How many sequences are decoded together: as many as makes it faster, found out in use.

A batch of twice the replies that takes twice as long only makes each of them slower.
Where that begins depends on the model, the machine and what else it does, so it is
measured on the batches themselves: whenever there is enough to do, the next larger
number is tried, and kept if tokens come faster by a tenth.
"""

from __future__ import annotations

SAMPLES = 6  # batches of one size before it is judged
WORTH = 1.1
RETRY_BATCHES = 3_000  # until a size that was not worth it is tried again


class Places:
    """`count` sequences at a time, between `least` and `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.count = least
        self._most = most
        self._batches = 0
        self._retry_at = 0
        self._seconds: list[float] = []  # of full batches at this count
        self._smaller = least  # the count that was tried before this one
        self._before = 0.0  # its tokens a second, or 0 where none was

    def measured(self, replies: int, seconds: float) -> None:
        """Take note of a batch of one token for each of `replies` sequences, and nothing else."""
        self._batches += 1
        if replies < self.count or self._batches < self._retry_at:
            return
        self._seconds.append(seconds)
        if len(self._seconds) < SAMPLES:
            return
        # The fastest is the one that the machine's other work disturbed least.
        rate = self.count / min(self._seconds)
        self._seconds.clear()
        if self._before and rate < WORTH * self._before:
            self._settle(self._smaller)
        elif self.count < self._most:
            self._before, self._smaller = rate, self.count
            self.count = min(self._most, 2 * self.count)
        else:
            self._settle(self.count)

    def _settle(self, count: int) -> None:
        self.count = count
        self._before = 0.0
        self._retry_at = self._batches + RETRY_BATCHES
