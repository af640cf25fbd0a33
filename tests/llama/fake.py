"""An engine without a model: it knows what llama.cpp would have in its cells.

The next token is a function of the whole sequence's tokens, read back from the
cells. So a reply is right only if every cell that it rests on is right, however
prompts were batched, shared, cut or started over.
"""

from __future__ import annotations

import hashlib

import numpy as np

from rlm_local.llama.engine import Logits, Outcome, Tokens, Vocabulary

SIZE = 64
END = 63
BOS = 62


class FakeVocabulary:
    """Letters: token n is one character. Text is tokenized letter by letter."""

    def __init__(self, *, bos: int | None = None) -> None:
        self.bos = bos

    def tokenize(self, text: str) -> Tokens:
        return np.array([ord(letter) % 60 for letter in text], np.int32)

    def piece(self, token: int) -> bytes:
        return bytes([32 + token])

    def ends(self, token: int) -> bool:
        return token == END

    def strips(self, token: int) -> tuple[bool, bool]:
        return (False, False)


class FakeMemory:
    """Cells as lists of tokens; shared cells are one object."""

    def __init__(self) -> None:
        self.sequences: dict[int, list[list[int]]] = {}

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.sequences.get(target)
        self.sequences[target] = self.sequences[source][:length]
        assert len(self.sequences[target]) == length

    def remove(self, sequence: int, start: int) -> None:
        self.sequences[sequence] = self.sequences.get(sequence, [])[:start]

    def state_bytes(self, sequence: int) -> int:
        return 4 * len(self.sequences[sequence])

    def save(self, sequence: int, into: memoryview) -> bool:
        into[:] = np.array(self.tokens(sequence), np.int32).tobytes()
        return True

    def restore(self, sequence: int, state: memoryview) -> bool:
        assert not self.sequences.get(sequence)
        self.sequences[sequence] = [[int(token)] for token in np.frombuffer(state, np.int32)]
        return True

    @property
    def cells(self) -> int:
        return len({id(cell) for cells in self.sequences.values() for cell in cells})

    def tokens(self, sequence: int) -> list[int]:
        return [cell[0] for cell in self.sequences.get(sequence, [])]


def next_token(tokens: list[int], ends_after: int = 24) -> int:
    """A token that depends on all before; END on average once in `ends_after`."""
    digest = hashlib.blake2b(np.array(tokens, np.int32).tobytes(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    return END if number % ends_after == 0 else (number >> 8) % 60


def reference(prompt: list[int], max_tokens: int) -> list[int]:
    """The reply to `prompt`, made without any cache; END included."""
    made: list[int] = []
    while len(made) < max_tokens and (not made or made[-1] != END):
        made.append(next_token(prompt + made))
    return made


class FakeEngine(FakeMemory):
    """Batches of up to `batch` tokens over `cells` cells. `abort_after`: batches until aborted."""

    def __init__(
        self, *, cells: int, batch: int, abort_after: int = 1 << 60, size: int = SIZE
    ) -> None:
        super().__init__()
        self.size = size
        self.vocabulary: Vocabulary = FakeVocabulary()
        self.capacity = cells
        self.batch = batch
        self.abort_after = abort_after
        self.next_token = next_token
        self.batches: list[list[tuple[int, int]]] = []  # (sequence, tokens) of each part
        self._parts: list[tuple[int, Tokens, int, int]] = []
        self._rows: list[int] = []

    @property
    def room(self) -> int:
        return self.batch - sum(len(tokens) for _, tokens, _, _ in self._parts)

    @property
    def aborted(self) -> bool:
        return len(self.batches) >= self.abort_after

    def add(self, sequence: int, tokens: Tokens, position: int, *, output: int) -> None:
        assert 0 < len(tokens) <= self.room
        assert 0 <= output <= len(tokens)
        self._parts.append((sequence, tokens.copy(), position, output))

    def decode(self) -> Outcome:
        parts, self._parts = self._parts, []
        assert parts, "an empty batch aborts llama.cpp"
        self.batches.append([(sequence, len(tokens)) for sequence, tokens, _, _ in parts])
        self._rows = []
        aborted = self.aborted
        for number, (sequence, tokens, position, output) in enumerate(parts):
            if aborted and number:  # an aborted batch is done in part
                break
            held = self.sequences.setdefault(sequence, [])
            assert len(held) == position, "positions must go on where they ended"
            held.extend([int(token)] for token in tokens)
            whole = self.tokens(sequence)
            for ahead in reversed(range(output)):
                self._rows.append(self.next_token(whole[: len(whole) - ahead]))
        assert self.cells <= self.capacity
        return Outcome.ABORTED if aborted else Outcome.DONE

    def logits(self) -> Logits:
        rows = np.zeros((len(self._rows), self.size), np.float32)
        rows[np.arange(len(self._rows)), self._rows] = 1.0
        return rows
