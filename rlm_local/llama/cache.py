"""The KV cache as sequences of tokens: what is kept, shared and given up.

A prompt starts from the longest prefix that any sequence already holds, whoever
it belongs to. Afterwards dialogues are kept whole, and of one-off prompts the part
that others branched from; the least recently used goes when space is short.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlm_local.llama.cells import CellLedger
from rlm_local.llama.engine import Memory, Tokens
from rlm_local.model import is_within

WORTH_SHARING = 16  # a shorter common prefix is computed anew
_RECENT = 1  # one-off prompts that are kept whole, in case the next one is alike
_PREFIXES = 8  # their shared beginnings that are kept


class Sequence:
    """A row of tokens, of which the first `computed` are in the KV cache.

    `known` counts the tokens that are there at all: prompt, then reply.
    `branched`: the longest beginning that another sequence was started from.
    """

    def __init__(self, number: int, tokens: Tokens, room: int, *, dialogue: str, node: str) -> None:
        self.number = number
        self.dialogue = dialogue
        self.node = node
        self.computed = 0
        self.branched = 0
        self.busy = True
        self.used = 0
        self.refill(tokens, room)

    def refill(self, tokens: Tokens, room: int) -> None:
        """Hold `tokens`, and have room for `room` more."""
        self._tokens = np.empty(len(tokens) + room, np.int32)
        self._tokens[: len(tokens)] = tokens
        self.known = len(tokens)

    def append(self, token: int) -> None:
        self._tokens[self.known] = token
        self.known += 1

    @property
    def pending(self) -> Tokens:
        """Tokens that are still to be computed."""
        return self._tokens[self.computed : self.known]

    @property
    def held(self) -> Tokens:
        """Tokens that are in the KV cache."""
        return self._tokens[: self.computed]

    @property
    def all(self) -> Tokens:
        return self._tokens[: self.known]


class PrefixCache:
    """All sequences of one context with `cells` cells and ids below `sequences`."""

    def __init__(self, memory: Memory, *, cells: int, sequences: int) -> None:
        self._memory = memory
        self._ledger = CellLedger(cells)
        self._numbers = list(range(sequences))[::-1]
        self._sequences: list[Sequence] = []
        self._clock = 0

    @property
    def free(self) -> int:
        """Cells that no sequence holds."""
        return self._ledger.free

    @property
    def used(self) -> int:
        """Cells that some sequence holds."""
        return self._ledger.used

    def longest(self, tokens: Tokens) -> tuple[Sequence | None, int]:
        """The sequence whose cells begin most like `tokens`, and how far they do.

        The last token is left out: it must be computed for its logits. Among nearly
        equals the oldest is taken. Else prompts that happen to share a few words more
        would hang on to each other's cells, and every step attends up to the last cell.
        """
        best, length = None, 0
        for sequence in self._sequences:
            common = common_prefix(sequence.held, tokens[:-1])
            if common >= length + WORTH_SHARING:
                best, length = sequence, common
        return best, length

    def busy_dialogue(self, dialogue: str) -> bool:
        return any(s.busy and s.dialogue == dialogue for s in self._sequences if dialogue)

    def open(self, tokens: Tokens, *, room: int, dialogue: str = "", node: str = "") -> Sequence:
        """Start a sequence for the prompt `tokens` and up to `room` more.

        Its `computed` says how many tokens come from the cache.
        """
        source, length = self.longest(tokens)
        mine = next((s for s in self._idle() if dialogue and s.dialogue == dialogue), None)
        if mine is not None:
            # Its own past is what a dialogue nearly always continues.
            if common_prefix(mine.held, tokens[:-1]) >= length:
                self.cut(mine, common_prefix(mine.held, tokens[:-1]))
                mine.refill(tokens, room)
                mine.busy = True
                return mine
            if mine is not source:
                self._drop(mine)
        if not self._numbers and not self.evict(spare=source):
            raise RuntimeError("all sequences are busy")
        sequence = Sequence(self._numbers.pop(), tokens, room, dialogue=dialogue, node=node)
        self._sequences.append(sequence)
        if source is not None:
            self._touch(source)
            source.branched = max(source.branched, length)
            self._ledger.share(source.number, sequence.number, length)
            self._memory.copy(source.number, sequence.number, length)
            sequence.computed = length
            if mine is source:
                self._drop(mine)
        return sequence

    def grow(self, sequence: Sequence, count: int) -> None:
        """Take cells for the next `count` pending tokens, which are about to be computed."""
        self._ledger.grow(sequence.number, count)

    def cut(self, sequence: Sequence, length: int) -> None:
        """Drop the cells after the first `length`, also those of an unfinished `grow`."""
        if self._ledger.length(sequence.number) > length:
            self._ledger.cut(sequence.number, length)
        self._memory.remove(sequence.number, length)
        sequence.computed = min(sequence.computed, length)
        sequence.branched = min(sequence.branched, length)

    def close(self, sequence: Sequence) -> None:
        """The reply is complete: keep what may be of use again."""
        sequence.busy = False
        self._touch(sequence)
        if not sequence.computed:
            self._drop(sequence)
        if sequence.dialogue:
            return
        one_offs = [s for s in self._idle() if not s.dialogue]
        for older in one_offs[:-_RECENT]:
            # Its branches, if there are any, begin with the same cells.
            covered = any(
                common_prefix(s.held, older.held) > older.branched - WORTH_SHARING
                for s in one_offs
                if s is not older and s.number != -1
            )
            if covered or not older.branched:
                self._drop(older)
            elif older.branched < older.computed:
                self.cut(older, older.branched)
        for older in [s for s in self._idle() if not s.dialogue][: -_PREFIXES - _RECENT]:
            self._drop(older)

    def forget(self, node: str) -> None:
        """Nobody will go on with the dialogues of `node` and those below it."""
        for sequence in list(self._idle()):
            if sequence.dialogue and is_within(sequence.node, node):
                self._drop(sequence)

    def abandon(self, sequence: Sequence) -> None:
        """Give up a sequence that was not finished."""
        self._drop(sequence)

    def evict(self, *, spare: Sequence | None = None) -> bool:
        """Give up the sequence that is least likely to be of use. False if none is idle."""
        idle = [s for s in self._idle() if s is not spare]
        if not idle:
            return False
        self._drop(next((s for s in idle if not s.dialogue), idle[0]))
        return True

    def _idle(self) -> Iterator[Sequence]:
        """Sequences that no request is using, least recently used first."""
        return iter(sorted((s for s in self._sequences if not s.busy), key=lambda s: s.used))

    def _touch(self, sequence: Sequence) -> None:
        self._clock += 1
        sequence.used = self._clock

    def _drop(self, sequence: Sequence) -> None:
        if self._ledger.length(sequence.number):
            self._ledger.cut(sequence.number, 0)
        self._memory.remove(sequence.number, 0)
        self._sequences.remove(sequence)
        self._numbers.append(sequence.number)
        sequence.number = -1


def common_prefix(one: Tokens, other: Tokens) -> int:
    """How many tokens at the beginning are equal."""
    length = min(len(one), len(other))
    different = (one[:length] != other[:length]).nonzero()[0]
    return int(different[0]) if different.size else length
