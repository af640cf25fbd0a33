"""The demonstration: a prompt of some ten million tokens with one fact hidden in it.

Names, number and place are drawn anew each time, so that nothing can be known
beforehand.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

_SUBJECTS = (
    "the ferry", "an old clerk", "the night watch", "a visiting surveyor", "the orchard",
    "our neighbour", "the harbour bell", "a company of actors", "the long road", "the mill",
)  # fmt: skip
_VERBS = (
    "waited for", "passed", "remembered", "had no word for", "was painted after",
    "kept away from", "belonged to", "stood above", "paid for", "outlived",
)  # fmt: skip
_OBJECTS = (
    "the first rain", "two grey houses", "a letter without a name", "the winter market",
    "the river at dusk", "every closed door", "a borrowed lamp", "the last train north",
    "the empty square", "a field of barley",
)  # fmt: skip
_PLACES = ("lighthouse", "observatory", "printing house", "glassworks", "signal station")
_SYLLABLES = ("bel", "dra", "fen", "gor", "hal", "is", "ka", "lo", "mar", "ni", "or", "ri", "ta")


class Demo(NamedTuple):
    """What was hidden, and what to ask for it."""

    question: str
    answer: str


def write_demo(path: Path, *, size: int, seed: int | None = None) -> Demo:
    """Write about `size` bytes of English prose to `path`, with one fact at a random place."""
    rng = random.Random(seed)
    name = "".join(rng.choices(_SYLLABLES, k=3)).capitalize()
    key = f"{name} {rng.choice(_PLACES)}"
    number = str(rng.randrange(1_000_000, 10_000_000))
    paragraphs = [_paragraph(rng) for _ in range(2_000)]
    place = rng.uniform(0.1, 0.9)
    fact = f"The access code for the {key} is {number}.\n"
    with path.open("w", encoding="ascii") as file:
        written = 0
        hidden = False
        while written < size:
            if not hidden and written >= place * size:
                written += file.write(fact)
                hidden = True
            written += file.write("\n".join(rng.choices(paragraphs, k=200)) + "\n")
        if not hidden:  # so short that its first piece was all of it
            file.write(fact)
    return Demo(f"What is the access code for the {key}?", number)


def _paragraph(rng: random.Random) -> str:
    sentences = (
        f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)}".capitalize() + "."
        for _ in range(rng.randrange(3, 8))
    )
    return " ".join(sentences)
