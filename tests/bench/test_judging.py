"""Which replies count as right: values, sentences that say them, and nothing that only has them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bench.baselines import FAMILIES, task_of
from bench.judging import MOST_PROSE_CHARS, judged
from models.nano.evaluate import SEED
from models.nano.families.task import Match, Task
from models.nano.values import PATTERNS

TOWNS = "town,rows\nParis,4\nRome,9\nNew Ulm,3\nOslo,2\nIn all there is rain.\n"
CODES = (
    "keys: 1779362, 2592287, 2977464; misty-autumn, loyal-dragon; reef, purple wind, wooden bear"
)
PEOPLE = "Eva Moreau sold it to Boris Holm in Fargo for 49223 crowns on 2001-12-15, or 2003-01-02."


def task(
    gold: str, match: Match = "exact", text: str = "text", labels: tuple[str, ...] = ()
) -> Task:
    question = "Which town of the 31 has most rows since 2019-05-07: law or art?"
    return Task("f", 1, question, (text,), gold, (), "k", match=match, labels=labels)


@pytest.mark.parametrize(
    ("answer", "gold", "match", "score"),
    [
        ("4711", "4711", "exact", 1),
        ("It is 4711.", "4711", "exact", 1),
        ("It is 14711.", "4711", "exact", 0),
        ("It is 4711-x.", "4711", "exact", 0),
        ("4711" + " and so on" * 50, "4711", "exact", 0),
        ("<think>4711?</think>It is 4712", "4711", "exact", 0),
        ("<think>4712?</think>4711", "4711", "exact", 1),
        ("There are 1,200 of them", "1200", "number", 1),
        ("12 of 30 lines", "12", "number", 0),
        ("none", "12", "number", 0),
        ("b, a", "a, b", "set", 1),
        ("The codes are a1 and b2.", "a1, b2", "set", 1),
        ("The code is a1.", "a1, b2", "set", 0),
        ("(a, b)\n(c, d)", "(b, a)", "pairs", 2 / 3),
        ("I found (a, b).", "(b, a)", "pairs", 0),
    ],
)
def test_a_reply_is_judged(answer: str, gold: str, match: Match, score: float) -> None:
    assert judged(answer, task(gold, match)) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "gold", "match", "text"),
    [
        ("The code is 1779362.", "1779362", "exact", CODES),
        ("**1779362**", "1779362", "exact", CODES),
        ("In 2022 it was changed to `1779362`", "1779362", "exact", CODES),
        ("It's 1,779,362.", "1779362", "exact", CODES),
        (
            'The watchword is "misty-autumn", no runner-up.',
            "misty-autumn",
            "exact",
            CODES,
        ),
        ("The lowest of all is reef, with the rest above it.", "reef", "exact", CODES),
        ("Purple is a colour; purple wind leads.", "purple wind", "exact", CODES),
        ("In the table, Rome has the most rows (9).", "Rome", "exact", TOWNS),
        ("Rome's total is the highest.", "Rome", "exact", TOWNS),
        ("New Ulm — that town has most.", "New Ulm", "exact", TOWNS),
        ("It was sold by Eva Moreau, in Fargo.", "Eva Moreau", "exact", PEOPLE),
        ("The note names 2001-12-15, at 49223 crowns.", "2001-12-15", "exact", PEOPLE),
        ("Paris has 4, Oslo 2 and Rome 9, so the answer is Rome.", "Rome", "exact", TOWNS),
        ("Paris has 4, Oslo 2, and most has **Rome**.", "Rome", "exact", TOWNS),
        ("It has 9 rows.", "9", "number", TOWNS),
        ("4 + 9 + 2 = 15", "15", "number", TOWNS),
        ("4 in Paris and 9 in Rome, so 13 in total.", "13", "number", TOWNS),
        ("Of the 31 towns 12 have some since 2019.", "12", "number", TOWNS),
        ("On average $2,863.64", "2863.64", "number", TOWNS),
        ("They are Rome and Oslo.", "Rome, Oslo", "set", TOWNS),
    ],
)
def test_a_sentence_may_say_it(answer: str, gold: str, match: Match, text: str) -> None:
    assert judged(answer, task(gold, match, text)) == 1
    assert judged(answer, task(gold, match, text), prose=False) == 0


@pytest.mark.parametrize(
    ("answer", "gold", "match", "text"),
    [
        ("2592287, 1779362, 2977464", "1779362", "exact", CODES),
        ("2592287,1779362", "1779362", "exact", CODES),
        ("It is 1779362 or 1234567.", "1779362", "exact", CODES),
        ("crimson-dragon, loyal-dragon, misty-autumn", "misty-autumn", "exact", CODES),
        ("reef, bear", "reef", "exact", CODES),
        ("wooden bear, purple wind", "purple wind", "exact", CODES),
        ("Paris 4, Rome 9, Oslo 2 rows", "Rome", "exact", TOWNS),
        ("Paris\nRome", "Rome", "exact", TOWNS),
        ("Paris Rome Oslo", "Rome", "exact", TOWNS),
        ("Eva Moreau, Boris Holm", "Boris Holm", "exact", PEOPLE),
        ("2003-01-02, 2001-12-15", "2001-12-15", "exact", PEOPLE),
        ("3, 4", "4", "number", TOWNS),
        ('number")[4', "4", "number", TOWNS),
        ("rows[4]", "4", "number", TOWNS),
        ("Rome, Oslo, Paris", "Rome, Oslo", "set", TOWNS),
    ],
)
def test_a_reply_that_names_others_too_says_nothing(
    answer: str, gold: str, match: Match, text: str
) -> None:
    assert judged(answer, task(gold, match, text)) == 0


@pytest.mark.parametrize(
    ("answer", "score"),
    [("law", 1), ("Most are law.", 1), ("law, art", 0), ("law or art", 0), ("art", 0)],
)
def test_labels_are_each_others_rivals(answer: str, score: float) -> None:
    assert judged(answer, task("law", labels=("art", "law"))) == score


def test_a_long_reply_is_no_sentence() -> None:
    said = "It is 4711."
    for more, score in ((0, 1), (1, 0)):
        reply = "x" * (MOST_PROSE_CHARS - len(said) - 1 + more) + " " + said
        assert judged(reply, task("4711")) == score


def test_one_of_several_texts_may_hold_a_rival() -> None:
    towns = replace(task("Rome"), texts=("nothing", TOWNS))
    assert judged("Oslo, Rome", towns) == 0
    assert judged("Hello, Rome", towns) == 1


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "pairs"])
def test_what_is_right_may_be_said_in_a_sentence_of_every_task(family: str) -> None:
    for seed in range(SEED, SEED + 30):
        made = task_of(family, seed, 2_000)
        assert judged(made.gold, made, prose=False) == 1
        for said in (f"The answer is {made.gold}.", f"It is {made.gold}, as the text says."):
            assert judged(said, made) == 1, (said, made.question)


def test_no_two_values_of_a_needles_text_are_an_answer() -> None:
    pairs = 0
    for seed in range(SEED, SEED + 30):
        made = task_of("needle", seed, 2_000)
        found = re.findall(PATTERNS[made.kind], "\n".join(made.texts))
        for other in {*found} - {made.gold, *re.findall(PATTERNS[made.kind], made.question)}:
            assert judged(f"{other}, {made.gold}", made) == 0
            assert judged(f"It is {made.gold} or {other}.", made) == 0
            pairs += 1
    assert pairs > 100
