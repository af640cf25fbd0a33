"""The values that needles hold: their kinds, how they are drawn, how code finds them."""

from __future__ import annotations

import random
import uuid

from models.nano.lexicon import ADJECTIVES, NOUNS, Split, words

#: Kind → the regular expression that a cell uses to find a value of that kind.
PATTERNS = {
    "number": r"(?<![0-9a-f]-)\b\d{5,}\b(?!-[0-9a-f])",
    "word": r"\b[a-z]+-[a-z]+\b",
    "uuid": r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b",
}

KINDS = tuple(PATTERNS)


def draw(kind: str, rng: random.Random, split: Split) -> str:
    """A random value. Numbers mostly have seven digits, in training five to nine."""
    if kind == "number":
        digits = 7 if split == "held" or rng.random() < 0.6 else rng.randint(5, 9)
        return str(rng.randint(10 ** (digits - 1), 10**digits - 1))
    if kind == "uuid":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return f"{rng.choice(words(ADJECTIVES, split))}-{rng.choice(words(NOUNS, split))}"
