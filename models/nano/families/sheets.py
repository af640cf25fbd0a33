"""Tables of random fields and rows, and the formats in which they are written."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

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

Kind = Literal["text", "number", "date"]
Row = dict[str, str]

_TEXT_NAMES = """\
user city status team color product department country category region owner type state
customer channel brand shop plan lang role"""
_NUMBER_NAMES = """\
amount price quantity score minutes weight points cost bytes duration fee distance"""
_HELD_TEXT_NAMES = "driver vendor warehouse mood genre tier"
_HELD_NUMBER_NAMES = "revenue mileage latency salary"
_DATE_NAMES = "date day created when posted"
#: How many of training's tables are small, and how many have any fields, mostly without a date:
#: what people ask about first is a list of a few lines.
_SMALL, _FREE = 0.2, 0.5


@dataclass(frozen=True)
class Column:
    """A field. `values`: what a text field may hold; none of another field's."""

    name: str
    kind: Kind
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A table: its columns, its rows (all as text), and how it is written."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    format: str
    texts: tuple[str, ...]

    def of(self, kind: Kind) -> list[Column]:
        """The columns of a kind."""
        return [column for column in self.columns if column.kind == kind]


def sheet(
    rng: random.Random,
    split: Split,
    chars: int,
    *,
    pool: tuple[int, int] | None = None,
    texts: int | None = None,
    extra: tuple[Column, Callable[[], str]] | None = None,
    formats: Sequence[str] | None = None,
    adjust: Callable[[Row, Sequence[Column]], None] | None = None,
    unique_rows: int = 4_000,
) -> Sheet:
    """A table of about `chars` characters, of at least a dozen rows; some of training's are small.

    `pool`: the least and most values of the first text field. `texts`: how many text fields.
    `extra`: a further field and what draws its values. `formats`: those to choose from.
    `adjust` may change each row as soon as it is drawn.
    """
    style = rng.choice(formats or (HELD_FORMATS if split == "held" else FORMATS))
    columns = _columns(rng, split, style, pool, texts)
    least = 12
    if split == "train" and rng.random() < _SMALL:
        chars, least = rng.randint(60, 600), 3
    draw = {column.name: _drawer(rng, column) for column in columns}
    if extra:
        columns.append(extra[0])
        draw[extra[0].name] = extra[1]
    if rng.random() < 0.7:
        rng.shuffle(columns)
    if style == "log":  # the moment comes first
        columns.sort(key=lambda column: column.kind != "date")
    write, between, header = _WRITERS[style](rng, columns)
    rows: list[Row] = []
    lines: list[str] = []
    size = 0
    while len(rows) < unique_rows and (size < chars or len(rows) < least):
        row = {name: make() for name, make in draw.items()}
        if adjust:
            adjust(row, columns)
        rows.append(row)
        lines.append(write(row))
        size += len(lines[-1]) + len(between)
    times = max(1, round(chars / size))
    rows, lines = rows * times, lines * times
    return Sheet(tuple(columns), tuple(rows), style, tuple(_documents(rng, lines, between, header)))


def _columns(
    rng: random.Random,
    split: Split,
    style: str,
    pool: tuple[int, int] | None,
    texts: int | None,
) -> list[Column]:
    """Two to four text fields, one or two of numbers, one date; in training also fewer and more."""
    names = _Names(rng, split)
    columns = []
    free = split == "train" and rng.random() < _FREE
    for n in range(texts or rng.choice((1, 2, 3, 4, 5) if free else (2, 2, 3, 4))):
        low, high = pool if pool and n == 0 else (3, 6)
        columns.append(names.text(rng.randint(low, high), spaces=style != "log"))
    for _ in range(rng.choice((0, 1, 2, 3) if free else (1, 1, 2))):
        columns.append(Column(names.fresh(_NUMBER_NAMES, _HELD_NUMBER_NAMES), "number"))
    if not free or style == "log" or rng.random() < 0.3:
        columns.append(Column(rng.choice(_DATE_NAMES.split()), "date"))
    return columns


class _Names:
    """Names and values for one table; no word comes twice."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split: Split = split
        self.used: set[str] = set(_DATE_NAMES.split())

    def fresh(self, telling: str, held: str) -> str:
        """The name of a field: more often than not one that says nothing."""
        rng = self.rng
        known = (held if self.split == "held" else telling).split()
        return self._unused(
            lambda: (
                rng.choice(known)
                if rng.random() < 0.45
                else rng.choice(
                    (
                        pseudo_word(rng),
                        rng.choice(words(NOUNS, self.split)),
                        f"{pseudo_word(rng)}_{rng.choice(words(NOUNS, self.split))}",
                    )
                )
            )
        )

    def text(self, size: int, *, spaces: bool) -> Column:
        """A text field with `size` values."""
        rng, split = self.rng, self.split
        name = self.fresh(_TEXT_NAMES, _HELD_TEXT_NAMES)

        def some(listing: str) -> str:
            return rng.choice(words(listing, split))

        makers: list[Callable[[], str]] = [
            lambda: some(FIRST_NAMES),
            lambda: some(PLACES),
            lambda: some(NOUNS),
            lambda: some(ADJECTIVES),
            lambda: pseudo_word(rng),
            lambda: f"{pseudo_word(rng)[:3]}-{rng.randint(10, 999)}",
            lambda: str(rng.randint(10_000, 99_999)),
            lambda: f"{some(ADJECTIVES)}-{some(NOUNS)}",
        ]
        if spaces:
            makers += [
                lambda: f"{some(FIRST_NAMES)} {some(LAST_NAMES)}",
                lambda: f"{some(ADJECTIVES)} {some(NOUNS)}",
            ]
        make = rng.choice(makers if size <= 6 else makers[4:7])  # the lists of words are short
        return Column(name, "text", tuple(self._unused(make) for _ in range(size)))

    def _unused(self, make: Callable[[], str]) -> str:
        while True:
            text = make()
            parts = set(re.split(r"[\W_]+", text.lower()))
            if not parts & self.used:
                self.used |= parts
                return text


def _drawer(rng: random.Random, column: Column) -> Callable[[], str]:
    """Draws values of a column; some of a text field are much more frequent than others."""
    if column.kind == "date":
        first = rng.randint(2015, 2029)
        return lambda: (
            f"{first + rng.randint(0, 1)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        )
    if column.kind == "number":
        most = rng.choice((5_000, 20_000, 100_000))
        if rng.random() < 0.3:
            return lambda: str(rng.randint(10, most * 10) / 10)
        return lambda: str(rng.randint(1, most))
    weights = [rng.uniform(0.3, 1.6) for _ in column.values]
    return lambda: rng.choices(column.values, weights)[0]


def _documents(rng: random.Random, lines: Sequence[str], between: str, header: str) -> list[str]:
    """The rows as one text, or now and then as several; a header stands over each."""
    count = rng.choice((1, 1, 1, 1, 1, rng.randint(2, 8)))
    if len(lines) < 12 * count:
        count = 1
    size = -(-len(lines) // count)
    preface = ""
    if count == 1 and rng.random() < 0.25:
        preface = rng.choice(_PREFACES) + "\n"
        preface += "\n" if between == "\n\n" or rng.random() < 0.5 else ""
    return [
        preface + header + between.join(lines[n : n + size]) + rng.choice(("", "\n"))
        for n in range(0, len(lines), size)
    ]


_PREFACES = (
    "The following lines are the data.",
    "Here is what was exported:",
    "Records",
    "# made by the nightly job",
)

# ------------------------------------------------------------------- formats

#: Writes a row; what stands between two rows; what stands before the first.
_Writer = tuple[Callable[[Row], str], str, str]


def _csv(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    return _delimited(rng.choice((",", ",", ";", "|", "\t", ", ", " | ")), rng, columns)


def _delimited(delimiter: str, rng: random.Random, columns: Sequence[Column]) -> _Writer:
    quote = rng.choice(("", "", '"'))
    header = delimiter.join(quote + column.name + quote for column in columns) + "\n"
    names = [column.name for column in columns]
    return (
        lambda row: delimiter.join(quote + row[name] + quote for name in names),
        "\n",
        header,
    )


def _markdown(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    names = [column.name for column in columns]
    header = f"| {' | '.join(names)} |\n|{'|'.join('---' for _ in names)}|\n"
    return lambda row: f"| {' | '.join(row[name] for name in names)} |", "\n", header


def _pairs(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    return _equations(
        rng.choice((", ", "; ", " | ", ",", ";")), rng.choice(("=", ": ", " = ", "=>")), columns
    )


def _bars(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    return _equations(" || ", ": ", columns)


def _equations(between: str, equals: str, columns: Sequence[Column]) -> _Writer:
    names = [column.name for column in columns]
    return lambda row: between.join(f"{name}{equals}{row[name]}" for name in names), "\n", ""


def _json(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    bare = rng.random() < 0.5
    separators = rng.choice(((", ", ": "), (",", ":")))
    kinds = {column.name: column.kind for column in columns}

    def write(row: Row) -> str:
        fields = {
            name: json.loads(row[name]) if bare and kind == "number" else row[name]
            for name, kind in kinds.items()
        }
        return json.dumps(fields, separators=separators)

    return write, "\n", ""


def _log(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    names = [column.name for column in columns if column.kind != "date"]
    day = next(column.name for column in columns if column.kind == "date")
    service = rng.choice(("auth", "store", "api", "billing", "sync"))

    def write(row: Row) -> str:
        moment = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
        level = rng.choice(("INFO", "INFO", "WARN", "DEBUG"))
        fields = " ".join(f"{name}={row[name]}" for name in names)
        return f"{row[day]} {moment} {level} {service}: {fields}"

    return write, "\n", ""


def _block(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    equals = rng.choice((": ", " = "))
    names = [column.name for column in columns]
    return lambda row: "\n".join(f"{name}{equals}{row[name]}" for name in names), "\n\n", ""


def _semicolon_arrow(rng: random.Random, columns: Sequence[Column]) -> _Writer:
    return _equations("; ", " => ", columns)


_WRITERS: dict[str, Callable[[random.Random, Sequence[Column]], _Writer]] = {
    "csv": _csv,
    "pairs": _pairs,
    "json": _json,
    "log": _log,
    "block": _block,
    "markdown": _markdown,
    "bars": _bars,
    "arrows": _semicolon_arrow,
}
FORMATS = ("csv", "csv", "pairs", "json", "log", "block")
HELD_FORMATS = ("markdown", "bars", "arrows", "csv", "json", "log")
