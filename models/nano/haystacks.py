"""Filler text of any length that holds no needle: prose, noise, repeated sentences."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from models.nano.lexicon import (
    ADJECTIVES,
    ADVERBS,
    FIRST_NAMES,
    NOUNS,
    PLACES,
    PREPOSITIONS,
    VERBS,
    Split,
    pseudo_word,
    words,
)

#: Gives one unit (a sentence or a few words) after the other.
Filler = Callable[[], str]

_PREPOSITIONS = PREPOSITIONS.split()
_VERBS = VERBS.split()
_ADVERBS = ADVERBS.split()


def essay(rng: random.Random, split: Split) -> Filler:
    """Sentences of a small grammar, none like the other."""
    adjectives, nouns = words(ADJECTIVES, split), words(NOUNS, split)
    people, places = words(FIRST_NAMES, split), words(PLACES, split)

    def unit() -> str:
        if split == "train" and rng.random() < 0.15:
            return _about_names(rng)
        a, n, v = rng.choice(adjectives), rng.choice(nouns), rng.choice(_VERBS)
        shape = rng.randrange(6)
        if shape == 0:
            return f"The {a} {n} {v} the {rng.choice(nouns)}."
        if shape == 1:
            return f"{rng.choice(people)} {v} a {a} {n} in {rng.choice(places)}."
        if shape == 2:
            p = rng.choice(_PREPOSITIONS)
            return f"{p.capitalize()} the {n}, {rng.choice(people)} {rng.choice(_ADVERBS)} {v} it."
        if shape == 3:
            return f"It was {rng.choice(_ADVERBS)} said that the {n} was {a} and {v} by nobody."
        if shape == 4:
            return f"In {rng.randint(1900, 2030)} the {n} of {rng.choice(places)} was {v}."
        return f"Some {v} the {n}, and {rng.randint(2, 9)} others the {a} one."

    return unit


#: Words that values go by, which a text may well use otherwise.
_NAMES = """\
word number uuid code password secret id key name pin token phone ticket session magic
identifier alias label entry value account reference device nickname sign words numbers codes"""


def _about_names(rng: random.Random) -> str:
    """A sentence that has such a word, and tells nothing of any value."""
    name, noun = rng.choice(_NAMES.split()), rng.choice(words(NOUNS, "train"))
    adjective, verb = rng.choice(words(ADJECTIVES, "train")), rng.choice(_VERBS)
    people = words(FIRST_NAMES, "train")
    return rng.choice(
        (
            lambda: f"The {noun} had no {name} for it.",
            lambda: f"Not a {name} {verb} the {adjective} {noun}.",
            lambda: f"A {adjective} {name} is what {rng.choice(people)} {verb}.",
            lambda: f"The {name} of the {noun} was {adjective}.",
            lambda: f"Some {verb} by {name}, others by {rng.choice(_NAMES.split())}.",
        )
    )()


def repeated(rng: random.Random, split: Split) -> Filler:
    """A few sentences over and over."""
    sentence = essay(rng, split)
    text = " ".join(sentence() for _ in range(rng.randint(2, 6)))
    return lambda: text


def noise(rng: random.Random, split: Split) -> Filler:
    """Words without grammar, some of them invented."""
    pool = words(ADJECTIVES, split) + words(NOUNS, split) + words(PLACES, split)
    pool += [pseudo_word(rng) for _ in range(200)]
    if split == "train":
        pool += _NAMES.split()
    return lambda: " ".join(rng.choices(pool, k=12))


def dialogue(rng: random.Random, split: Split) -> Filler:
    """Lines that people say to each other."""
    sentence, people = essay(rng, split), words(FIRST_NAMES, split)
    return lambda: f"{rng.choice(people)}: {sentence()}"


FILLERS: dict[str, Callable[[random.Random, Split], Filler]] = {
    "essay": essay,
    "repeated": repeated,
    "noise": noise,
    "dialogue": dialogue,
}


def fill(unit: Filler, separator: str, chars: int, unique_chars: int) -> Iterator[str]:
    """Units for about `chars` characters; after `unique_chars` they come round again."""
    units: list[str] = []
    made = written = 0
    while written < chars and made < unique_chars:
        text = unit()
        units.append(text)
        made += len(text) + len(separator)
        written = made
        yield text
    while written < chars:
        for text in units:
            written += len(text) + len(separator)
            yield text
            if written >= chars:
                return
