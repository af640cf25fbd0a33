"""The KV cache as sequences of tokens: what is kept, shared and given up.

A prompt starts from the longest prefix that any sequence already holds, whoever
it belongs to. Afterwards dialogues are kept whole, and of one-off prompts the part
that others branched from; the least recently used goes when space is short.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from rlm_local.llama.cells import CellLedger
from rlm_local.llama.engine import SavingMemory, Tokens, common_prefix
from rlm_local.llama.states import (
    LARGEST_BYTES,
    PrefixStore,
    State,
    Stored,
    Swap,
    Swapped,
)
from rlm_local.model import is_within

WORTH_SHARING = 16  # a shorter common prefix is computed anew
WORTH_LOADING = 64  # so many more tokens a state from outside must bring
WORTH_MOVING = 512  # so many cells an idle dialogue has that is moved out of others' way
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


class Start(NamedTuple):
    """What a prompt may begin with: `length` cells of `source`, or of a `stored` state."""

    length: int = 0
    source: Sequence | None = None
    stored: State | None = None

    def fresh(self, tokens: int) -> int:
        """Cells to be free for a prompt of so many `tokens`, on top of its reply's."""
        if self.stored is not None:
            return max(tokens, len(self.stored.tokens))
        return tokens - self.length


class PrefixCache:
    """All sequences of one context with `cells` cells and ids below `sequences`.

    `swap` takes the cells of dialogues that are evicted, `store` those of the
    beginnings that `remember` names.
    """

    def __init__(
        self,
        memory: SavingMemory,
        *,
        cells: int,
        sequences: int,
        swap: Swap | None = None,
        store: PrefixStore | None = None,
    ) -> None:
        self._memory = memory
        self._ledger = CellLedger(cells)
        self._numbers = list(range(sequences))[::-1]
        self._sequences: list[Sequence] = []
        self._clock = 0
        self._swap = swap
        self._store = store
        self._to_store: list[Tokens] = []
        self._remembered: set[bytes] = set()

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

    def find(self, tokens: Tokens, *, dialogue: str = "") -> Start:
        """The best start for the prompt `tokens`, in the cache or out of it."""
        source, length = self.longest(tokens)
        start = Start(length, source)
        for state in self._states(dialogue):
            common = common_prefix(state.tokens, tokens[:-1])
            if common >= start.length + WORTH_LOADING:
                start = Start(common, stored=state)
        return start

    def _states(self, dialogue: str) -> Iterator[State]:
        if self._swap is not None and (swapped := self._swap.get(dialogue)) is not None:
            yield swapped
        if self._store is not None:
            yield from self._store.states

    def busy_dialogue(self, dialogue: str) -> bool:
        return any(s.busy and s.dialogue == dialogue for s in self._sequences if dialogue)

    def open(
        self,
        tokens: Tokens,
        *,
        room: int,
        dialogue: str = "",
        node: str = "",
        start: Start | None = None,
    ) -> Sequence:
        """Begin a sequence for the prompt `tokens` and up to `room` more.

        `start` is what `find` said of it, if nothing has changed since. The sequence's
        `computed` says how many tokens come from the cache.
        """
        if start is None:
            start = self.find(tokens, dialogue=dialogue)
        mine = next((s for s in self._idle() if dialogue and s.dialogue == dialogue), None)
        if mine is not None:
            # Its own past is what a dialogue nearly always continues.
            if common_prefix(mine.held, tokens[:-1]) >= start.length:
                self.cut(mine, common_prefix(mine.held, tokens[:-1]))
                mine.refill(tokens, room)
                mine.busy = True
                return mine
            if mine is not start.source:
                self._drop(mine)
        if not self._numbers and not self.evict(spare=start.source):
            if not self.evict():
                raise RuntimeError("all sequences are busy")
            start = Start()  # what it was to begin with had the last place
        sequence = Sequence(self._numbers.pop(), tokens, room, dialogue=dialogue, node=node)
        self._sequences.append(sequence)
        if start.source is not None:
            self._touch(start.source)
            start.source.branched = max(start.source.branched, start.length)
            self._ledger.share(start.source.number, sequence.number, start.length)
            self._memory.copy(start.source.number, sequence.number, start.length)
            sequence.computed = start.length
            if mine is start.source:
                self._drop(mine)
        elif start.stored is not None:
            self._load(sequence, start.stored, start.length)
        if self._swap is not None:
            self._swap.drop(dialogue)
        return sequence

    def _load(self, sequence: Sequence, state: State, length: int) -> None:
        """Give `sequence` the first `length` cells of `state`; none if it cannot be read."""
        count = len(state.tokens)
        content = state.read()
        if content is not None and self._memory.restore(sequence.number, content):
            self._ledger.grow(sequence.number, count)
            sequence.computed = count
            self.cut(sequence, length)
            # What others may start from as well is kept when this one is over.
            sequence.branched = length
        elif self._store is not None and isinstance(state, Stored):
            self._store.discard(state)

    def remember(self, tokens: Tokens) -> None:
        """Store the cells of `tokens` for other processes, once there is time: see `tend`."""
        if self._store is not None and (key := tokens.tobytes()) not in self._remembered:
            self._remembered.add(key)
            self._to_store.append(tokens)

    def tend(self) -> None:
        """Do what nobody waits for."""
        while self._to_store:
            self._put_by(self._to_store.pop())

    def _put_by(self, tokens: Tokens) -> None:
        if self._store is None or not self._numbers:
            return
        if any(common_prefix(s.tokens, tokens) == len(tokens) for s in self._store.states):
            return
        for sequence in self._sequences:
            if common_prefix(sequence.held, tokens) == len(tokens):
                spare = self._numbers[-1]
                self._memory.copy(sequence.number, spare, len(tokens))
                size = self._memory.state_bytes(spare)
                if size <= LARGEST_BYTES:
                    content = memoryview(mmap.mmap(-1, size))
                    if self._memory.save(spare, content):
                        self._store.put(tokens, content)
                self._memory.remove(spare, 0)
                return

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
        if self._swap is not None:
            self._swap.forget(node)

    def own(self, sequence: Sequence) -> int:
        """Cells that giving up `sequence` would free."""
        return self._ledger.own(sequence.number)

    def interrupt(self, sequence: Sequence) -> None:
        """Give up a sequence that will go on later: a dialogue's cells are kept outside."""
        if sequence.dialogue:
            self._swap_out(sequence)
        self._drop(sequence)

    def abandon(self, sequence: Sequence) -> None:
        """Give up a sequence that was not finished."""
        self._drop(sequence)

    def evict(self, *, spare: Sequence | None = None) -> bool:
        """Give up the sequence that is least likely to be of use. False if none is idle."""
        idle = [s for s in self._idle() if s is not spare]
        if not idle:
            return False
        victim = next((s for s in idle if not s.dialogue), idle[0])
        if victim.dialogue:
            self._swap_out(victim)
        self._drop(victim)
        return True

    def set_aside(self, *, but: Collection[str]) -> None:
        """Swap out the long dialogues that are idle, those of `but` left out.

        Every step attends past their cells, too: on a CPU one of them costs each token of
        others about a hundredth of what moving it out and back does.
        """
        for sequence in list(self._idle()):
            long = sequence.dialogue and sequence.computed >= WORTH_MOVING
            if long and sequence.dialogue not in but and self._swap_out(sequence):
                self._drop(sequence)

    def _swap_out(self, sequence: Sequence) -> bool:
        """Keep a dialogue's cells outside; False if they are few, or there is no room."""
        if self._swap is None or sequence.computed < WORTH_LOADING:
            return False
        data = self._swap.space(self._memory.state_bytes(sequence.number))
        if data is None or not self._memory.save(sequence.number, memoryview(data)):
            return False
        swapped = Swapped(sequence.held.copy(), sequence.node, data)
        self._swap.put(sequence.dialogue, swapped)
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
