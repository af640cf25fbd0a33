"""Conditions on the rows of a table: a field has a value, a date or a number is in a range."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nano import phrasing
from models.nano.families.sheets import Column, Row, Sheet
from models.nano.lexicon import Split
from models.nano.written import section


@dataclass(frozen=True)
class Condition:
    """A part of the rows: how it is asked for, the call that takes it, which rows have it."""

    text: str
    call: str
    keeps: Callable[[Row], bool]


def plain(x: float) -> str:
    """A number as cells give it."""
    return str(int(x)) if x == int(x) else str(round(x, 2))


def conditions(
    rng: random.Random,
    split: Split,
    data: Sheet,
    texts: Sequence[Column],
    numbers: Sequence[Column],
) -> list[Condition]:
    """None, one or two of: a field has a value, dates, a number over or under a limit."""
    found = []
    if texts and rng.random() < 0.5:
        found.append(_filter(rng, split, rng.choice(texts)))
    way = rng.random()
    if way < 0.35 and data.of("date"):
        found.append(_dates(rng, split, data))
    elif way < 0.45 and len(data.of("number")) == len(numbers) == 1:
        found.append(_limit(rng, split, data, numbers[0]))
    return found


def clear(
    question: str,
    data: Sheet,
    conditions: Sequence[Condition],
    wanted: set[str],
    compared: set[str],
) -> bool:
    """Whether the question names just the fields and values that it is meant to."""
    folded = re.sub(r"[\W_]+", " ", question.lower())
    asked = " ".join(condition.text for condition in conditions)
    for column in data.columns:
        name = column.name.lower().replace("_", " ")
        named = re.search(rf"\b({name}(s|es)?|{name[:-1]}ies)\b", folded)
        meant = column.name in wanted or column.name.replace("_", " ") in asked
        if bool(named) != meant:
            return False
        for value in column.values:
            known = value in asked or value in compared
            if bool(re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", question)) != known:
                return False
    return Counter(re.findall(r"\d{4}-\d\d", question)) == Counter(re.findall(r"\d{4}-\d\d", asked))


_FILTERS = (
    " with {f} {v}",
    " where {f} is {v}",
    " whose {f} is {v}",
    " that have {v} as {f}",
    " for {v}",
    " of {f} {v}",
    " ({f}: {v})",
    " having {f} = {v}",
    " among those with {v}",
    " if {f} equals {v}",
    ", taking just {v}",
    " (only {v})",
    " where the {f} is {v}",
    " under {v}",
    " belonging to {f} {v}",
    " that show {v} for {f}",
    " which have {f} {v}",
    " (with|having|showing|carrying) {v} (as|for) (the |their |){f}",
    " (where|whenever|provided that|as long as) (the |){f} (is|reads|equals|shows) {v}",
    " (of|with|in|from) the {f} {v}",
    " (that are|that were|which are|being) (of|in|from|with) {f} {v}",
    ", (just|only|but only) those (with|of|for) {v}",
    " (concerning|about|regarding|connected with|related to) {v}",
    " ({f} = {v})",
    " ({v} only)",
)
_HELD_FILTERS = [" in which {f} says {v}", " given {v}", " marked {v}", " limited to {f} {v}"]


def _worded(
    rng: random.Random, split: Split, name: str, listed: Sequence[str], held: Sequence[str]
) -> str:
    """A condition's wording: half of training's are those of the section `name`."""
    if split == "held":
        return rng.choice(held)

    text = phrasing.drawn(rng, ((1, listed), (1, section("totals", name))), held)
    return text if text[0] in " ," else " " + text


def _filter(rng: random.Random, split: Split, column: Column) -> Condition:
    value = rng.choice(column.values)
    text = _worded(rng, split, "filter", _FILTERS, _HELD_FILTERS)
    return Condition(
        text.format(f=column.name.replace("_", " "), v=value),
        "",
        lambda row: row[column.name] == value,
    )


_AFTER = [" after {x}", " later than {x}", " since after {x}", " following {x}", " newer than {x}"]
_AFTER += [" more recent than {x}", " past {x}", " (only after {x})", " on days later than {x}"]
_AFTER += [" when {x} had passed", " in the time that followed {x}", " with a date after {x}"]
_AFTER += [
    " (on days|at any time|only|strictly) (after|past) {x}",
    " (newer|later|younger) than {x}",
]
_AFTER += [" (once|when|as soon as) {x} (had gone|had ended|was gone|lay behind|had come and gone)"]
_AFTER += [" (in|from|for|during) (the time|all days|what came) (after|beyond|past) {x}"]
_AFTER += [" (dated|made|written|entered|that came|that are) (after|later than) {x}"]
_BEFORE = [" before {x}", " earlier than {x}", " up to but not on {x}", " until before {x}"]
_BEFORE += [" older than {x}", " preceding {x}", " (only before {x})", " on days earlier than {x}"]
_BEFORE += [
    " until the day before {x}",
    " in the time that led up to {x}",
    " with a date before {x}",
]
_BEFORE += [" (on days|at any time|only|strictly) before {x}", " (older|earlier) than {x}"]
_BEFORE += [" (before|preceding|leading up to|ahead of the day) {x}( came| arrived| was there|)"]
_BEFORE += [" (as long as|while) {x} (was|lay|is) (still |)(to come|ahead|not there yet)"]
_BEFORE += [" (dated|made|written|entered|that came|that are) (before|earlier than) {x}"]
_WITHIN = [" between {x} and {y}", " from {x} to {y}", " from {x} until {y}", " {x} to {y}"]
_WITHIN += [
    " from {x} through {y}",
    " in the time {x} to {y}",
    " no earlier than {x}, no later than {y}",
]
_WITHIN += [" dated {x} to {y}", " (between {x} and {y})", " in the days from {x} up to {y}"]
_WITHIN += [" (dated|made|written|entered|falling|lying) (from|between) {x} (to|and|until) {y}"]
_WITHIN += [" (over|for|in) the (time|period|span|days) (from|between) {x} (to|and|until) {y}"]
_WITHIN += [
    " (beginning|starting on|starting with|from) {x} (and|,|) (up to|to|ending on|till) {y}"
]
_WITHIN += [" (inside|in) the (range|span|stretch) (of |){x} (to|and|-|until) {y}"]
_IN = [" in {x}", " during {x}", " dated {x}", " in the month {x}", " of {x}", " for {x}"]
_IN += [" (only {x})", " that fall in {x}", " in the course of {x}", " with a date in {x}"]
_IN += [" (dated|made|written|entered|that happened) (in|during) (|the month of |the month ){x}"]
_IN += [" (for|in|over|during) the (whole |)month (of |){x}", " (with a date|with dates) from {x}"]
_HELD_AFTER = [" once {x} was over", " from the time after {x}"]
_HELD_BEFORE = [" prior to {x}", " ahead of {x}"]
_HELD_WITHIN = [" starting {x} and ending {y}", " within {x} and {y}"]
_HELD_IN = [" within {x}", " belonging to {x}"]


def _dates(rng: random.Random, split: Split, data: Sheet) -> Condition:
    day = data.of("date")[0].name
    first, last = sorted(rng.choice(data.rows)[day] for _ in range(2))
    way = rng.choice(("after", "before", "within", "month"))
    if way == "after":
        text = _worded(rng, split, "after", _AFTER, _HELD_AFTER)
        return Condition(text.format(x=first), 'only("after")', lambda row: row[day] > first)
    if way == "before":
        text = _worded(rng, split, "before", _BEFORE, _HELD_BEFORE)
        return Condition(text.format(x=last), 'only("before")', lambda row: row[day] < last)
    if way == "within":
        text = _worded(rng, split, "within", _WITHIN, _HELD_WITHIN)
        return Condition(
            text.format(x=first, y=last),
            'only("within")',
            lambda row: first <= row[day] <= last,
        )
    month = first[:7]
    text = _worded(rng, split, "month", _IN, _HELD_IN)
    return Condition(text.format(x=month), 'only("within")', lambda row: row[day][:7] == month)


_OVER = [" with {f} over {x}", " where {f} is more than {x}", " with {f} above {x}"]
_OVER += [" with more {f} than {x}", " where {f} > {x}", " with {f} higher than {x}"]
_OVER += [" (only {f} above {x})", " where {f} is larger than {x}", " exceeding {x} in {f}"]
_UNDER = [" with {f} under {x}", " where {f} is less than {x}", " with {f} below {x}"]
_UNDER += [" with less {f} than {x}", " where {f} < {x}", " with {f} lower than {x}"]
_UNDER += [" (only {f} below {x})", " where {f} is lower than {x}", " not reaching {x} in {f}"]
_OVER += [" (where|if|whenever) (the |){f} (exceeds|is over|is above|is greater than) {x}"]
_OVER += [" (with|having|showing) (a |){f} (over|above|of more than|beyond) {x}"]
_UNDER += [" (where|if|whenever) (the |){f} (is under|is below|is smaller than|stays under) {x}"]
_UNDER += [" (with|having|showing) (a |){f} (under|below|of less than) {x}"]
_OVER += [" (of|showing|which come with) (a |){f} (larger|greater|higher) than {x}"]
_OVER += [
    " (if their|provided their|because their) {f} (is more than|tops|passes|is above) {x}",
]
_UNDER += [" (of|showing|which come with) (a |){f} (less|lower) than {x}"]
_UNDER += [
    " (if their|provided their|because their) {f} (is less than|lies below|does not reach) {x}"
]
_HELD_OVER = [" whose {f} exceeds {x}", " that have a {f} greater than {x}"]
_HELD_UNDER = [" whose {f} stays beneath {x}", " that have a {f} smaller than {x}"]


def _limit(rng: random.Random, split: Split, data: Sheet, column: Column) -> Condition:
    """A limit between two of the numbers: none of them is just at it."""
    values = sorted({float(row[column.name]) for row in data.rows})
    at = rng.randrange(len(values) - 1)
    limit = int(values[at]) + 1 if values[at + 1] - values[at] > 2 else values[at] + 0.05
    name, number = column.name.replace("_", " "), plain(limit)
    limit = float(number)
    if rng.random() < 0.5:
        text = _worded(rng, split, "over", _OVER, _HELD_OVER)
        return Condition(
            text.format(f=name, x=number),
            'only("over")',
            lambda row: float(row[column.name]) > limit,
        )
    text = _worded(rng, split, "under", _UNDER, _HELD_UNDER)
    return Condition(
        text.format(f=name, x=number), 'only("under")', lambda row: float(row[column.name]) < limit
    )
