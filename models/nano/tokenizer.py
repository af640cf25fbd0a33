"""Step 2: a byte-level BPE of 2,048 tokens, trained on the dialogues.

    python -m models.nano.tokenizer

Digits stand alone, so that numbers of any length look alike; the split into
words is llama.cpp's pre-tokenizer "smollm". Special tokens have the first ids.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.nano import chat
from models.nano.folders import DIALOGUES, TOKENIZER

VOCABULARY = 2_048
PRE_TOKENIZER = "smollm"


def train(texts: Iterator[str], size: int = VOCABULARY) -> Tokenizer:
    """A tokenizer for texts like these."""
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
    return tokenizer


def contents(path: Path, count: int) -> Iterator[str]:
    """The messages of the first `count` dialogues of a file."""
    with path.open() as file:
        for line in islice(file, count):
            sample = json.loads(line)
            if sample:
                yield from (message["content"] for message in sample["messages"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DIALOGUES)
    parser.add_argument("--out", type=Path, default=TOKENIZER)
    parser.add_argument("--count", type=int, default=5_000, help="dialogues to read")
    arguments = parser.parse_args()
    tokenizer = train(contents(arguments.data, arguments.count))
    tokenizer.save(str(arguments.out))
    print(f"{tokenizer.get_vocab_size():,} tokens in {arguments.out}")


if __name__ == "__main__":
    main()
