"""The program of a single needle in the real sandbox, and what a teacher's turns never spell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.nano import programs, values
from models.nano.cells.gather import GATHER
from models.nano.cells.label import LABEL
from models.nano.cells.read import CHOSEN, READ
from models.nano.cells.table import TABLE
from models.nano.cells.walk import WALK
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
    """A program of another kind of question after the first one, or an ending that there is not."""
    found = set()
    for seed in range(8):
        episode = stage.play(catalog.task("tables", seed, "train", 1_000), missteps=1.0)
        asked = [turn for turn in episode.turns if turn.message.role == "assistant"]
        wrong = [n for n, turn in enumerate(asked) if not turn.learn]
        assert wrong in ([1], [len(asked) - 2])
        assert asked[wrong[0]].constant == (wrong == [1])
        assert episode.score == 1.0
        found.add(wrong == [1])
    assert found == {True, False}


@pytest.mark.parametrize("family", sorted(catalog.FAMILIES))
def test_a_wrong_program_does_those_after_it_no_harm(stage: Stage, family: str) -> None:
    solved = 0.0
    for seed in range(6):
        task = catalog.task(family, seed, "train", 1_500)
        alone, after = (stage.play(task, missteps=share).score for share in (0.0, 1.0))
        assert after == alone
        solved += alone
    assert solved >= 5


def test_a_value_of_another_form_is_taken_where_none_of_the_right_one_is_near(stage: Stage) -> None:
    text = FILLER + "The handle of the Belkani lighthouse is quiet-harbor. " + FILLER
    far = "Ticket 4819203 was sold. " + text
    question = "What is the handle for the Belkani lighthouse?"
    for form in ("word", "number", "uuid"):
        plan = (programs.LOCATE, programs.final(form))
        task = Task("needle", 0, question, (far,), "quiet-harbor", plan, "word")
        assert stage.play(task, missteps=0.0).answer == "quiet-harbor"


def test_of_two_values_as_near_the_form_that_is_asked_for_is_taken(stage: Stage) -> None:
    text = FILLER.join(["", "For Belkani: 4819203. ", "For Belkani: quiet-harbor. ", ""])
    for form, gold in (("word", "quiet-harbor"), ("number", "4819203")):
        plan = (programs.LOCATE, programs.final(form))
        task = Task("needle", 0, "What is there for Belkani?", (text,), gold, plan, form)
        assert stage.play(task, missteps=0.0).answer == gold


@pytest.mark.parametrize("ending", ["each", "every"])
@pytest.mark.parametrize(
    ("question", "gold"),
    [
        ("Which codes do Ada Holm, Ben Lund and Ida Falk have?", "4819203, 5550123, 7720451"),
        ("All the codes of Ada Holm, please.", "4819203, 6600111"),
    ],
)
def test_several_values_are_those_of_the_keys_that_the_question_lists(
    stage: Stage, question: str, gold: str, ending: str
) -> None:
    facts = {"Ada Holm": "4819203", "Ben Lund": "5550123", "Ida Falk": "7720451"}
    texts = [f"The code of {name} is {code}. " for name, code in facts.items()]
    if question.startswith("All"):
        texts.append("The code of Ada Holm is 6600111. ")
    plan = (programs.LOCATE, GATHER, f'FINAL({ending}("number"))')
    task = Task("needles", 0, question, (FILLER.join(["", *texts, ""]),), gold, plan, "", "set")
    assert stage.play(task, missteps=0.0).score == 1.0


def test_a_key_that_the_text_often_names_has_the_value_beside_one_of_its_places(
    stage: Stage,
) -> None:
    """More places than are looked at otherwise, and only one of them has a value."""
    text = ("Some saw Ada Holm there. " * 40 + FILLER).join(
        ["", "The code of Ada Holm is 4819203. ", "The code of Ben Lund is 5550123. ", ""]
    )
    plan = (programs.LOCATE, GATHER, 'FINAL(each("number"))')
    question = "Which codes do these have: Ada Holm, Ben Lund?"
    task = Task("needles", 0, question, (text,), "4819203, 5550123", plan, "", "set")
    assert stage.play(task, missteps=0.0).score == 1.0


def test_a_chain_of_one_key_has_the_value_beside_it(stage: Stage) -> None:
    text = FILLER + "As for the local path canal, its pass is 4819203. " + FILLER
    question = "Local path canal should have a pass; which one?"
    task = Task("chains", 0, question, (text,), "4819203", (WALK, "FINAL(held())"), "")
    assert stage.play(task, missteps=0.0).answer == "4819203"


def test_a_column_without_a_name_is_named_by_no_question(stage: Stage) -> None:
    rows = "".join(f"UPDATE t SET x = 'v-{n}' WHERE n = 'k {n}';\n" for n in range(40))
    question = "Which word has been noted down for k 7?"
    plan = (programs.LOCATE, programs.final("word"))
    task = Task("needle", 0, question, (rows,), "", plan, "word")
    shown = stage.play(task, missteps=0.0).turns[2].message.content
    assert "named\n" in shown, "and no kind after it"


def test_a_text_that_stands_in_several_rows_is_labelled_once_and_without_its_names(
    stage: Stage,
) -> None:
    names = ("Ada", "Ben", "Ida", "Ugo", "Eva", "Kim")
    rows = "".join(f"{n},one more nurse and {name} will leave\n" for n, name in enumerate(names))
    task = Task(
        family="labels",
        seed=0,
        question="Sort each into one of: law, health. How many are health?",
        texts=(f"id,text\n{rows}",),
        gold="6",
        plan=(LABEL, TABLE, "FINAL(len(table))"),
        kind="count",
        reply=lambda prompt: "health",
    )
    episode = stage.play(task, missteps=0.0)
    assert episode.score == 1.0
    assert episode.calls == [
        ("Which fits? law; health\none more nurse and it will leave", "health")
    ]


def test_a_report_whose_key_the_text_has_by_chance_is_found_among_what_comes_again(
    stage: Stage,
) -> None:
    """The same words again are one passage, and the one that tells the most is read."""
    again = "The giant nurse divided the bear. In 1967 the mill of Perth was followed. " * 30
    report = "For 3272 crowns the giant nurse went from Ada Holm to Ben Lund on 2012-01-08."
    task = Task(
        family="reports",
        seed=0,
        question="Give the date of the affair of the giant nurse.",
        texts=(f"{again}\n\n{report}\n\n{again}",),
        gold="2012-01-08",
        plan=(programs.LOCATE, READ, CHOSEN),
        kind="day",
        reply=lambda prompt: "day 1" if "2012-01-08 (day 1)" in prompt else "",
    )
    assert stage.play(task, missteps=0.0).answer == "2012-01-08"


def test_a_child_may_be_asked_with_words_before_its_question(stage: Stage) -> None:
    task = catalog.task("parts", 3, "train", 1_500)
    episode = stage.play(task, missteps=0.0)
    (child,) = episode.children
    assert task.child is not None
    assert child.task.question.removesuffix(task.child.question) == "and it alone decides. "
    assert episode.score == 1.0


def test_a_key_that_is_elsewhere_a_value_is_found_where_it_stands_otherwise(stage: Stage) -> None:
    """More places than hits, all of one weight: the odd one is among them."""
    lines = [f"put amber-falcon into jar {n} of {n * 7}th;\n" for n in range(60)]
    rows = "".join([*lines[:30], "put 4819203 into amber-falcon;\n", *lines[30:]])
    plan = (programs.LOCATE, programs.final("number"))
    question = "Which number has been noted down for amber-falcon?"
    task = Task("needle", 0, question, (rows,), "4819203", plan, "number")
    assert stage.play(task, missteps=0.0).answer == "4819203"
