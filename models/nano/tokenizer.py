"""Step 2: a byte-level BPE of 4,096 tokens, and a token for each line of the cells.

    python -m models.nano.tokenizer

Digits stand alone, so that numbers of any length look alike; the split into words is
llama.cpp's pre-tokenizer "smollm". Special tokens have the first ids. The last ones are whole
lines: the programs are the same in every dialogue that has them, so a line of theirs is a
word to the model. A program of 1,300 tokens has 90 then, which is less to learn, less to get
wrong, and written in a tenth of the time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.nano import chat
from models.nano.folders import DIALOGUES, TOKENIZER

#: Tokens besides those of lines.
VOCABULARY = 4_096
#: Shorter lines are left to the BPE: they might stand in any text.
SHORTEST_LINE = 8
#: Questions are short beside what programs print, but it is their words that decide: how
#: often each counts.
QUESTIONS = 5
PRE_TOKENIZER = "smollm"


def train(texts: Iterable[str], cells: Iterable[str] = (), size: int = VOCABULARY) -> Tokenizer:
    """A tokenizer for texts like these, with a token for each line of the `cells`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(chat.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(
        [AddedToken(line, normalized=False, special=False) for line in lines(cells)]
    )
    return tokenizer


def lines(cells: Iterable[str]) -> list[str]:
    """The lines of the cells, each once, in their order; with the line end, so that no line is
    the beginning of another."""
    found = [line for cell in cells for line in cell.splitlines(keepends=True)]
    return [
        line
        for line in dict.fromkeys(found)
        if line.endswith("\n") and len(line.strip()) >= SHORTEST_LINE - 1
    ]


def contents(path: Path, count: int) -> tuple[list[str], list[str]]:
    """The messages of the first `count` dialogues of a file, and apart from them those that
    are the same everywhere, each once."""
    texts: list[str] = []
    cells: dict[str, None] = {}
    with path.open() as file:
        for line in islice(file, count):
            sample = json.loads(line)
            if sample["role"] == "root":
                texts += [sample["messages"][0]["content"]] * (QUESTIONS - 1)
            for message in sample["messages"]:
                if message.get("constant"):
                    cells[message["content"]] = None
                else:
                    texts.append(message["content"])
    return texts, sorted(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DIALOGUES)
    parser.add_argument("--out", type=Path, default=TOKENIZER)
    parser.add_argument("--count", type=int, default=50_000, help="dialogues to read")
    arguments = parser.parse_args()
    tokenizer = train(*contents(arguments.data, arguments.count))
    tokenizer.save(str(arguments.out))
    print(f"{tokenizer.get_vocab_size():,} tokens in {arguments.out}")


if __name__ == "__main__":
    main()
