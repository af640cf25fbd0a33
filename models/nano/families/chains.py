"""Family e: keys that refer to keys, and variables that are assigned to variables."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from models.nano import forms, haystacks, phrasing, values
from models.nano.cells.walk import WALK
from models.nano.families import tracing
from models.nano.families.task import Match, Task
from models.nano.families.wording import Wording
from models.nano.lexicon import (
    ADJECTIVES,
    FIRST_NAMES,
    LAST_NAMES,
    NOUNS,
    Split,
    pseudo_word,
    words,
)
from models.nano.written import section

_STEPS = ("one", "two", "three", "four", "five")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

#: How a step is written. The first sort names the nearer key first, the second the further.
_LINKS = (
    "{k} points to {n}.;The entry {k} refers to {n}.;{k} hands over to {n}.;After {k} comes {n}.;"
    "Whoever finds {k} should go to {n}.;From {k} the path leads to {n}.;{k} is followed by {n}.;"
    "For {k}, see {n}.;{k} reports to {n}.;The {r} of {k} is {n}.;{k} passed the letter to {n}.;"
    "{k} links to {n}.;Next to {k} stands {n}.;{k} was copied into {n}.;{k} depends on {n}.;"
    "In {k} there is a note about {n}.;{k} -> {n};{k},{n};{k} = {n};{k}: {n};{k} => {n};"
    '{{"id": "{k}", "{r}": "{n}"}};{k} | {n};from={k} to={n};<{k}> {n}',
    "{n} comes after {k}.;{n} is the {r} of {k}.;{n} was reached from {k}.;{n} received it from "
    "{k}.;{n} follows {k}.;VAR {n} = VAR {k};{n} = {k};{n} <- {k};{n} inherits from {k}.;"
    "{n} copies {k}.;let {n} be {k};set {n} to {k}",
)
_HELD_LINKS = (
    "{k} forwards all mail to {n}.;The trail goes from {k} on to {n}.;{k} ~> {n};goto({k}, {n})",
    "{n} took over from {k}.;{n} := {k};({n} (of {k}))",
)


_WRITTEN_LINKS = ("link-near", "link-far")


@dataclass(frozen=True)
class _Kind:
    """A kind of question: its wording, the cell that ends the run, how an answer is scored."""

    wording: Wording
    final: str
    match: Match = "exact"


KINDS = {
    "last": _Kind(tracing.LAST, "FINAL(path[-1])"),
    "value": _Kind(tracing.VALUE, "FINAL(held())"),
    "nth": _Kind(tracing.NTH, "FINAL(path[{n}])"),
    "all": _Kind(tracing.ALL, 'FINAL(", ".join(path[1:]))', "set"),
    "count": _Kind(tracing.COUNT, "FINAL(len(path) - 1)", "number"),
}


def task(seed: int, split: Split, chars: int, *, unique_chars: int = 60_000) -> Task:
    """The chain of that seed, in a text of about `chars` characters."""
    rng = random.Random(f"chains-{split}-{seed}")
    name = rng.choice(list(KINDS))
    kind = KINDS[name]
    draw = _key_maker(rng, split, name)
    length = rng.randint(2, 6)
    numbers = name in ("all", "count") and rng.random() < 0.4
    chain = [draw() for _ in range(length + 1)]
    if numbers:  # the chain begins with a value, as in RULER's variable tracking
        chain[0] = str(rng.randint(10_000, 99_999))
    relation = rng.choice(words(NOUNS, split)) if rng.random() < 0.5 else pseudo_word(rng)
    sort = rng.choice((0, 1))
    held = _HELD_LINKS[sort].split(";")
    templates = held if split == "held" else _LINKS[sort].split(";")
    if split == "train" and rng.random() < 0.5:
        written = (phrasing.pick(rng, each) for each in section("chains", _WRITTEN_LINKS[sort]))
        templates = [each for each in written if not phrasing.has_any(each, held)]
    picked = [rng.choice(templates)]
    prose = picked[0].endswith(".")
    if prose and rng.random() < 0.4:
        picked += rng.choices([t for t in templates if t.endswith(".")], k=2)

    def link(near: str, far: str) -> str:
        return rng.choice(picked).format(k=near, n=far, r=relation)

    facts = [link(a, b) for a, b in pairwise(chain)]
    decoys = 0 if rng.random() < 0.2 else rng.randint(1, 5)
    others = [[draw() for _ in range(rng.randint(2, 6))] for _ in range(decoys)]
    facts += [link(a, b) for other in others for a, b in pairwise(other)]
    if rng.random() < 0.3:  # another one that leads to the middle of the chain
        facts.append(link(draw(), rng.choice(chain[2:])))
    attribute, gold_value = "", ""
    if name == "value":
        attribute, gold_value, held = _values(rng, split, chain, others, prose)
        facts += held
    rng.shuffle(facts)
    separator = rng.choice((" ", "\n")) if prose else "\n"
    filler = rng.choice(("essay", "dialogue", "repeated"))
    unit = haystacks.FILLERS[filler](rng, split)
    if not prose and rng.random() < 0.5:
        unit = _filler_links(rng, draw, link)
        filler = "links"
    units = list(haystacks.fill(unit, separator, chars, unique_chars))
    for fact in facts:
        units.insert(rng.randint(0, len(units)), fact)
    n = rng.randint(1, length)
    step = _STEPS[n - 1] if rng.random() < 0.6 and n <= len(_STEPS) else str(n)
    gold = {
        "last": chain[-1],
        "value": gold_value,
        "nth": chain[n],
        "all": ", ".join(chain[1:]),
        "count": str(length),
    }[name]
    return Task(
        family="chains",
        seed=seed,
        question=kind.wording.ask(
            rng,
            split,
            k=chain[0],
            r=relation,
            a=attribute,
            s=f"{step} step{'s' * (n > 1)}",
            o=_ORDINALS[n - 1],
        ),
        texts=(separator.join(units),),
        gold=gold,
        plan=(WALK, kind.final.format(n=n)),
        kind=name,
        match=kind.match,
        chance={"last": 1 / (length + 1), "nth": 1 / (length + 1), "count": 0.2}.get(name, 0.0),
        traits=(filler, "prose" if prose else "records", f"{length} steps"),
    )


def _key_maker(rng: random.Random, split: Split, name: str) -> Callable[[], str]:
    """Draws the keys of a text: all of one look, none twice."""
    used: set[str] = set()
    upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits = rng.randint(2, 5)
    looks: list[Callable[[], str]] = [
        lambda: f"{''.join(rng.choices(upper, k=2))}-{rng.randint(10, 10**digits)}",
        lambda: "".join(rng.choices(upper, k=5)),
        lambda: f"{rng.choice(words(FIRST_NAMES, split))} {rng.choice(words(LAST_NAMES, split))}",
        lambda: f"{pseudo_word(rng)}{rng.randint(10, 10**digits)}",
        lambda: f"{rng.choice(words(ADJECTIVES, split))}_{rng.choice(words(NOUNS, split))}",
    ]
    if split == "held":
        looks += [
            lambda: f"{rng.choice(upper)}{rng.randint(10, 99)}-{rng.choice(upper)}",
            lambda: f"x_{rng.randint(10, 10**digits)}",
        ]
    if name != "value":  # a value may be a word with a hyphen
        looks.append(
            lambda: f"{rng.choice(words(ADJECTIVES, split))}-{rng.choice(words(NOUNS, split))}"
        )
    look = rng.choice(looks)

    def draw() -> str:
        while True:
            key = look()
            if key not in used:
                used.add(key)
                return key

    return draw


def _values(
    rng: random.Random, split: Split, chain: list[str], others: list[list[str]], prose: bool
) -> tuple[str, str, list[str]]:
    """What the values are called, the one of the chain's end, and how all are written."""
    kind = rng.choice(values.KINDS)
    attribute = rng.choice(words(NOUNS, split)) if rng.random() < 0.5 else pseudo_word(rng)
    write = forms.sentence(rng, split) if prose else _pair(rng)
    gold = values.draw(kind, rng, split)
    held = [write(rng, chain[-1], attribute, gold)]
    for other in others:
        held.append(write(rng, other[-1], attribute, values.draw(kind, rng, split)))
    if rng.random() < 0.4:
        held.append(write(rng, chain[1], attribute, values.draw(kind, rng, split)))
    return attribute, gold, held


def _pair(rng: random.Random) -> forms.Form:
    template = rng.choice(("{k}: {v}", "{k} = {v}", "{a} of {k}: {v}", "{k} holds {v}"))
    return lambda _, key, attribute, value: template.format(k=key, a=attribute, v=value)


def _filler_links(
    rng: random.Random, draw: Callable[[], str], link: Callable[[str, str], str]
) -> haystacks.Filler:
    """Steps between keys that belong to no chain."""
    pool = [draw() for _ in range(60)]
    return lambda: link(rng.choice(pool), rng.choice(pool))
