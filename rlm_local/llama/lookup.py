"""Guessing what comes next: what followed the same words before, in the prompt or the reply.

Code that is tried again, a table that is copied, a passage that is quoted: much of what
a model writes stands before it already. Looking it up takes microseconds.
"""

from __future__ import annotations

import numpy as np

from rlm_local.llama.engine import Tokens

LONGEST_MATCH = 8  # tokens that are compared; a longer match is hardly a better sign
HISTORY = 16_384  # tokens that are remembered, at least, of those at the end
_TRIES = 8  # earlier places that are compared, the latest first
_NOWHERE = -1


class Lookup:
    """What a growing row of tokens has had before.

    Reads each token once, and holds some 200 bytes for it.
    """

    def __init__(self) -> None:
        self._known = 0  # tokens that have been read, or passed over
        self._row: list[int] = []
        self._single: dict[int, int] = {}  # a token: where it last was, before the end
        self._pair: dict[int, int] = {}  # two tokens: where they last ended
        self._earlier: list[int] = []  # for each place, where the same two ended before
        self._place = _NOWHERE

    def look(self, tokens: Tokens) -> int:
        """Look for the end of `tokens` (tokens,) further up; how many tokens are equal there.

        At most LONGEST_MATCH; 0 if the last token is new. `tokens` are those of the last
        time and what has come since.
        """
        before = self._place
        new = self._read(tokens)
        self._place, length = self._find(before + new)
        return length

    def guess(self, count: int) -> list[int]:
        """What followed there, `count` tokens. The last token again, if there is no such place."""
        if self._place == _NOWHERE:
            return self._row[-1:] * count
        start = self._place + 1
        followed = self._row[start : start + count]
        if len(followed) < count:  # it overlaps its own copy: a row that repeats itself
            followed *= 1 + count // len(followed)
        return followed[:count]

    def _read(self, tokens: Tokens) -> int:
        """Take in what is new; how many tokens that was, or 0 after a new beginning."""
        row, known = self._row, self._known
        if not row or (
            len(row) > 2 * HISTORY or len(tokens) < known or int(tokens[known - 1]) != row[-1]
        ):
            self._begin(tokens)
            return 0
        self._known = len(tokens)
        single, pair, earlier = self._single, self._pair, self._earlier
        new = tokens[known:].tolist()
        place, last = len(row), row[-1]
        for token in new:
            single[last] = place - 1
            both = last << 32 | token
            earlier.append(pair.get(both, _NOWHERE))
            pair[both] = place
            row.append(token)
            last = token
            place += 1
        return len(new)

    def _begin(self, tokens: Tokens) -> None:
        """Read the end of `tokens`, as `_read` would one by one."""
        self._place = _NOWHERE
        self._known = len(tokens)
        tokens = tokens[-HISTORY:]
        self._row = tokens.tolist()
        self._single = dict(zip(self._row[:-1], range(len(tokens)), strict=False))
        both = tokens.astype(np.int64)
        both[1:] |= both[:-1] << 32
        self._pair = dict(zip(both.tolist(), range(len(tokens)), strict=True))
        order = both.argsort(kind="stable")
        again = np.flatnonzero(both[order[1:]] == both[order[:-1]])
        earlier = np.full(len(tokens), _NOWHERE)
        earlier[order[again + 1]] = order[again]
        self._earlier = earlier.tolist()

    def _find(self, going_on: int) -> tuple[int, int]:
        """The place that is most like the end, and how many tokens are equal.

        `going_on`: where the last place would be by now. Among equals it is taken, else
        the latest.
        """
        row, earlier = self._row, self._earlier
        if not row:
            return _NOWHERE, 0
        end = len(row) - 1
        best, longest = _NOWHERE, 0
        if 0 <= going_on < end:
            best, longest = going_on, self._equal(going_on, end)
        place = earlier[end]
        for _ in range(_TRIES):
            if place == _NOWHERE or longest == LONGEST_MATCH:
                break
            if (equal := self._equal(place, end)) > longest:
                best, longest = place, equal
            place = earlier[place]
        if not longest:
            best = self._single.get(row[end], _NOWHERE)
            longest = int(best != _NOWHERE)
        return best, longest

    def _equal(self, place: int, end: int) -> int:
        row = self._row
        most = min(LONGEST_MATCH, place + 1)
        equal = 0
        while equal < most and row[place - equal] == row[end - equal]:
            equal += 1
        return equal
