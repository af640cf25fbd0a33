"""Family f: find the document that a question is about; a sub-call reads the answer out of it.

The answer is a name, a place, a day or a number. There are two names in a report, so that for
those the passage has to be read; for a day or a number its form tells it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from models.nano import haystacks, programs
from models.nano.cells.read import CHOSEN, READ
from models.nano.families import events, occasions
from models.nano.families.task import Task
from models.nano.families.wording import Wording, capital
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

#: How often neither, the report or the question about a person is in the same words.
_SAME = (0.3, 0.35, 0.35)
#: How many of training's readings ask for a person: of all else the form tells it.
_PERSONS = 0.6


def task(seed: int, split: Split, chars: int, *, unique_chars: int = 60_000) -> Task:
    """The report of that seed, among others in about `chars` characters."""
    rng = random.Random(f"reports-{split}-{seed}")
    names = _Names(rng, split)
    event, slots = _drawn(rng, split)
    slot = rng.choice(list(slots))
    key = names.key()
    fields = names.fields()
    documents = [_told(rng, split, event, key, fields)]
    used, room = {key}, max(400, chars)
    while sum(map(len, documents)) < room and len(documents) < max(3, min(400, chars // 600)):
        other = names.key()
        if other not in used:
            used.add(other)
            if split == "train":
                kind = events.trained(rng)
                documents.append(events.told(rng, kind, other, names.fields()))
            else:
                text = rng.choice(event.held)
                documents.append(capital(text.format(k=other, **names.fields())))
    size = max(0, chars - sum(map(len, documents))) // len(documents)
    texts = []
    for document in documents:
        unit = haystacks.essay(rng, split)
        around = list(haystacks.fill(unit, " ", size, max(2_000, unique_chars // len(documents))))
        at = rng.randint(0, len(around))
        texts.append(
            "\n\n".join(
                part for part in (" ".join(around[:at]), document, " ".join(around[at:])) if part
            )
        )
    rng.shuffle(texts)
    listed = rng.random() < 0.6
    question = slots[slot][1].ask(rng, split, k=key)
    while split == "train" and _misleads(question, key, documents):
        slots = occasions.slots(rng, event)  # all that name the deed may mislead
        question = slots[slot][1].ask(rng, split, k=key)
    gold = fields[slot]
    _, _, chance = marked(documents[0], question, gold)
    return Task(
        family="reports",
        seed=seed,
        question=question,
        texts=tuple(texts) if listed else ("\n\n\n".join(texts),),
        gold=gold,
        plan=(programs.LOCATE, READ, CHOSEN),
        kind=slots[slot][0],
        chance=chance,
        traits=("documents" if listed else "one text",),
        reply=_reader(gold),
        listed=listed,
    )


def _misleads(question: str, key: str, documents: Sequence[str]) -> bool:
    """Whether some words of the question weigh as much as those with the key, by the measure
    of the program that looks for it: long phrases that few places have."""
    asked, text = question.lower(), "\n".join(documents).lower()
    words = [found.span() for found in re.finditer(r"[^\W_]+", asked)]
    named, others = 0.0, 0.0
    for n, (start, _) in enumerate(words):
        for _, end in words[n:]:
            phrase = asked[start:end]
            if not (places := text.count(phrase)):
                break
            weight = len(phrase) ** 2 / places
            if key.removeprefix("the ").lower() in phrase:
                named = max(named, weight)
            else:
                others = max(others, weight)
    return others >= named


def report(rng: random.Random, split: Split) -> tuple[str, str, str]:
    """A report alone, a question about it, and the answer.

    Of two persons neither the report nor the question alone says which is asked for, so that
    there would be nothing to begin to learn from. So in a part of training's one of the two is
    in the same words for all reports of that kind.
    """
    names = _Names(rng, split)
    event, slots = _drawn(rng, split)
    if split == "train":
        slot = rng.choice(list(event.slots if rng.random() < _PERSONS else events.COMMON))
    else:
        slot = rng.choice(list(slots))
    key, fields = names.key(), names.fields()
    telling = asking = rng
    if split == "train" and slot in event.slots:
        same = rng.choices(("", "report", "question"), _SAME)[0]
        if same == "report":
            telling = random.Random(0)
        elif same == "question":
            slot, asking = "a", random.Random(0)
    text = _told(telling, split, event, key, fields)
    return text, slots[slot][1].ask(asking, split, k=key), fields[slot]


def _drawn(rng: random.Random, split: Split) -> tuple[events.Event, dict[str, tuple[str, Wording]]]:
    """A kind of report, and what may be asked about one: by slot, the form and the wording."""
    if split == "train":
        event = events.trained(rng)
        return event, occasions.slots(rng, event)
    event = rng.choice(events.EVENTS)
    return event, {**event.slots, **events.COMMON}


def _told(
    rng: random.Random, split: Split, event: events.Event, key: str, fields: dict[str, str]
) -> str:
    """The report of an event."""
    if split == "train":
        return events.told(rng, event, key, fields)
    return capital(rng.choice(event.held).format(k=key, **fields))


def marked(text: str, question: str, gold: str) -> tuple[str, str, float]:
    """The report as the reading program marks it; the answer's mark; the chance of a guess among
    the marks of its form, which the question tells: one day of one is no choice."""
    scope: dict[str, Any] = {
        "re": re,
        "hits": [(0, text, "", "")],
        "question": question,
        "llm_query": lambda *_, **__: "",
        "print": lambda *_: None,
    }
    exec(READ, scope)  # so that sub-calls of their own are asked as those of a run are
    spans = scope["spans"]
    right = next(mark for mark, span in spans.items() if span == gold)
    form = right.split()[0]
    return scope["marked"], right, 1 / sum(mark.split()[0] == form for mark in spans)


def _reader(gold: str) -> Callable[[str], str]:
    """A perfect reader: the mark that stands behind the right value, or ''."""
    spot = re.compile(rf"(?<![\w-]){re.escape(gold)} \((\w+ \d+)\)")

    def reply(prompt: str) -> str:
        found = spot.search(prompt)
        return found[1] if found else ""

    return reply


class _Names:
    """Draws what reports are filled with."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split: Split = split

    def key(self) -> str:
        """What a report is about."""
        adjective, noun = self.some(ADJECTIVES), self.some(NOUNS)
        return self.rng.choice(
            (
                f"the {adjective} {noun}",
                f"the {pseudo_word(self.rng)} {noun}",
                f"the {adjective} {pseudo_word(self.rng)}",
                f"the {pseudo_word(self.rng)}",
            )
        )

    def fields(self) -> dict[str, str]:
        """Values for all slots; the two persons differ."""
        rng = self.rng
        first, second = rng.sample(words(LAST_NAMES, self.split), 2)
        return {
            "a": f"{self.some(FIRST_NAMES)} {first}",
            "b": f"{self.some(FIRST_NAMES)} {second}",
            "p": self.some(PLACES),
            "d": f"{rng.randint(1950, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            "s": str(rng.randint(100, 99_999)),
        }

    def some(self, listing: str) -> str:
        return self.rng.choice(words(listing, self.split))
