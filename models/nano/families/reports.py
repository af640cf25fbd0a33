"""Family f: find the document that a question is about; a sub-call reads the answer out of it.

The answer is a name, a place, a day or a number beside others of its form, so that its form
does not tell it: the passage has to be read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nano import haystacks, programs
from models.nano.cells.read import CHOSEN, READ, SPAN
from models.nano.families.task import Task
from models.nano.families.wording import Wording
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
class _Event:
    """A kind of report: sentences with slots, and for each slot how it is asked for."""

    sentences: Sequence[str]
    held: Sequence[str]
    slots: dict[str, tuple[str, Wording]]


_PERSON, _PLACE, _DAY, _SUM = "person", "place", "day", "sum"

_EVENTS = (
    _Event(
        (
            "The treaty on {k} was signed by {a} in {p} on {d}; {b} had drafted it for {s} crowns.",
            "{a} signed the treaty on {k} on {d} in {p}, {b} drafted it, and it cost {s} crowns.",
            "On {d}, in {p}, the treaty on {k} got its signature from {a}. Drafted by {b}, it cost "
            "{s} crowns.",
            "{b} was paid {s} crowns to draft the treaty on {k}, which {a} signed on {d} in {p}.",
            "It was in {p} that {a} put a name under the treaty on {k} on {d}. The draft, by {b}, "
            "had cost {s} crowns.",
            "For the draft of the treaty on {k}, made by {b}, {s} crowns were paid; it was in {p} "
            "on {d} that {a} signed it.",
            "The treaty on {k}: draft by {b}, signature by {a}, done in {p} on {d}, cost {s} "
            "crowns.",
        ),
        ("Drafted by {b} for {s} crowns, the treaty on {k} was signed in {p} by {a} on {d}.",),
        {
            "a": (
                _PERSON,
                Wording(
                    (
                        "who (signed|put a signature under) the treaty on {k}?",
                        "by whom was the treaty on {k} signed?",
                        "whose signature is under the treaty on {k}?",
                        "(find|tell me) who signed the treaty on {k}.",
                        "the treaty on {k} (was signed by|bears the name of) whom?",
                        "which (person|one) (signed|was the signer of) the treaty on {k}?",
                    ),
                    ("name the one who signed the treaty on {k}.", "the signer of {k} was who?"),
                ),
            ),
            "b": (
                _PERSON,
                Wording(
                    (
                        "who (drafted|made the draft of) the treaty on {k}?",
                        "by whom was the treaty on {k} drafted?",
                        "from whom is the draft of the treaty on {k}?",
                        "(find|tell me) who drafted the treaty on {k}.",
                        "the treaty on {k} (was drafted by|goes back to a draft of) whom?",
                        "which (person|one) (drafted|wrote the draft of) the treaty on {k}?",
                    ),
                    ("name the one who drafted the treaty on {k}.", "the draft on {k} is whose?"),
                ),
            ),
        },
    ),
    _Event(
        (
            "{a} sold {k} to {b} for {s} crowns on {d}, and the deed was kept in {p}.",
            "{k} was sold by {a} to {b} on {d} for {s} crowns. The deed was kept in {p}.",
            "On {d} {b} bought {k} from {a} and paid {s} crowns; the deed is in {p}.",
            "{b} paid {s} crowns for {k} in {p}, and on {d} {a}, the seller, handed it over.",
            "At a meeting in {p} on {d}, {k} passed to {b}, the buyer, from {a}, the seller, who "
            "got {s} crowns.",
            "It was {b} who bought {k}, and {a} who sold it; {s} crowns went over in {p} on {d}.",
            "{s} crowns were what {a} took when selling {k} to {b} in {p} on {d}.",
        ),
        ("For {s} crowns {k} went from {a}, who sold it, to {b}, who bought it, on {d} in {p}.",),
        {
            "a": (
                _PERSON,
                Wording(
                    (
                        "who sold {k}?",
                        "by whom was {k} sold?",
                        "who was the seller of {k}?",
                        "(find|tell me) who sold {k}.",
                        "which (person|one) (sold|gave away) {k}?",
                        "from whom was {k} bought?",
                    ),
                    ("name the seller of {k}.", "from whose hands did {k} come when sold?"),
                ),
            ),
            "b": (
                _PERSON,
                Wording(
                    (
                        "who bought {k}?",
                        "to whom was {k} sold?",
                        "who was the buyer of {k}?",
                        "(find|tell me) who bought {k}.",
                        "which (person|one) (bought|paid for) {k}?",
                        "to whom did {k} pass in the end?",
                    ),
                    ("name the buyer of {k}.", "whose is {k} after it was bought?"),
                ),
            ),
        },
    ),
)
_COMMON: dict[str, tuple[str, Wording]] = {
    "p": (
        _PLACE,
        Wording(
            (
                "(where|in which city) did it happen that is told of {k}?",
                "which (city|place) is named in the report on {k}?",
                "in what place is the matter of {k} set?",
                "the report on {k}: which city?",
                "(find|tell me) the (place|city|town) of what is told of {k}.",
                "where was it, in the matter of {k}?",
            ),
            ("which town does the note on {k} name?", "name the city in the affair of {k}."),
        ),
    ),
    "d": (
        _DAY,
        Wording(
            (
                "on (what|which) day did it happen that is told of {k}?",
                "when was the matter of {k}?",
                "what is the date in the report on {k}?",
                "which date is given for {k}?",
                "(find|tell me) the (day|date) of what is told of {k}.",
                "what day was it, in the matter of {k}?",
            ),
            ("give the date of the affair of {k}.", "what day does the note on {k} name?"),
        ),
    ),
    "s": (
        _SUM,
        Wording(
            (
                "how many crowns (did it cost|were paid) for {k}?",
                "what was the price in the matter of {k}?",
                "how much money is named in the report on {k}?",
                "what sum was paid for {k}?",
                "(find|tell me) the (sum|price|cost) of what is told of {k}.",
                "how many crowns was it, in the matter of {k}?",
            ),
            ("how expensive was the affair of {k}?", "give the price noted for {k}."),
        ),
    ),
}


def task(seed: int, split: Split, chars: int, *, unique_chars: int = 60_000) -> Task:
    """The report of that seed, among others in about `chars` characters."""
    rng = random.Random(f"reports-{split}-{seed}")
    names = _Names(rng, split)
    event = rng.choice(_EVENTS)
    slots = {**event.slots, **_COMMON}
    slot = rng.choice(list(slots))
    key = names.key()
    fields = names.fields()
    report = rng.choice(event.held if split == "held" else event.sentences)
    documents = [_capital(report.format(k=key, **fields))]
    used, room = {key}, max(400, chars)
    while sum(map(len, documents)) < room and len(documents) < max(3, min(400, chars // 600)):
        other = names.key()
        if other not in used:
            used.add(other)
            text = rng.choice(rng.choice(_EVENTS).sentences if split == "train" else event.held)
            documents.append(_capital(text.format(k=other, **names.fields())))
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
    gold = fields[slot]
    return Task(
        family="reports",
        seed=seed,
        question=slots[slot][1].ask(rng, split, k=key),
        texts=tuple(texts) if listed else ("\n\n\n".join(texts),),
        gold=gold,
        plan=(programs.LOCATE, READ, CHOSEN),
        kind=slots[slot][0],
        chance=0.2,
        traits=("documents" if listed else "one text",),
        reply=_reader(gold),
        listed=listed,
    )


def report(rng: random.Random, split: Split) -> tuple[str, str, str]:
    """A report alone, a question about it, and the answer."""
    names = _Names(rng, split)
    event = rng.choice(_EVENTS)
    slots = {**event.slots, **_COMMON}
    slot = rng.choice(list(slots))
    key, fields = names.key(), names.fields()
    text = rng.choice(event.held if split == "held" else event.sentences)
    question = slots[slot][1].ask(rng, split, k=key)
    return _capital(text.format(k=key, **fields)), question, fields[slot]


def marked(text: str, question: str, gold: str) -> tuple[str, int, int]:
    """The report as the reading program numbers it; the answer's number; how many there are."""
    spans: list[str] = []

    def mark(found: re.Match[str]) -> str:
        if found[0] in question:
            return found[0]
        spans.append(found[0])
        return f"[{len(spans)}] {found[0]}"

    numbered = re.sub(SPAN, mark, text)
    return numbered, spans.index(gold) + 1, len(spans)


def _reader(gold: str) -> Callable[[str], str]:
    """A perfect reader: the number that stands before the right value, or 0."""
    spot = re.compile(rf"\[(\d+)\] {re.escape(gold)}(?![\w-])")

    def reply(prompt: str) -> str:
        found = spot.search(prompt)
        return found[1] if found else "0"

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


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
