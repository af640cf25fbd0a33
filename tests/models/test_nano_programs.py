"""The program of a single needle in the real sandbox, and what a teacher's turns never spell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.nano import programs, values
from models.nano.families import catalog
from models.nano.families.stage import Stage
from models.nano.families.task import Task
from rlm_local.dialogue import read_turn


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage.real() as stage:
        yield stage


FILLER = "The red door was painted by nobody. Some counted the lamps twice. " * 40


@pytest.mark.parametrize(
    ("question", "texts", "gold", "kind"),
    [
        (
            "What is the access code for the Belkani lighthouse?",
            (FILLER + "The access code for the Belkani lighthouse is 4819203. " + FILLER,),
            "4819203",
            "number",
        ),
        (
            "what is the code of belkani lighthouse",
            (FILLER + "BELKANI LIGHTHOUSE\t4819203\n" + FILLER,),
            "4819203",
            "number",
        ),
        (
            "Which word belongs to amber-falcon?",
            (FILLER, "x,1\nquiet-harbor,amber-falcon\nzinc,2\n", FILLER),
            "quiet-harbor",
            "word",
        ),
        (
            "Find the guid of 2f1c.",
            (FILLER + "2f1ca: none. Under 2f1c stands 00112233-4455-4677-8899-aabbccddeeff.",),
            "00112233-4455-4677-8899-aabbccddeeff",
            "uuid",
        ),
        (
            "Give the pin of Ünal Çelik.",
            (FILLER + "Ünal Çelik → 4819203, 東京. " + FILLER,),
            "4819203",
            "number",
        ),
    ],
)
def test_the_program_finds_it(
    stage: Stage, question: str, texts: tuple[str, ...], gold: str, kind: str
) -> None:
    plan = (programs.LOCATE, programs.final(kind))
    task = Task("needle", 0, question, texts, gold, plan, kind)
    assert stage.play(task, missteps=0.0).answer == gold


def test_the_program_knows_the_forms_that_values_have() -> None:
    for form, pattern in values.PATTERNS.items():
        assert f'"{form}": r"{pattern}",' in programs.LOCATE


def test_nearly_every_needle_has_a_way(stage: Stage) -> None:
    scores = [stage.play(catalog.task("needle", n, "held", 2_000)).score for n in range(60)]
    assert sum(score == 0 for score in scores) <= 1


def test_no_turn_spells_the_answer(stage: Stage) -> None:
    for family in ("needle", "tables", "chains", "labels", "parts"):
        episode = stage.play(catalog.task(family, 5, "train", 2_000), missteps=0.0)
        said = [turn.message.content for turn in episode.turns if turn.message.role == "assistant"]
        golds = [gold for gold in [episode.task.gold] if len(gold) > 2]
        assert not any(gold in turn for turn in said for gold in golds)
        assert all(read_turn(turn).said == turn for turn in said), "as the runtime keeps it"


def test_a_misstep_is_shown_and_not_learned(stage: Stage) -> None:
    episode = stage.play(catalog.task("tables", 3, "train", 1_000), missteps=1.0)
    asked = [turn for turn in episode.turns if turn.message.role == "assistant"]
    assert [turn.learn for turn in asked][-2:] == [False, True]
    assert episode.score == 1.0
