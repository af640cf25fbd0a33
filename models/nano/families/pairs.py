"""Family d: all pairs of users (or the like) that have something, by fields or by labels.

The gold is between a tenth and six tenths of all pairs, so that "all of them" is no answer
(OOLONG-Pairs' shape). The answer is a variable's text, as long as it needs to be.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations, product

from models.nano.cells.label import LABEL
from models.nano.cells.table import TABLE
from models.nano.families import topics
from models.nano.families.conditions import clear
from models.nano.families.labels import FORMATS, LABELLED, listing
from models.nano.families.sheets import Column, Row, sheet
from models.nano.families.task import Task, first_made
from models.nano.families.wording import Wording
from models.nano.lexicon import Split
from models.nano.phrasing import Composed
from models.nano.written import section

#: No more names than this, however long the text is: the pairs are a square of them.
_MOST_NAMES = 60

_BOTH = Wording(
    (
        "list all pairs of {b}s that both have {w} {c}.",
        "which pairs of {b}s (both|each) have at least one of the {w} {c}?",
        "give (every pair|all pairs) of two {b}s where both have {w} {c}, one pair a line.",
        "find the pairs of {b}s such that each of the two has {w} {c}.",
        "in the above data, list all pairs of {b} values (no duplicates) where both have at "
        "least one instance {c}.",
        "name all combinations of two {b}s that both (appear|occur) {c}.",
        "(which|what) two {b}s can be put together so that both have {w} {c}? List all pairs.",
        "for every two {b}s that both have {w} {c}, write a line with the pair.",
        "list the pairs: two {b}s, both with (some|at least one) of the {w} {c}.",
        "take the {b}s that have {w} {c}. Which pairs (can be made|are there) of them?",
        "(report|write|show) all (pairs|couples) of {b}s where each of the two has {w} {c}.",
        "which {b}s can be (paired|joined|combined), both having {w} {c}? Give every pair.",
        "{b}s that have {w} {c}: (list|give|name) all pairs of them.",
        "any two {b}s with {w} {c} make a pair. (List|Name|Give) them all.",
        "(make|build|form) all pairs of {b}s from those that have {w} {c}.",
    ),
    (
        "enumerate each pair of {b}s of which both own {w} {c}.",
        "what pairs of {b}s share that they have {w} {c}?",
        "all couples of {b}s, please, in which the two of them have {w} {c}.",
        "write down every two {b}s that have {w} {c} alike.",
        "pair up the {b}s that have {w} {c}; list all of those pairs.",
    ),
    Composed(
        nouns=(
            "(all|all the|all possible) (pairs|couples) of {b}s (that both have|where both "
            "have|in which both have|of which both have|that each have|such that both have) "
            "{w} {c}",
            "(all|all the) pairs (made|formed|that can be made) of {b}s that have {w} {c}",
        ),
        asks=(
            "which (pairs|couples) of {b}s (both|each) have (some|some of the|at least one "
            "of the) {w} {c}",
            "which (pairs|couples) of {b}s there are (where both have|that both have) {w} {c}",
        ),
        deeds=(
            "(list|name|write down|give|put together|collect) (all|all the) (pairs|couples) "
            "of {b}s (that both have|where both have|in which both have|of which both "
            "have|that each have|such that both have) {w} {c}",
            "(take|pick|collect) the {b}s that have {w} {c} and (list|name|write down) all "
            "pairs of them",
        ),
        plural=True,
    ),
    written=section("chains", "both"),
)
_CROSS = Wording(
    (
        "list all pairs of {b}s where one has {w} with {x} and the other has {w} with {y}.",
        "which pairs of {b}s have {x} on one side and {y} on the other?",
        "give (every pair|all pairs) of {b}s in which one has {x} and the other {y}.",
        "find the pairs of {b}s such that one of them has {x} and the other one {y}.",
        "name all combinations of two {b}s, one with {x}, (the other|the second) with {y}.",
        "for every two {b}s, one of {x} and one of {y}, write a line with the pair.",
        "list the pairs: two {b}s, (one|the one) with {x}, the other with {y}.",
        "match the {b}s that have {x} with those that have {y}. Which pairs (come of it|result)?",
        "(report|write|show) all (pairs|couples) of {b}s where one has {x} and the other {y}.",
        "which {b}s can be (paired|joined|combined), one having {x}, the other {y}? Give every "
        "pair.",
        "a {b} with {x} and (a different|another) {b} with {y} make a pair. (List|Name|Give) "
        "them all.",
        "(make|build|form) all pairs of {b}s: one from those with {x}, one from those with {y}.",
        "pairs of {b}s, {x} for one and {y} for the other: (list|give|name) all.",
    ),
    (
        "enumerate the pairs of {b}s that bring {x} and {y} together, one each.",
        "pair each {b} that has {x} with each that has {y}; list all of those pairs.",
        "what pairs of {b}s consist of one with {x} and a different one with {y}?",
        "all couples of {b}s, please, of which one had {x} and the other had {y}.",
        "write down every two {b}s of which the first has {x}, the second {y}, or the reverse.",
    ),
    Composed(
        nouns=(
            "(all|all the|all possible) (pairs|couples) of {b}s, one with {x} and (one|the "
            "other) with {y}",
            "(all|all the) pairs of {b}s (where|in which|such that) one has {x} and the "
            "other (has |){y}",
        ),
        asks=(
            "which (pairs|couples) of {b}s have {x} (for one|on one side) and {y} (for the "
            "other|on the other)",
            "which pairs there are of (one|a) {b} with {x} and (one|another) with {y}",
        ),
        deeds=(
            "(list|name|write down|give|put together) (all|all the) pairs of {b}s (where|in "
            "which) one has {x} and the other {y}",
            "(combine|match|join|pair) (each|every) {b} (with|having) {x} (with each|with "
            "every one) (with|having) {y} and (list|name|give) (all the|all) pairs",
        ),
        plural=True,
    ),
    written=section("chains", "cross"),
)
_CONDITIONS = ("with {f} {x}", "where {f} is {x}", "whose {f} is {x}", "having {f} = {x}")
_HELD_CONDITIONS = ("in which {f} says {x}", "of the {f} {x}")


def task(seed: int, split: Split, chars: int, *, unique_rows: int = 4_000) -> Task:
    """The pairs task of that seed."""

    def attempt(rng: random.Random) -> Task | None:
        labelled = rng.random() < 0.5
        return _attempt(rng, seed, split, chars, unique_rows, labelled=labelled)

    return first_made("pairs", split, seed, attempt)


def _attempt(
    rng: random.Random, seed: int, split: Split, chars: int, unique_rows: int, *, labelled: bool
) -> Task | None:
    labels = topics.draw(rng)
    truth: dict[str, str] = {}
    body = Column(rng.choice(("text", "message", "instance", "note")), "text")
    weights = [rng.uniform(0.3, 1.6) for _ in labels.names]

    def say(label: str) -> str:
        text = labels.text(rng, split, label)
        truth[text] = label
        return text

    names = min(_MOST_NAMES, max(5, chars // 500))
    has: dict[tuple[str, str], bool] = {}
    share = rng.uniform(0.35, 0.75)

    def adjust(row: Row, columns: Sequence[Column]) -> None:
        """Keep from each name a part of the values (or labels) for good."""
        names, column = _fields(columns)
        column = body if labelled else column
        possible = labels.names if labelled else column.values
        value = truth[row[body.name]] if labelled else row[column.name]
        name = row[names.name]
        allowed = [v for v in possible if has.setdefault((name, v), rng.random() < share)]
        if value not in allowed:
            new = rng.choice(allowed or [possible[0]])
            row[column.name] = say(new) if labelled else new

    data = sheet(
        rng,
        split,
        chars,
        pool=(max(4, names // 2), names),
        texts=2,
        extra=(body, lambda: say(rng.choices(labels.names, weights)[0])) if labelled else None,
        formats=FORMATS[split] if labelled else None,
        adjust=adjust,
        unique_rows=unique_rows,
    )
    by, other = _fields(data.columns)
    x, y = rng.sample(labels.names if labelled else other.values, 2)
    cross = rng.random() < 0.4
    group, called = by.name.replace("_", " "), rng.choice(("rows", "records", "entries"))
    if cross:
        question = _CROSS.ask(rng, split, plain_lead=labelled, x=x, y=y, b=group, w=called)
        shown = f"{x} {y}"
    else:
        conditions = _HELD_CONDITIONS if split == "held" else _CONDITIONS
        name = LABELLED if labelled else other.name.replace("_", " ")
        shown = rng.choice(conditions).format(f=name, x=x)
        question = _BOTH.ask(rng, split, plain_lead=labelled, c=shown, b=group, w=called)
    if labelled:
        question = listing(rng, split, labels.names) + question
    value: Callable[[Row], str] = (
        (lambda row: truth[row[body.name]]) if labelled else (lambda row: row[other.name])
    )
    ones, others = ({row[by.name] for row in data.rows if value(row) == side} for side in (x, y))
    pairs = {
        tuple(sorted(pair))
        for pair in (product(ones, others) if cross else combinations(sorted(ones), 2))
        if pair[0] != pair[1]
    }
    everybody = len({row[by.name] for row in data.rows})
    possible = everybody * (everybody - 1) / 2
    named = {by.name} | (set() if labelled or cross else {other.name})
    if not 0.1 <= len(pairs) / max(1, possible) <= 0.6:
        return None
    if not clear(question, data, (), named, set() if labelled else {x, y} if cross else {x}):
        return None
    return Task(
        family="pairs",
        seed=seed,
        question=question,
        texts=data.texts,
        gold="\n".join(f"({a}, {b})" for a, b in sorted(pairs)),
        plan=(
            *((LABEL,) if labelled else ()),
            TABLE,
            "FINAL(cross())" if cross else "FINAL(both())",
        ),
        kind="cross" if cross else "both",
        match="pairs",
        chance=2 * (len(pairs) / possible) / (1 + len(pairs) / possible),
        traits=(data.format, "labels" if labelled else "fields"),
        reply=topics.reply if labelled else None,
        labels=labels.names if labelled else (),
    )


def _fields(columns: Sequence[Column]) -> tuple[Column, Column]:
    """The field of names, which has most values, and the other one with listed values."""
    found = sorted((c for c in columns if c.values), key=lambda c: -len(c.values))
    return found[0], found[1]
