"""Dialogues as rows of token ids, positions and loss weights, and batches of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.nano import chat, programs


class Row(NamedTuple):
    """One dialogue. `weight` is each token's part in the loss, 0 for what is only read.

    `question` and `cell` are the spans of the question and of the first cell, which
    is always the same."""

    tokens: np.ndarray  # (length,) int64
    weight: np.ndarray  # (length,) float32
    question: tuple[int, int]
    cell: tuple[int, int]


class Batch(NamedTuple):
    """Padded rows, all of shape (rows, length). `weights` is 0 where nothing is learned."""

    tokens: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor


def row(messages: Sequence[dict[str, object]], tokenizer: Tokenizer) -> Row:
    """The row of a dialogue. Its text is what the chat template writes."""
    tokens: list[int] = []
    weights: list[float] = []
    question = str(messages[0]["content"]).rpartition("\n")[0]
    asked = (1, 1 + len(tokenizer.encode(question, add_special_tokens=False).ids))
    cell = (0, 0)
    end = tokenizer.token_to_id(chat.END)
    for message in messages:
        content = str(message["content"])
        ids = tokenizer.encode(content, add_special_tokens=False).ids
        if content == _FIRST:
            cell = (len(tokens) + 1, len(tokens) + 1 + len(ids))
        tokens += [tokenizer.token_to_id(chat.opening(str(message["role"]))), *ids, end]
        weight = float(bool(message["learn"])) * (FIRST_WEIGHT if content == _FIRST else 1.0)
        weights += [0.0, *[weight] * (len(ids) + 1)]
    return Row(np.array(tokens, np.int64), np.array(weights, np.float32), asked, cell)


_FIRST = programs.turn(programs.LOCATE)
_KEPT = 24  # tokens of the first cell that stay at both ends of a shortened one
#: The first cell is long and soon known by heart: the choices after it count more.
FIRST_WEIGHT = 0.2


def read(paths: Sequence[Path], tokenizer: Tokenizer, window: int) -> list[Row]:
    """All rows of the files, less those longer than the window."""
    rows = []
    for path in paths:
        with path.open() as file:
            for line in file:
                sample = json.loads(line)
                if sample:
                    rows.append(row(sample["messages"], tokenizer))
    return [r for r in rows if len(r.tokens) <= window]


def batch(rows: Sequence[Row], *, short: bool) -> Batch:
    """The rows side by side. Where `short`, the inside of the first cell is left out: the
    tokens after it keep their positions, so that all distances are those of the whole
    dialogue."""
    picked = []
    for item in rows:
        places = np.arange(len(item.tokens))
        if short and item.cell[1] - item.cell[0] > 2 * _KEPT:
            places = np.delete(places, slice(item.cell[0] + _KEPT, item.cell[1] - _KEPT))
        picked.append(places)
    length = max(map(len, picked)) - 1
    tokens = np.zeros((len(rows), length), np.int64)
    positions = np.zeros_like(tokens)
    targets = np.zeros_like(tokens)
    weights = np.zeros(tokens.shape, np.float32)
    for n, (item, places) in enumerate(zip(rows, picked, strict=True)):
        inputs, following = places[:-1], places[1:]
        size = len(inputs)
        tokens[n, :size], positions[n, :size] = item.tokens[inputs], inputs
        targets[n, :size] = item.tokens[following]
        weights[n, :size] = np.where(following == inputs + 1, item.weight[following], 0.0)
    return Batch(*map(torch.from_numpy, (tokens, positions, targets, weights)))


def garbled(item: Row, vocabulary: int, rng: random.Random) -> Row:
    """The row up to the end of its first cell, asked nonsense: any tokens, mixed with pieces
    of the cell itself. The cell must come whatever the question is."""
    start, end = item.question
    size, asked = rng.randint(4, 60), []
    inside = item.tokens[item.cell[0] : item.cell[1]]
    while len(asked) < size:
        if rng.random() < 0.5:
            at = rng.randrange(len(inside))
            asked += inside[at : at + rng.randint(1, 6)].tolist()
        else:
            asked += [rng.randrange(FIRST_PLAIN, vocabulary) for _ in range(rng.randint(1, 6))]
    stop = min(item.cell[1] + 1, len(item.tokens))
    tokens = np.concatenate((item.tokens[:start], asked, item.tokens[end:stop]))
    weight = np.concatenate((item.weight[:start], np.zeros(len(asked)), item.weight[end:stop]))
    shift = len(asked) - (end - start)
    cell = (item.cell[0] + shift, item.cell[1] + shift)
    return Row(
        tokens.astype(np.int64), weight.astype(np.float32), (start, start + len(asked)), cell
    )


#: Tokens before this one are special.
FIRST_PLAIN = len(chat.SPECIAL_TOKENS)


def order(rows: Sequence[Row], size: int, seed: int) -> Iterator[list[int]]:
    """Batches of row numbers without end: each epoch shuffled, rows of like length together."""
    epoch = 0
    while True:
        rng = random.Random(f"{seed}-{epoch}")
        numbers = list(range(len(rows)))
        rng.shuffle(numbers)
        batches = []
        for start in range(0, len(numbers) - len(numbers) % size, size * 32):
            pool = sorted(numbers[start : start + size * 32], key=lambda n: len(rows[n].tokens))
            batches += [pool[n : n + size] for n in range(0, len(pool) - size + 1, size)]
        rng.shuffle(batches)
        yield from batches
        epoch += 1
