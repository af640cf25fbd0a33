"""Dialogues as rows of token ids, positions and loss weights, and batches of them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.nano import chat
from models.nano.families.workers import role_of

#: Cells are few and soon known by heart: it is which one comes that counts.
INSIDE_WEIGHT = 0.02
#: Tokens of a cell's turn that tell it from the others, its fence and its first line: they have
#: full weight.
TOLD = 3
#: How many tokens stay at each end of a shortened cell.
KEPT = 5


class Row(NamedTuple):
    """One dialogue. `weight` is each token's part in the loss, 0 for what is only read.

    `question` is the span of the question, `cells` the spans of the cells that are the same
    in every dialogue that has them. `name` says what it is a sample of: its family (`tables`)
    or, for a sub-call, its role (`workers label`).
    """

    tokens: np.ndarray  # (length,) int64
    weight: np.ndarray  # (length,) float32
    question: tuple[int, int]
    cells: tuple[tuple[int, int], ...] = ()
    name: str = ""


class Batch(NamedTuple):
    """Padded rows, all of shape (rows, length). `weights` is 0 where nothing is learned; `learned`
    are the places, in the rows one after the other, where something is, (places,)."""

    tokens: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor
    learned: Tensor


def row(messages: Sequence[dict[str, object]], tokenizer: Tokenizer, name: str = "") -> Row:
    """The row of a dialogue. Its text is what the chat template writes."""
    tokens: list[int] = []
    weights: list[float] = []
    cells = []
    question = str(messages[0]["content"]).rpartition("\n")[0]
    asked = (1, 1 + len(tokenizer.encode(question, add_special_tokens=False).ids))
    end = tokenizer.token_to_id(chat.END)
    for message in messages:
        content = str(message["content"])
        ids = tokenizer.encode(content, add_special_tokens=False).ids
        told = len(ids) + 1
        if message.get("constant"):
            cells.append((len(tokens) + 1, len(tokens) + 1 + len(ids)))
            told = min(TOLD, told)
        tokens += [tokenizer.token_to_id(chat.opening(str(message["role"]))), *ids, end]
        learned = np.full(len(ids) + 1, INSIDE_WEIGHT)
        learned[:told] = 1.0
        if len(messages) == 2:  # a sub-call: all replies count the same, long or short
            learned *= 2 / len(learned)
        weights += [0.0, *(learned * bool(message["learn"]))]
    return Row(
        np.array(tokens, np.int64),
        np.array(weights, np.float32),
        asked,
        tuple(cells),
        name,
    )


def read(paths: Sequence[Path], tokenizer: Tokenizer, window: int) -> list[Row]:
    """All rows of the files, less those longer than the window."""
    rows = []
    for path in paths:
        with path.open() as file:
            for line in file:
                sample = json.loads(line)
                task = sample["task"]
                name = str(task["family"])
                if sample["role"] == "worker":
                    name = f"workers {role_of(sample['messages'][0]['content'])}"
                rows.append(row(sample["messages"], tokenizer, name))
    return [r for r in rows if len(r.tokens) <= window]


def shortened(item: Row) -> np.ndarray:
    """The places of the row's tokens less the insides of its cells. What follows a gap keeps its
    position, so that all distances are those of the whole dialogue."""
    keep = np.ones(len(item.tokens), bool)
    for start, end in item.cells:
        keep[start + KEPT : max(start + KEPT, end - KEPT)] = False
    return np.flatnonzero(keep)


def batch(rows: Sequence[Row], *, short: bool = False, multiple: int = 1) -> Batch:
    """The rows side by side, padded to a `multiple` of tokens that holds the longest; their cells
    shortened if `short`. Nothing is learned over a gap."""
    picked = [shortened(item) if short else np.arange(len(item.tokens)) for item in rows]
    length = math.ceil((max(map(len, picked)) - 1) / multiple) * multiple
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
    learned = np.flatnonzero(weights)
    return Batch(*map(torch.from_numpy, (tokens, positions, targets, weights, learned)))


def garbled(item: Row, vocabulary: int, rng: random.Random) -> Row:
    """The row up to the end of its last cell, asked nonsense: any tokens, mixed with lines of
    the cells. Which cell comes is not learned then, but each goes on as ever, whatever the
    question is, and the first one always comes."""
    start, end = item.question
    size, asked = rng.randint(4, 60), []
    while len(asked) < size:
        if rng.random() < 0.5:
            cell = rng.choice(item.cells)
            at = rng.randrange(*cell)
            asked += item.tokens[at : min(cell[1], at + rng.randint(1, 6))].tolist()
        else:
            asked += [rng.randrange(FIRST_PLAIN, vocabulary) for _ in range(rng.randint(1, 6))]
    weight = item.weight.copy()
    for cell in item.cells[1:]:
        weight[cell[0] : cell[0] + TOLD] = 0.0
    stop = min(item.cells[-1][1] + 1, len(item.tokens))
    shift = len(asked) - (end - start)
    return item._replace(
        tokens=np.concatenate((item.tokens[:start], asked, item.tokens[end:stop])).astype(np.int64),
        weight=np.concatenate((weight[:start], np.zeros(len(asked)), weight[end:stop])).astype(
            np.float32
        ),
        question=(start, start + len(asked)),
        cells=tuple((a + shift, b + shift) for a, b in item.cells),
    )


#: Tokens before this one are special.
FIRST_PLAIN = len(chat.SPECIAL_TOKENS)


def noisy(item: Row, vocabulary: int, rng: random.Random, share: float) -> Row:
    """The row with some tokens of its question replaced by any others: held-out questions
    have words that training never had, and those must not decide."""
    tokens = item.tokens.copy()
    for at in range(*item.question):
        if rng.random() < share:
            tokens[at] = rng.randrange(FIRST_PLAIN, vocabulary)
    return item._replace(tokens=tokens)


def inside(item: Row) -> np.ndarray:
    """Which tokens are of a cell's inside, where there is nothing to choose."""
    found = np.zeros(len(item.tokens), bool)
    for start, end in item.cells:
        found[start + TOLD : end + 1] = True
    return found
