"""Families of tasks: right, told apart by their split, solved by their programs in the sandbox."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.nano import programs
from models.nano.cells.profile import PROFILE
from models.nano.cells.table import TABLE
from models.nano.families import catalog, reports, sheets
from models.nano.families.stage import Stage
from models.nano.families.task import Task, score
from models.nano.families.workers import worker

FAMILIES = sorted(catalog.FAMILIES)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage.real() as stage:
        yield stage


@pytest.mark.parametrize("split", ["train", "held"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_programs_solve_their_tasks(stage: Stage, family: str, split: str) -> None:
    for seed in range(4):
        task = catalog.task(family, seed, split, 900 + 1_500 * seed)
        episode = stage.play(task, missteps=0.0)
        assert episode.score == 1.0, (task.question, task.gold, episode.answer)
        assert episode.errors == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_is_a_function_of_its_seed_and_split(family: str) -> None:
    for seed in range(5):
        one, two = (catalog.task(family, seed, "train", 900) for _ in range(2))
        assert (one.question, one.texts, one.gold, one.plan) == (
            two.question,
            two.texts,
            two.gold,
            two.plan,
        )
    questions = {catalog.task(family, seed, "train", 900).question for seed in range(40)}
    held = {catalog.task(family, seed, "held", 900).question for seed in range(40)}
    assert len(questions) == 40
    assert not questions & held


@pytest.mark.parametrize("family", FAMILIES)
def test_turns_choose_and_never_spell(family: str) -> None:
    """Each cell but the last is the same for all tasks; the last ones are few."""
    tasks = [catalog.task(family, seed, "train", 900) for seed in range(120)]
    firsts = {cell for task in tasks for cell in task.plan[:-1]}
    lasts = {task.plan[-1] for task in tasks}
    assert len(firsts) <= 4
    assert len(lasts) <= 90
    for task in tasks:
        assert task.gold not in task.plan[-1] or len(task.gold) < 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_has_the_length_that_was_asked_for(family: str) -> None:
    for chars in (2_000, 40_000, 300_000):
        task = catalog.task(family, 3, "held", chars)
        assert chars * 0.8 <= task.chars <= chars * 1.25 + 4_000


def test_a_dialogue_begins_with_the_profile_and_has_no_spelled_answer(stage: Stage) -> None:
    episode = stage.play(catalog.task("chains", 1, "train", 2_000), missteps=0.0)
    said = [turn for turn in episode.turns if turn.message.role == "assistant"]
    assert said[0].message.content == programs.turn(PROFILE)
    assert [turn.learn for turn in said] == [True] * 3
    assert [turn.constant for turn in said] == [True, True, False]
    assert episode.score == 1.0


@given(answer=st.text(max_size=40), gold=st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_scores_are_shares(answer: str, gold: str) -> None:
    for match in ("exact", "number", "set", "pairs"):
        assert 0.0 <= score(answer, gold, match) <= 1.0


def test_scores() -> None:
    assert score("12.0", "12", "number") == 1.0
    assert score("about 12", "12", "number") == 0.0
    assert score("b, a", "a, b", "set") == 1.0
    assert score("a", "a, b", "set") == 0.0
    assert score("(b, a)\n(c, d)", "(a, b)", "pairs") == pytest.approx(2 / 3)
    assert score("", "(a, b)", "pairs") == 0.0
    assert score("A", "a", "exact") == 0.0


def test_a_workers_reply_is_right_and_short() -> None:
    for seed in range(200):
        for split in ("train", "held"):
            asked = worker(seed, split)
            assert asked.reply
            assert 0 <= asked.chance < 1 or asked.role == "read"
            if asked.role == "read":
                assert f" ({asked.reply})" in asked.prompt
                form = asked.reply.split()[0]
                assert asked.chance == 1 / len(re.findall(rf" \({form} \d+\)", asked.prompt))
            if asked.role in ("label", "spell"):
                assert asked.reply in asked.prompt


def test_texts_with_a_label_have_no_marks_that_tables_put_between_fields() -> None:
    for seed in range(2_000):
        text = worker(seed, "train", "label").prompt.partition("\n")[2]
        assert re.fullmatch(r"[\w ]+", text), text


def test_a_number_that_is_a_value_is_no_limit(stage: Stage) -> None:
    rows = "\n".join(f"{code},{n * 100 + 7},{name}" for n, (code, name) in enumerate(_ROWS))
    task = Task(
        family="tables",
        seed=0,
        question="How many rows are there with code 95174 where weight is less than 353?",
        texts=(f"code,weight,who\n{rows}",),
        gold="2",
        plan=(TABLE, 'only("under")\nFINAL(len(table))'),
        kind="count",
    )
    assert stage.play(task, missteps=0.0).score == 1.0


_ROWS = [("95174", "Ada"), ("12847", "Ben"), ("95174", "Ada"), ("12847", "Ida")] * 4


def test_tables_of_training_may_be_small_and_have_no_date() -> None:
    drawn = [sheets.sheet(random.Random(seed), "train", 1_000) for seed in range(200)]
    small = [sheet for sheet in drawn if len(sheet.rows) < 12]
    assert 20 <= len(small) <= 80
    undated = [sheet for sheet in drawn if not sheet.of("date")]
    assert 40 <= len(undated) <= 100
    assert {len(sheet.of("number")) for sheet in drawn} == {0, 1, 2, 3}
    held = [sheets.sheet(random.Random(seed), "held", 1_000) for seed in range(50)]
    assert all(sheet.of("date") and len(sheet.rows) >= 12 for sheet in held)


def test_training_asks_for_a_part_of_the_persons_in_the_same_words() -> None:
    """Else there would be nothing to begin to learn from: see `reports.report`."""
    drawn = [reports.report(random.Random(seed), "train") for seed in range(600)]
    asked = [question for _, question, gold in drawn if re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", gold)]
    begun = Counter(" ".join(question.split()[:2]) for question in asked)
    assert len(asked) > 100
    assert 0.15 <= begun.most_common(1)[0][1] / len(asked) <= 0.6


def test_a_question_whose_deed_stands_in_another_report_is_asked_otherwise() -> None:
    """The report itself says "the treaty on it", another "the treaty on the autumn traidrast"."""
    task = reports.task(10_014_421, "train", 1_000)
    assert any("the treaty on it" in text.lower() for text in task.texts)
    assert "the treaty on the" not in task.question
