"""Samples of `rlm-local runs export --sft` as token ids, by the base model's own chat template."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

Message = dict[str, str]


@dataclass(frozen=True)
class Row:
    """A sample: the first `shown` tokens are only read, the rest is learned."""

    tokens: tuple[int, ...]
    shown: int

    @property
    def learned(self) -> int:
        return len(self.tokens) - self.shown


class Batch(NamedTuple):
    """Rows that end together: all of shape (rows, length), padded on the left.

    `targets` holds what is to be learned, as many columns as the longest row learns, and -100
    elsewhere."""

    tokens: Tensor
    mask: Tensor
    positions: Tensor
    targets: Tensor


def row(messages: Sequence[Message], tokenizer: Any) -> Row:
    """The dialogue as the runtime will ask it, and the last message as it has to come back.

    Both are tokenized apart, as they will be then. The end of the turn is learned too.
    Raises ValueError if the chat template does not put the turn behind what came before it.
    """
    asked = tokenizer.apply_chat_template(
        list(messages[:-1]), tokenize=False, add_generation_prompt=True
    )
    whole = tokenizer.apply_chat_template(list(messages), tokenize=False)
    if messages[-1]["role"] != "assistant" or not whole.startswith(asked):
        raise ValueError("the chat template does not put the last turn behind the dialogue")
    shown = tokenizer(asked, add_special_tokens=False)["input_ids"]
    said = tokenizer(whole[len(asked) :], add_special_tokens=False)["input_ids"]
    if (end := tokenizer.eos_token_id) in said:
        # A template may write more behind the end of the turn, which nobody will ask for.
        del said[len(said) - said[::-1].index(end) :]
    else:
        said.append(end)
    return Row((*shown, *said), len(shown))


def read(paths: Sequence[Path], tokenizer: Any, most_tokens: int) -> tuple[list[Row], int]:
    """All samples of these files that have at most `most_tokens`, and how many have more."""
    rows, longer = [], 0
    for path in paths:
        with path.open() as lines:
            for line in lines:
                made = row(json.loads(line)["messages"], tokenizer)
                if len(made.tokens) <= most_tokens:
                    rows.append(made)
                else:
                    longer += 1
    return rows, longer


def batch(rows: Sequence[Row], pad: int) -> Batch:
    """The rows side by side."""
    length, learned = max(len(r.tokens) for r in rows), max(r.learned for r in rows)
    tokens = torch.full((len(rows), length), pad)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    targets = torch.full((len(rows), learned), -100)
    for n, item in enumerate(rows):
        ids = torch.tensor(item.tokens)
        tokens[n, length - len(ids) :] = ids
        mask[n, length - len(ids) :] = 1
        targets[n, learned - item.learned :] = ids[item.shown :]
    return Batch(tokens, mask, (mask.cumsum(1) - 1).clamp(min=0), targets)


def order(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Batches of row numbers without end; each pass over the rows has an order of its own."""
    left: list[int] = []
    passes = 0
    while True:
        while len(left) < size:
            numbers = list(range(count))
            random.Random(f"{seed}-{passes}").shuffle(numbers)
            left += numbers
            passes += 1
        yield left[:size]
        left = left[size:]
