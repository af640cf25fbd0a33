"""Which cells of the KV cache are in use: the arithmetic of shared prefixes.

llama.cpp lets sequences share cells (a copy of a prefix costs none) but does not
say how many are left. This ledger follows every copy, cut and growth exactly, so
that no batch is ever tried that does not fit.
"""

from __future__ import annotations


class _Run:
    """A stretch of consecutive cells that the same `holders` sequences share."""

    __slots__ = ("holders", "length")

    def __init__(self, length: int, holders: int) -> None:
        self.length = length
        self.holders = holders


class CellLedger:
    """Cells held by sequences, which are named by small integers."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._runs: dict[int, list[_Run]] = {}

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def length(self, sequence: int) -> int:
        """Cells of `sequence`, shared or not."""
        return sum(run.length for run in self._runs.get(sequence, ()))

    def own(self, sequence: int) -> int:
        """Cells that dropping `sequence` would free."""
        return sum(run.length for run in self._runs.get(sequence, ()) if run.holders == 1)

    def grow(self, sequence: int, count: int) -> None:
        """Add `count` fresh cells at the end of `sequence`."""
        if count > self.free:
            raise ValueError(f"{count} cells wanted and {self.free} free")
        runs = self._runs.setdefault(sequence, [])
        if runs and runs[-1].holders == 1:
            runs[-1].length += count
        else:
            runs.append(_Run(count, 1))
        self.used += count

    def share(self, source: int, target: int, length: int) -> None:
        """Let the new sequence `target` hold the first `length` cells of `source`."""
        if target in self._runs:
            raise ValueError(f"sequence {target} is in use")
        shared = self._runs[source][: self._split(source, length)]
        for run in shared:
            run.holders += 1
        self._runs[target] = shared

    def cut(self, sequence: int, length: int) -> None:
        """Drop the cells of `sequence` after the first `length`."""
        kept = self._split(sequence, length)
        runs = self._runs[sequence]
        for run in runs[kept:]:
            run.holders -= 1
            if not run.holders:
                self.used -= run.length
        if kept:
            self._runs[sequence] = runs[:kept]
        else:
            del self._runs[sequence]

    def _split(self, sequence: int, length: int) -> int:
        """Make a border after `length` cells; the number of runs before it."""
        position = 0
        for index, run in enumerate(self._runs[sequence]):
            if position >= length:
                return index
            position += run.length
            if position > length:
                rest = _Run(position - length, run.holders)
                run.length -= rest.length
                for runs in self._runs.values():
                    if run in runs:
                        runs.insert(runs.index(run) + 1, rest)
                return index + 1
        if position < length:
            raise ValueError(f"sequence {sequence} has {position} cells, not {length}")
        return len(self._runs[sequence])
