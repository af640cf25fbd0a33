"""Whether a reply says what is right: as a bare value, or in a sentence that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from bm25s.stopwords import STOPWORDS_EN_PLUS

from models.nano.families.task import Match, Task, score

#: The longest reply in which the right answer may stand among other words.
MOST_PROSE_CHARS = 400
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Between the digits of one number, not between two numbers.
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
#: Behind these a reply says what it comes to.
_VERDICT = re.compile(r"\banswer(?: is)?\b|\b(?:so|thus|hence|therefore)\b|\s=\s", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
#: What may stand around a word in prose. Within one it is code.
_AROUND = ".,;:!?\"'`()[]{}<>|*_$€£%\u201c\u201d\u2018\u2019"


def judged(answer: str, task: Task, *, prose: bool = True) -> float:
    """As `score`, from 0 to 1, but a short reply may say the answer in a sentence (`prose`).

    Such a reply names the right value, or all of several, as whole words, and no other that could
    be meant: a list of candidates answers nothing. One that works towards its answer ("so", "=",
    "the answer is", bold type) may name others on the way. Pairs are not looked for in prose.
    """
    said = answer.rpartition("</think>")[2].strip()
    strict = score(said, task.gold, task.match)
    if strict or not prose or task.match == "pairs" or len(said) > MOST_PROSE_CHARS:
        return strict
    parts = {said, _VERDICT.split(said)[-1]}
    bold = set(_BOLD.findall(said))
    return float(any(_says(part, task) for part in (parts | bold if len(bold) == 1 else parts)))


def _says(part: str, task: Task) -> bool:
    """Whether `part` names what is right, and nothing else that could be meant."""
    golds = [gold.split() for gold in _golds(task)]
    rest = _words(part)
    for gold in sorted(golds, key=len, reverse=True):
        others = _without(rest, gold, "number" if task.match == "number" else "exact")
        if others == rest:
            return False
        rest = others
    return not _rival(rest, golds, task)


def _golds(task: Task) -> list[str]:
    if task.match == "set":
        return [thing.strip() for thing in task.gold.split(",")]
    return [task.gold]


def _words(part: str) -> list[str]:
    """The words without what stands around them, and "" where that parts them from the next."""
    words: list[str] = []
    for chunk in re.sub("[,\u2014\u2192]", ", ", _THOUSANDS.sub("", part)).split():
        word = chunk.strip(_AROUND)
        before = [""] * (not chunk.startswith(word))
        after = [""] * (not chunk.endswith(word))
        words += [*before, re.sub("['\u2019]s$", "", word), *after]
    return words


def _without(words: Sequence[str], gold: Sequence[str], match: Match) -> list[str]:
    """`words` with "" for the right value, wherever it stands."""
    rest = list(words)
    for start in range(len(rest) - len(gold) + 1):
        there = slice(start, start + len(gold))
        if score(" ".join(rest[there]), " ".join(gold), match):
            rest[there] = [""] * len(gold)
    return rest


def _rival(rest: Sequence[str], golds: Sequence[Sequence[str]], task: Task) -> bool:
    """Whether `rest`, words and "" between phrases, names another value that could be meant.

    Of a label each other label. Of a number that was computed any other number. Else what has
    the value's form, as many words, and stands in the texts or is a number or code as long. What
    the question names is not meant, but for labels.
    """
    if task.gold in task.labels:
        return any(word in task.labels for word in rest)
    forms = {_form(word) for gold in golds for word in gold}
    sizes = {len(word) for gold in golds for word in gold}
    asked = {*_words(task.question), *re.findall(r"\d+", task.question)}

    def could_be_meant(word: str) -> bool:
        if not word or word in asked or _form(word) not in forms:
            return False
        as_long = len(word) in sizes and any(map(str.isdigit, word))
        return task.match == "number" or as_long or _stands_in(word, task)

    lengths = {len(gold) for gold in golds}
    runs = groupby(rest, could_be_meant)
    return any(meant and sum(1 for _ in run) in lengths for meant, run in runs)


def _form(word: str) -> str:
    """What a word looks like: "1" a number, "a-a" two words with a hyphen, "A1-A" as V41-F."""
    if _UUID.fullmatch(word):
        return "uuid"
    if _NUMBER.fullmatch(word):
        return "1"
    letters = re.sub(
        r"[^\W\d_]+",
        lambda run: "A" if run[0].isupper() else "Aa" if run[0][0].isupper() else "a",
        word,
    )
    return re.sub(r"\d+", "1", letters)


def _stands_in(word: str, task: Task) -> bool:
    """Whether a word is one of the texts (a number also as part of a code), and not of those that
    every text has."""
    if word.casefold() in STOPWORDS_EN_PLUS:
        return False
    edge = r"\w" if word.isdigit() else r"[\w-]"
    whole = re.compile(f"(?<!{edge}){re.escape(word)}(?!{edge})")
    return any(word in text and whole.search(text) for text in task.texts)
