"""Needle tasks: a question, a text of any length, and the one right value.

A task is a function of its seed and split. The needle is a sentence in prose or
one record among many; around it are the things that make retrieval hard: keys
that share words with the asked one, the same key with another attribute,
passages that name the key and hold no value, keys in another spelling.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.nano import forms, haystacks, questions, values
from models.nano.lexicon import (
    ADJECTIVES,
    FIRST_NAMES,
    LAST_NAMES,
    NOUNS,
    PLACES,
    Split,
    pseudo_word,
    words,
)


@dataclass(frozen=True)
class Task:
    """`texts` is the prompt (one text if `single`), `gold` the answer, `traits` what
    the task is made of, for the report."""

    seed: int
    question: str
    texts: tuple[str, ...]
    single: bool
    gold: str
    kind: str
    traits: tuple[str, ...]

    @property
    def chars(self) -> int:
        return sum(map(len, self.texts))


def needle_task(
    seed: int, split: Split, chars: int, *, kind: str | None = None, unique_chars: int = 60_000
) -> Task:
    """The task of that seed, about `chars` characters long."""
    return _Maker(seed, split).task(chars, kind, unique_chars)


class _Maker:
    def __init__(self, seed: int, split: Split) -> None:
        self.seed = seed
        self.split: Split = split
        self.rng = random.Random(f"{split}-{seed}")
        self.traits: list[str] = []
        self.gold = ""

    def task(self, chars: int, kind: str | None, unique_chars: int) -> Task:
        rng = self.rng
        kind = kind or rng.choice(values.KINDS)
        name = questions.attribute(kind, rng, self.split)
        key = self.key()
        gold = self.gold = self.value(kind)
        shape = rng.choices(("prose", "records", "mixed"), (5, 4, 1))[0]
        self.traits.append(shape)
        spelled = self.spelling(key)
        if shape == "records":
            record = forms.record(rng, self.split)
            needle = record(rng, spelled, name, gold)
            separator, unit = "\n", self.record_filler(record, kind, name, key)
            others = self.record_distractors(record, kind, name, key, spelled)
        else:
            write = forms.sentence if shape == "prose" else forms.record
            form = write(rng, self.split)
            needle = form(rng, spelled, name, gold)
            separator = "\n" if shape == "mixed" else rng.choice((" ", " ", "\n"))
            filler = rng.choice(list(haystacks.FILLERS))
            self.traits.append(filler)
            unit = haystacks.FILLERS[filler](rng, self.split)
            others = self.distractors(form, kind, name, key, spelled)
        units = list(haystacks.fill(unit, separator, chars, unique_chars))
        for text in (*others, needle):
            units.insert(rng.randint(0, len(units)), text)
        texts = self.documents(units, separator)
        return Task(
            seed=self.seed,
            question=questions.ask(key, name, rng, self.split),
            texts=tuple(texts),
            single=len(texts) == 1,
            gold=gold,
            kind=kind,
            traits=tuple(self.traits),
        )

    def value(self, kind: str) -> str:
        """A value in which the right one, once it is drawn, does not occur."""
        while True:
            drawn = values.draw(kind, self.rng, self.split)
            if not self.gold or self.gold not in drawn:
                return drawn

    def documents(self, units: Sequence[str], separator: str) -> list[str]:
        """The whole as one text, or cut between units into several documents."""
        count = self.rng.choice((1, 1, 1, 1, self.rng.randint(2, 40)))
        if count == 1 or len(units) < 2 * count:
            return [separator.join(units)]
        self.traits.append("documents")
        cuts = sorted(self.rng.sample(range(1, len(units)), count - 1))
        edges = [0, *cuts, len(units)]
        return [separator.join(units[a:b]) for a, b in pairwise(edges)]

    # ------------------------------------------------------------------ keys

    def key(self) -> str:
        """A name for something, of one of nine kinds."""
        rng, split = self.rng, self.split
        adjective, noun = rng.choice(words(ADJECTIVES, split)), rng.choice(words(NOUNS, split))
        place = rng.choice(words(PLACES, split))
        person = f"{rng.choice(words(FIRST_NAMES, split))} {rng.choice(words(LAST_NAMES, split))}"
        return rng.choice(
            (
                lambda: f"{adjective} {noun}",
                lambda: f"{adjective}-{noun}",
                lambda: f"{adjective}_{noun}",
                lambda: person,
                lambda: f"the {place} {noun}",
                lambda: f"{noun} {rng.randint(2, 9999)}",
                lambda: f"{pseudo_word(rng)[:2].upper()}-{rng.randint(100, 99999)}",
                lambda: pseudo_word(rng),
                lambda: f"{pseudo_word(rng)} {pseudo_word(rng)}",
                lambda: f"the {adjective} {noun} of {place}",
                lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                lambda: f"{adjective} {rng.choice(words(NOUNS, split))} {noun}",
            )
        )()

    def spelling(self, key: str) -> str:
        """The key as the text writes it: now and then not as the question does."""
        way = self.rng.random()
        changed = key
        if way < 0.07:
            changed = key.upper()
        elif way < 0.11:
            changed = key.title()
        elif way < 0.14:
            changed = key.replace(" ", "_")
        elif way < 0.17:
            changed = " ".join(reversed(key.split(" ")))
        if changed != key:
            self.traits.append("respelled")
        return changed

    def sibling(self, key: str) -> str:
        """Another key that shares a word with `key`, if it has several."""
        parts = key.split(" ")
        if len(parts) > 1 and self.rng.random() < 0.7:
            parts[self.rng.randrange(len(parts))] = self.rng.choice(words(NOUNS, self.split))
            other = " ".join(parts)
        else:
            other = self.key()
        return other if other != key else f"{pseudo_word(self.rng)} {key.split(' ')[0]}"

    # ----------------------------------------------------------- distractors

    def distractors(
        self, form: forms.Form, kind: str, name: str, key: str, spelled: str
    ) -> list[str]:
        """Sentences that could be taken for the needle."""
        rng, split = self.rng, self.split
        found = []
        if rng.random() < 0.45:
            self.traits.append("siblings")
            for _ in range(rng.randint(1, 6)):
                found.append(form(rng, self.sibling(key), name, self.value(kind)))
        if rng.random() < 0.35:
            self.traits.append("mentions")
            for _ in range(rng.randint(1, 5)):
                found.append(forms.mention(rng, split)(rng, spelled, name, ""))
        if rng.random() < 0.25:
            found += self.other_attribute(form, kind, name, spelled)
        return found

    def other_attribute(self, form: forms.Form, kind: str, name: str, spelled: str) -> list[str]:
        """The same key with a value of another kind, if the question tells them apart."""
        other = self.rng.choice([k for k in values.KINDS if k != kind])
        other_name = questions.attribute(other, self.rng, self.split)
        if not (questions.tells_kind(name) and questions.tells_kind(other_name)):
            return []
        self.traits.append("attributes")
        return [form(self.rng, spelled, other_name, self.value(other))]

    def record_filler(self, record: forms.Form, kind: str, name: str, key: str) -> haystacks.Filler:
        """Other records: keys of one pool, values of the same kind."""
        pool = [k for k in (self.key() for _ in range(60)) if k != key]
        second = [pseudo_word(self.rng) for _ in range(300)]
        rng = self.rng

        def unit() -> str:
            other = (
                f"{rng.choice(pool)} {rng.choice(second)}"
                if rng.random() < 0.5
                else (f"{rng.choice(second)} {rng.choice(second)}")
            )
            return record(rng, other, name, self.value(kind))

        return unit

    def record_distractors(
        self, record: forms.Form, kind: str, name: str, key: str, spelled: str
    ) -> list[str]:
        rng = self.rng
        found = []
        if rng.random() < 0.3:
            self.traits.append("siblings")
            for _ in range(rng.randint(1, 6)):
                found.append(record(rng, self.sibling(key), name, self.value(kind)))
        if rng.random() < 0.15:
            found += self.other_attribute(record, kind, name, spelled)
        return found
