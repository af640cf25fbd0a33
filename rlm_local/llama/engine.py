"""What scheduling and chats need of the native side, and may be given by a test."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]  # (tokens,)
Logits = NDArray[np.float32]  # (outputs of a batch, vocabulary)


class Outcome(IntEnum):
    """What became of a batch."""

    DONE = 0
    NO_CELLS = 1
    ABORTED = 2


class Vocabulary(Protocol):
    """The model's tokens. Text is always tokenized as text: special tokens are not read."""

    @property
    def bos(self) -> int | None:
        """The token that every prompt must begin with, if there is one."""
        ...

    def tokenize(self, text: str) -> Tokens: ...

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to a text; control tokens add none."""
        ...

    def ends(self, token: int) -> bool:
        """Whether `token` ends a text or a turn."""
        ...

    def strips(self, token: int) -> tuple[bool, bool]:
        """Whether `token` takes in the whitespace before it, and after it."""
        ...


class Grammar(Protocol):
    """What a reply may hold, and how far it has come."""

    def allows(self, token: int) -> bool:
        """Whether `token` may be next."""
        ...

    def mask(self, logits: Logits) -> Logits:
        """A copy of the row `logits` (vocabulary,) with -inf where a token may not be next."""
        ...

    def accept(self, token: int) -> None:
        """Go on after `token`, which is allowed and does not end the text."""
        ...

    def close(self) -> None:
        """Free it. Closing twice is harmless."""
        ...


class Memory(Protocol):
    """The cells of the KV cache, by sequence id and position."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` cells of `source`."""
        ...

    def remove(self, sequence: int, start: int) -> None:
        """Drop the cells of `sequence` from position `start` on."""
        ...


class SavingMemory(Memory, Protocol):
    """Cells that can be taken out of the cache and put back."""

    def state_bytes(self, sequence: int) -> int:
        """The size of the state of `sequence`."""
        ...

    def save(self, sequence: int, into: memoryview) -> bool:
        """Write the state of `sequence`, which has that size. False if it cannot be."""
        ...

    def restore(self, sequence: int, state: memoryview) -> bool:
        """Give the empty `sequence` cells of its own from a sound state; False if it cannot."""
        ...


class Engine(SavingMemory, Protocol):
    """One context: a batch under construction, its logits, and the KV cache."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def room(self) -> int:
        """How many more tokens the batch takes."""
        ...

    @property
    def aborted(self) -> bool:
        """Whether decoding is to end now."""
        ...

    def add(self, sequence: int, tokens: Tokens, position: int, *, output: int) -> None:
        """Add `tokens` of `sequence` from `position` on to the batch.

        The logits of the last `output` of them become the next rows of `logits`.
        """
        ...

    def decode(self) -> Outcome:
        """Compute the batch and empty it. Raises ModelError at a fatal error.

        After ABORTED a part of the batch may be in the KV cache.
        """
        ...

    def logits(self) -> Logits:
        """Logits of the last batch: one row per output, valid until the next `decode`."""
        ...


def common_prefix(one: Tokens, other: Tokens) -> int:
    """How many tokens at the beginning are equal."""
    length = min(len(one), len(other))
    different = (one[:length] != other[:length]).nonzero()[0]
    return int(different[0]) if different.size else length
