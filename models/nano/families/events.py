"""What reports tell: kinds of events, the sentences that tell them, and how they are asked about.

Training has listed sentences and composed ones: clauses about who did it, for whom or what it
cost, where and when, in any order. `{k}` is what a report is about, `{a}` and `{b}` two persons,
`{p}` a place, `{d}` a day, `{s}` a sum.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.nano import phrasing
from models.nano.cells.read import SPAN
from models.nano.families.wording import Wording, capital
from models.nano.phrasing import Composed
from models.nano.written import section, sections


@dataclass(frozen=True)
class Role:
    """What a person did to the thing, as verbs and as a noun."""

    past: str
    passive: str
    agent: str

    def clauses(self, slot: str) -> tuple[str, ...]:
        """How a report tells it; `{t}` is the thing."""
        who = "{" + slot + "}"
        return (
            f"{who} {self.past} {{t}}",
            f"{{t}} (was|had been|has been) {self.passive} by {who}",
            f"the {self.agent} of {{t}} (was|is|is named as|was no other than) {who}",
            f"it was {who} who {self.past} {{t}}",
            f"{who} (was|acted as|is known as) the {self.agent} of {{t}}",
        )

    def asked(self, thing: str) -> Composed:
        """How it is asked for."""
        return Composed(
            nouns=(
                f"the (name of the |){self.agent} of {thing}",
                f"the (one|person|name of the one) who {self.past} {thing}",
                f"the (one|person) by whom {thing} was {self.passive}",
            ),
            asks=(
                f"who {self.past} {thing}",
                f"by whom {thing} was {self.passive}",
                f"(which person|who it was that) {self.past} {thing}",
                f"who the {self.agent} of {thing} (is|was)",
            ),
            deeds=(f"(name|look up|look for|identify) the {self.agent} of {thing}",),
        )


@dataclass(frozen=True)
class Event:
    """A kind of report: sentences with slots, and for each slot how it is asked for. `thing`
    and `roles` are what training composes further sentences of."""

    sentences: Sequence[str]
    held: Sequence[str]
    slots: dict[str, tuple[str, Wording]]
    thing: str
    roles: dict[str, Role]


PERSON, PLACE, DAY, SUM = "person", "place", "day", "sum"

SIGNER = Role("(signed|put a signature under|set a name under)", "signed", "(signer|signatory)")
DRAFTER = Role("(drafted|wrote the draft of)", "drafted", "(drafter|author)")
SELLER = Role("(sold|gave away)", "sold", "(seller|former owner)")
BUYER = Role("(bought|acquired|purchased)", "(bought|acquired|purchased)", "(buyer|new owner)")


EVENTS = (
    Event(
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
            *section("reports", "treaty-told"),
        ),
        ("Drafted by {b} for {s} crowns, the treaty on {k} was signed in {p} by {a} on {d}.",),
        {
            "a": (
                PERSON,
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
                    SIGNER.asked("the treaty on {k}"),
                    written=section("reports", "signer"),
                ),
            ),
            "b": (
                PERSON,
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
                    DRAFTER.asked("the treaty on {k}"),
                    written=section("reports", "drafter"),
                ),
            ),
        },
        "the treaty on {k}",
        {"a": SIGNER, "b": DRAFTER},
    ),
    Event(
        (
            "{a} sold {k} to {b} for {s} crowns on {d}, and the deed was kept in {p}.",
            "{k} was sold by {a} to {b} on {d} for {s} crowns. The deed was kept in {p}.",
            "On {d} {b} bought {k} from {a} and paid {s} crowns; the deed is in {p}.",
            "{b} paid {s} crowns for {k} in {p}, and on {d} {a}, the seller, handed it over.",
            "At a meeting in {p} on {d}, {k} passed to {b}, the buyer, from {a}, the seller, who "
            "got {s} crowns.",
            "It was {b} who bought {k}, and {a} who sold it; {s} crowns went over in {p} on {d}.",
            "{s} crowns were what {a} took when selling {k} to {b} in {p} on {d}.",
            *section("reports", "sale-told"),
        ),
        ("For {s} crowns {k} went from {a}, who sold it, to {b}, who bought it, on {d} in {p}.",),
        {
            "a": (
                PERSON,
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
                    SELLER.asked("{k}"),
                    written=section("reports", "seller"),
                ),
            ),
            "b": (
                PERSON,
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
                    BUYER.asked("{k}"),
                    written=section("reports", "buyer"),
                ),
            ),
        },
        "{k}",
        {"a": SELLER, "b": BUYER},
    ),
)


def _in_report(noun: str, *asks: str) -> Composed:
    """How a thing is asked for that any report names."""
    return Composed(
        nouns=(
            f"the {noun} (named|given) (for|with|in the report on) {{k}}",
            f"the {noun} (in|of) the (matter|report|story) (of|on|about) {{k}}",
        ),
        asks=(
            *asks,
            f"(which|what) {noun} is (named|given) (for|with|in the report on) {{k}}",
        ),
        deeds=(f"(name|look up|look for) the {noun} in the (report|story) on {{k}}",),
    )


COMMON: dict[str, tuple[str, Wording]] = {
    "p": (
        PLACE,
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
            _in_report(
                "(place|city|town)",
                "where (it|that) (happened|took place) which is told of {k}",
                "in (which|what) (city|place|town) the (matter|story) of {k} (is set|took place)",
            ),
            written=section("reports", "place"),
        ),
    ),
    "d": (
        DAY,
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
            _in_report(
                "(day|date)",
                "when (it|that) (happened|took place) which is told of {k}",
                "on (which|what) day the (matter|story) of {k} took place",
            ),
            written=section("reports", "day"),
        ),
    ),
    "s": (
        SUM,
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
            _in_report(
                "(sum|price|cost)",
                "how much (it cost|was paid|had to be paid) (for|in the matter of) {k}",
                "how many crowns (were paid|it took|were spent) (for|in the matter of) {k}",
            ),
            written=section("reports", "sum"),
        ),
    ),
}


def _event(thing: str, a: Role, b: Role) -> Event:
    """A kind of report of which training composes everything."""

    def slot(role: Role) -> tuple[str, Wording]:
        cores = (f"who {role.past} {thing}?", f"by whom was {thing} {role.passive}?")
        return PERSON, Wording(cores, (), role.asked(thing))

    return Event((), (), {"a": slot(a), "b": slot(b)}, thing, {"a": a, "b": b})


#: Kinds of which only training has reports: composed ones, and below written ones.
COMPOSED = (
    _event(
        "{k}",
        Role("(designed|drew the plans of|planned)", "(designed|planned)", "(designer|architect)"),
        Role("(built|constructed|put up)", "(built|constructed)", "(builder|constructor)"),
    ),
    _event(
        "the letter about {k}",
        Role("(wrote|penned|composed)", "(written|composed)", "(writer|sender)"),
        Role("(received|got|opened)", "(received|opened)", "(receiver|recipient|addressee)"),
    ),
    _event(
        "{k}",
        Role("(discovered|found|came upon)", "(discovered|found)", "(discoverer|finder)"),
        Role("(reported|announced|made known)", "(reported|announced)", "(reporter|herald)"),
    ),
    _event(
        "the dispute over {k}",
        Role("(won|decided)", "won", "(winner|victor)"),
        Role("(lost|gave up)", "lost", "loser"),
    ),
    _event(
        "the painting of {k}",
        Role("(painted|made)", "painted", "(painter|maker)"),
        Role("(ordered|commissioned|asked for)", "(ordered|commissioned)", "(patron|sponsor)"),
    ),
    _event(
        "{k}",
        Role("(repaired|restored|mended)", "(repaired|restored)", "(restorer|repairer)"),
        Role("(damaged|broke|wrecked)", "(damaged|wrecked)", "(wrecker|vandal)"),
    ),
)


def _written(name: str) -> Event:
    """A kind of report of which training has nothing composed."""
    told, *asked = (section("events", f"{name}-{part}") for part in ("told", "a", "b"))
    slots = {slot: (PERSON, Wording(cores, ())) for slot, cores in zip("ab", asked, strict=True)}
    return Event(told, (), slots, "", {})


WRITTEN = tuple(
    _written(name.removesuffix("-told")) for name in sections("events") if name.endswith("-told")
)
TRAINED = (*EVENTS, *COMPOSED, *WRITTEN)


def trained(rng: random.Random) -> Event:
    """A kind of report for training; half of them of those that are asked about elsewhere."""
    return rng.choice(EVENTS if rng.random() < 0.5 else TRAINED)


_SUMS = (
    "{t} cost {s} crowns",
    "{s} crowns (were paid|were spent|changed hands|went) for {t}",
    "the (price|cost|sum) (for|of) {t} was {s} crowns",
    "(all this|the matter) (cost|came to|took) {s} crowns",
)
_PLACES = ("(this|it) (happened|took place|was done) in {p}", "the (place|city|town) was {p}")
_DAYS = ("(this|it) (happened|took place|was done) on {d}", "the (day|date) was {d}")
#: How many reports are written ones, where others can be composed.
_LISTED = 0.6
#: Characters that the reading program takes on each side of the key.
_REACH = 190


def told(rng: random.Random, event: Event, key: str, fields: dict[str, str]) -> str:
    """A report of training: a written sentence or a composed one. All values in it can be read
    from where the key is."""

    def one() -> str:
        if event.sentences and (not event.roles or rng.random() < _LISTED):
            return phrasing.pick(rng, rng.choice(event.sentences))
        return _composed(rng, event)

    while True:
        template = phrasing.fresh(one, event.held)
        text = capital(template.format(k=key, **fields))
        at = text.lower().find(key.lower())
        near = text[max(0, at - _REACH) : at + len(key) + _REACH]
        if set(fields.values()) <= set(re.findall(SPAN, near)):
            return text


def _composed(rng: random.Random, event: Event) -> str:
    """Clauses in any order; the first names the thing, the others mostly say "it"."""
    clauses = [rng.choice(role.clauses(slot)) for slot, role in event.roles.items()]
    clauses.append(rng.choice(_SUMS))
    order = [" in {p}", " on {d}"]
    rng.shuffle(order)
    if rng.random() < 0.6:  # where and when at one of the clauses, together or apart
        at = rng.randrange(len(clauses))
        clauses[at] += "".join(order)
    else:
        for part in order:
            if rng.random() < 0.7:
                clauses[rng.randrange(len(clauses))] += part
            else:
                clauses.append(rng.choice(_PLACES if "{p}" in part else _DAYS))
    rng.shuffle(clauses)
    first = next(n for n, clause in enumerate(clauses) if "{t}" in clause)
    clauses.insert(0, clauses.pop(first))
    text = phrasing.pick(rng, clauses[0]).replace("{t}", event.thing, 1)
    for clause in clauses[1:]:
        join = rng.choice(("; ", ". ", ". ", ", and ", " - ", ", while "))
        words = phrasing.pick(rng, clause)
        thing = event.thing if rng.random() < 0.15 else "it"
        words = words.replace("{t}", thing)
        text += join + (capital(words) if join == ". " else words)
    return text + "."
