"""Family c: labels that sub-calls give, counted and compared (OOLONG's shape)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nano import asides, phrasing
from models.nano.cells.label import LABEL
from models.nano.cells.table import TABLE
from models.nano.families import labelling, topics
from models.nano.families.conditions import Condition, clear, conditions
from models.nano.families.sheets import Column, Sheet, sheet
from models.nano.families.tables import Ambiguous, Figures
from models.nano.families.task import Match, Task, first_made
from models.nano.families.wording import Wording, capital
from models.nano.lexicon import Split
from models.nano.written import section

#: The field that the labels become; no table has one of that name.
LABELLED = "label"
#: Formats in which a field may be a sentence.
FORMATS = {
    "train": ("csv", "csv", "pairs", "json", "block"),
    "held": ("markdown", "bars", "arrows", "csv", "json"),
}
_BODIES = ("text", "message", "instance", "sentence", "note", "utterance")

#: How the labels are given, before the question proper.
_LISTS = (
    "(each|every) {o} (belongs to|falls into|is about|goes with) one of (these|the following): "
    "{l}. ",
    "the (labels|options|choices|possible labels|names to choose from) are: {l}. ",
    "(classify|label|sort|tag|judge) (every|each) {o} (one of|as one of|with one of|by these): "
    "{l}. ",
    "(classify|label|sort|tag|judge) (every|each) {o} ((one of|choices|options): {l}). ",
    "there are {k} (kinds|sorts|types|classes) of {o}: {l}. ",
    "(every|each) {o} (has|gets|carries|deserves) one of {k} labels ({l}). ",
    "(possible|the possible|allowed|the known|available) (categories|labels|kinds|topics): {l}. ",
    "(these|the following) (labels|categories|kinds) (are there|exist|may be given): {l}. ",
    "(choose|pick|decide) for (every|each) {o} among: {l}. ",
    "(what|whatever) {o} it is, it is one of ({l}). ",
    "(labels|options|classes|categories|choices) = ({l}). ",
)
_HELD_LISTS = (
    "We sort each {o} into one class: {l}. ",
    "Label set: {l}. ",
    "Take one of these for each {o}: {l}. ",
)


@dataclass(frozen=True)
class _Kind:
    """`needs`: x and y for labels to name, b for a field to group by."""

    wording: Wording
    final: str
    gold: Callable[[Figures], object]
    needs: str = ""
    match: Match = "exact"


KINDS = {
    "count": _Kind(labelling.COUNT, "FINAL(len(table))", lambda f: len(f.rows), "x", "number"),
    "most": _Kind(labelling.MOST, 'FINAL(rank("count")[0])', lambda f: f.place("count", 0)),
    "least": _Kind(labelling.LEAST, 'FINAL(rank("count")[-1])', lambda f: f.place("count", -1)),
    "second": _Kind(labelling.SECOND, 'FINAL(rank("count")[1])', lambda f: f.place("count", 1)),
    "more": _Kind(labelling.MORE, 'FINAL(rank("count")[0])', lambda f: f.place("count", 0), "xy"),
    "gap": _Kind(labelling.GAP, "FINAL(gap())", lambda f: f.gap(), "xy", "number"),
    "by": _Kind(labelling.BY, 'FINAL(rank("count")[0])', lambda f: f.place("count", 0), "xb"),
}


def task(seed: int, split: Split, chars: int, *, unique_rows: int = 4_000) -> Task:
    """The labelling task of that seed, about `chars` characters of short texts."""
    return first_made(
        "labels", split, seed, lambda rng: _attempt(rng, seed, split, chars, unique_rows)
    )


def _attempt(
    rng: random.Random, seed: int, split: Split, chars: int, unique_rows: int
) -> Task | None:
    labels = topics.draw(rng)
    data, body, truth = labelled_sheet(rng, split, chars, labels, unique_rows=unique_rows)
    name = rng.choice(list(KINDS))
    kind = KINDS[name]
    texts = [column for column in data.of("text") if column is not body]
    rng.shuffle(texts)
    by = texts.pop() if "b" in kind.needs else None
    x, y = rng.sample(labels.names, 2)
    x, y = (x if "x" in kind.needs else ""), (y if "y" in kind.needs else "")
    asked = conditions(rng, split, data, texts, ()) if rng.random() < 0.5 else []
    question = listing(rng, split, labels.names) + kind.wording.ask(
        rng,
        split,
        plain_lead=True,
        w=rng.choice(("rows", "records", "entries", "items")),
        b=by and by.name.replace("_", " "),
        x=x,
        y=y,
        c="".join(condition.text for condition in asked),
    )
    wanted = {x, y} - {""}
    if not clear(question, data, asked, {by.name} if by else set(), set()):
        return None
    rows = [
        {**row, LABELLED: truth[row[body.name]]}
        for row in data.rows
        if all(condition.keeps(row) for condition in asked)
    ]
    rows = [row for row in rows if not wanted or row[LABELLED] in wanted]
    figures = Figures(rows, by.name if by else LABELLED, "", "")
    if len(rows) < 2 or (y and len(figures.groups("count")) < 2):
        return None
    try:
        gold = str(kind.gold(figures))
    except Ambiguous:
        return None
    chance = {"most": len(labels.names), "more": 2, "by": by and len(by.values)}
    chance |= {"least": len(labels.names), "second": len(labels.names)}
    return Task(
        family="labels",
        seed=seed,
        question=question,
        texts=data.texts,
        gold=gold,
        plan=(LABEL, TABLE, "\n".join([*calls(asked), kind.final])),
        kind=name,
        match=kind.match,
        chance=1 / (chance.get(name) or 1_000),
        traits=(data.format, labels.group, f"{len(labels.names)} labels"),
        reply=topics.reply,
        labels=labels.names,
    )


def labelled_sheet(
    rng: random.Random,
    split: Split,
    chars: int,
    labels: topics.Labels,
    *,
    pool: tuple[int, int] | None = None,
    unique_rows: int = 4_000,
) -> tuple[Sheet, Column, dict[str, str]]:
    """A table with a field of short texts; that field; and each text's label."""
    truth: dict[str, str] = {}
    weights = [rng.uniform(0.3, 1.6) for _ in labels.names]
    body = Column(rng.choice(_BODIES), "text")

    def draw() -> str:
        label = rng.choices(labels.names, weights)[0]
        text = labels.text(rng, split, label)
        truth[text] = label
        return text

    data = sheet(
        rng,
        split,
        chars,
        pool=pool,
        texts=rng.choice((1, 2)),
        extra=(body, draw),
        formats=FORMATS[split],
        unique_rows=unique_rows,
    )
    return data, body, truth


def listing(rng: random.Random, split: Split, labels: Sequence[str]) -> str:
    """The sentence of the question that gives the labels."""
    template = rng.choice(_HELD_LISTS)
    if split == "train":
        sources = ((1, _LISTS), (1, section("labels", "listing")))
        template = phrasing.drawn(rng, sources, _HELD_LISTS).rstrip() + " "
        template = capital(template) if rng.random() < 0.7 else template
        template = asides.lead(rng, quiet=True) + template
    last = rng.choice((", ", " or ", " and "))
    return template.format(
        o=rng.choice(("one", "item", "line", "entry")),
        l=", ".join(labels[:-1]) + last + labels[-1] if len(labels) > 2 else ", ".join(labels),
        k=("two", "three", "four", "five")[len(labels) - 2],
    )


def calls(asked: Sequence[Condition]) -> list[str]:
    """The calls that take the rows of these conditions."""
    return [condition.call for condition in asked if condition.call]
