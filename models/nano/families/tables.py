"""Family b: counting and aggregating over explicit fields."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nano.cells.table import TABLE
from models.nano.families import asking, extremes, ranking, totalling
from models.nano.families.conditions import clear, plain
from models.nano.families.conditions import conditions as conditions_of
from models.nano.families.sheets import Row, sheet
from models.nano.families.task import Match, Task, first_made
from models.nano.families.wording import Wording
from models.nano.lexicon import Split


@dataclass(frozen=True)
class Figures:
    """The rows that a question is about, and what its answer is computed from."""

    rows: Sequence[Row]
    by: str
    num: str
    side: str

    def numbers(self) -> list[float]:
        return [float(row[self.num]) for row in self.rows]

    def groups(self, how: str) -> dict[str, float]:
        """Each group's count, total or mean, the highest first."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            number = float(row[self.num]) if self.num else 0.0
            found.setdefault(row[self.by or self.side], []).append(number)
        figures: dict[str, Callable[[list[float]], float]] = {
            "count": len,
            "total": sum,
            "mean": lambda numbers: sum(numbers) / len(numbers),
        }
        figure = figures[how]
        return dict(
            sorted(
                ((group, figure(numbers)) for group, numbers in found.items()),
                key=lambda pair: -pair[1],
            )
        )

    def place(self, how: str, n: int) -> str:
        """The group at place `n`, if no other shares it."""
        groups = self.groups(how)
        names, figures = list(groups), list(groups.values())
        if (len(names) < 3 and n != 0) or len(names) < 2:
            raise Ambiguous
        if any(abs(x - figures[n]) < 0.02 for m, x in enumerate(figures) if m != n % len(names)):
            raise Ambiguous
        return names[n]

    def gap(self) -> str:
        """By how much the two groups differ in number."""
        first, second = self.groups("count").values()
        return plain(first - second)

    def holder(self, pick: Callable[[list[float]], float]) -> str:
        numbers = self.numbers()
        at = pick(numbers)
        if numbers.count(at) > 1:
            raise Ambiguous
        return self.rows[numbers.index(at)][self.by]


class Ambiguous(Exception):
    """This table has no single right answer to this question."""


@dataclass(frozen=True)
class _Kind:
    """A kind of question. `needs`: b for a field to group by, n for a number, v for two
    values to compare."""

    wording: Wording
    final: str
    gold: Callable[[Figures], object]
    needs: str = ""
    match: Match = "exact"


KINDS = {
    "count": _Kind(asking.COUNT, "FINAL(len(table))", lambda f: len(f.rows), "", "number"),
    "total": _Kind(
        asking.TOTAL, "FINAL(total())", lambda f: plain(sum(f.numbers())), "n", "number"
    ),
    "mean": _Kind(
        asking.MEAN,
        "FINAL(mean())",
        lambda f: plain(sum(f.numbers()) / len(f.rows)),
        "n",
        "number",
    ),
    "high": _Kind(
        extremes.HIGH, "FINAL(top()[1])", lambda f: plain(max(f.numbers())), "n", "number"
    ),
    "low": _Kind(extremes.LOW, "FINAL(low()[1])", lambda f: plain(min(f.numbers())), "n", "number"),
    "top-holder": _Kind(extremes.TOP_HOLDER, "FINAL(top()[0])", lambda f: f.holder(max), "bn"),
    "low-holder": _Kind(extremes.LOW_HOLDER, "FINAL(low()[0])", lambda f: f.holder(min), "bn"),
    "distinct": _Kind(
        asking.DISTINCT,
        'FINAL(len(rank("count")))',
        lambda f: len(f.groups("count")),
        "b",
        "number",
    ),
    "most": _Kind(ranking.MOST, 'FINAL(rank("count")[0])', lambda f: f.place("count", 0), "b"),
    "second": _Kind(ranking.SECOND, 'FINAL(rank("count")[1])', lambda f: f.place("count", 1), "b"),
    "least": _Kind(ranking.LEAST, 'FINAL(rank("count")[-1])', lambda f: f.place("count", -1), "b"),
    "most-total": _Kind(
        totalling.MOST_TOTAL, 'FINAL(rank("total")[0])', lambda f: f.place("total", 0), "bn"
    ),
    "second-total": _Kind(
        totalling.SECOND_TOTAL, 'FINAL(rank("total")[1])', lambda f: f.place("total", 1), "bn"
    ),
    "least-total": _Kind(
        totalling.LEAST_TOTAL, 'FINAL(rank("total")[-1])', lambda f: f.place("total", -1), "bn"
    ),
    "most-mean": _Kind(
        totalling.MOST_MEAN, 'FINAL(rank("mean")[0])', lambda f: f.place("mean", 0), "bn"
    ),
    "least-mean": _Kind(
        totalling.LEAST_MEAN, 'FINAL(rank("mean")[-1])', lambda f: f.place("mean", -1), "bn"
    ),
    "names": _Kind(
        asking.NAMES,
        'FINAL(", ".join(rank("count")))',
        lambda f: ", ".join(f.groups("count")),
        "b",
        "set",
    ),
    "more": _Kind(ranking.MORE, 'FINAL(rank("count")[0])', lambda f: f.place("count", 0), "v"),
    "gap": _Kind(
        ranking.GAP,
        "FINAL(gap())",
        lambda f: f.gap(),
        "v",
        "number",
    ),
}


def task(seed: int, split: Split, chars: int, *, unique_rows: int = 4_000) -> Task:
    """The question of that seed about a table of about `chars` characters."""
    return first_made(
        "tables", split, seed, lambda rng: _attempt(rng, seed, split, chars, unique_rows)
    )


def _attempt(
    rng: random.Random, seed: int, split: Split, chars: int, unique_rows: int
) -> Task | None:
    name = rng.choice(list(KINDS))
    kind = KINDS[name]
    data = sheet(rng, split, chars, unique_rows=unique_rows)
    texts, numbers = data.of("text"), data.of("number")
    rng.shuffle(texts)
    if "n" in kind.needs and not numbers:
        return None
    by = texts.pop() if "b" in kind.needs else None
    number = rng.choice(numbers) if "n" in kind.needs else None
    side = texts.pop() if "v" in kind.needs else None
    x, y = rng.sample(side.values, 2) if side else ("", "")
    conditions = conditions_of(rng, split, data, texts, numbers if number is None else [number])
    question = kind.wording.ask(
        rng,
        split,
        w=rng.choice(asking.ROWS),
        b=by and by.name.replace("_", " "),
        n=number and number.name.replace("_", " "),
        x=x,
        y=y,
        c="".join(condition.text for condition in conditions),
    )
    kept = [
        row
        for row in data.rows
        if all(c.keeps(row) for c in conditions) and (not side or row[side.name] in (x, y))
    ]
    wanted = {c.name for c in (by, number, side) if c}
    if len(kept) < 2 or not clear(question, data, conditions, wanted, {x, y} - {""}):
        return None
    figures = Figures(
        kept, by.name if by else "", number.name if number else "", side.name if side else ""
    )
    if side and len(figures.groups("count")) < 2:
        return None
    try:
        gold = str(kind.gold(figures))
    except Ambiguous:
        return None
    calls = [condition.call for condition in conditions if condition.call]
    grouped = name not in ("count", "total", "mean", "high", "low", "gap", "distinct", "names")
    return Task(
        family="tables",
        seed=seed,
        question=question,
        texts=data.texts,
        gold=gold,
        plan=(TABLE, "\n".join([*calls, kind.final])),
        kind=name,
        match=kind.match,
        chance=1 / max(1, len(figures.groups("count"))) if grouped else 0.0,
        traits=(data.format, *(c.call or "filter" for c in conditions)),
    )
