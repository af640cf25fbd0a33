"""Samples of `rlm-local runs export --sft` as token ids, by the base model's own chat template."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

Message = dict[str, str]
#: Unicode reserves them for internal use.
_MARKERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]


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

    Both are tokenized apart, as they will be then; special tokens that a message spells are
    text. The end of the turn is learned too.
    Raises ValueError if the chat template does not put the turn behind what came before it.
    """
    text = _Text(messages, tokenizer)
    asked = tokenizer.apply_chat_template(
        text.broken[:-1], tokenize=False, add_generation_prompt=True
    )
    whole = tokenizer.apply_chat_template(text.broken, tokenize=False)
    if messages[-1]["role"] != "assistant" or not whole.startswith(asked):
        raise ValueError("the chat template does not put the last turn behind the dialogue")
    shown = text.tokens(asked)
    said = text.tokens(whole[len(asked) :])
    if (end := tokenizer.eos_token_id) in said:
        # A template may write more behind the end of the turn, which nobody will ask for.
        del said[len(said) - said[::-1].index(end) :]
    else:
        said.append(end)
    return Row((*shown, *said), len(shown))


class _Text:
    """Messages in which no special token is spelled: a marker is in each that was."""

    def __init__(self, messages: Sequence[Message], tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._specials = {
            added.content: number
            for number, added in tokenizer.added_tokens_decoder.items()
            if added.special and added.content[1:]
        }
        texts = sorted(map(re.escape, self._specials), key=len, reverse=True)
        self._any_special = re.compile("|".join(texts)) if texts else None
        said = "".join(message["content"] for message in messages)
        self._marker = next(marker for marker in _MARKERS if marker not in said)
        self.broken = [
            {"role": message["role"], "content": self._broken(message["content"])}
            for message in messages
        ]

    def _broken(self, text: str) -> str:
        if self._any_special is None:
            return text
        return self._any_special.sub(lambda found: found[0][0] + self._marker + found[0][1:], text)

    def tokens(self, rendered: str) -> list[int]:
        """Token ids of what a template has made of the messages."""
        if self._any_special is None or self._marker not in rendered:
            ids: list[int] = self._tokenizer(rendered, add_special_tokens=False)["input_ids"]
            return ids
        found = []
        for part in re.split(f"({self._any_special.pattern})", rendered):
            if part in self._specials:
                found.append(self._specials[part])
            elif part:
                found += self._tokenizer(
                    part.replace(self._marker, ""),
                    add_special_tokens=False,
                    split_special_tokens=True,
                )["input_ids"]
        return found


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
