"""The teacher's dialogues in the real sandbox: right, true to the runtime, free of keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.nano import programs, teacher, values
from models.nano.generate import dialogue_of, generate
from models.nano.stage import Stage
from models.nano.tasks import Task, needle_task
from rlm_local.dialogue import read_turn


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage.real() as stage:
        yield stage


def task_of(question: str, *texts: str, gold: str, kind: str = "number") -> Task:
    return Task(0, question, texts, len(texts) == 1, gold, kind, ())


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
def test_the_programs_find_it(
    stage: Stage, question: str, texts: tuple[str, ...], gold: str, kind: str
) -> None:
    sample = dialogue_of(task_of(question, *texts, gold=gold, kind=kind), stage)
    assert sample is not None


def test_the_program_knows_the_forms_that_values_have() -> None:
    for form, pattern in values.PATTERNS.items():
        assert f'"{form}": r"{pattern}",' in programs.LOCATE


def test_nearly_every_task_has_a_way(stage: Stage) -> None:
    samples = [dialogue_of(needle_task(seed, "held", 2_000), stage) for seed in range(60)]
    assert sum(sample is None for sample in samples) <= 1


def test_no_turn_spells_the_answer_or_the_key(stage: Stage) -> None:
    task = needle_task(5, "train", 2_000)
    sample = dialogue_of(task, stage)
    assert sample is not None
    turns = [m["content"] for m in sample["messages"] if m["role"] == "assistant"]
    assert turns[0] == programs.turn(programs.LOCATE)
    assert not any(task.gold in turn for turn in turns)
    assert all(read_turn(turn).said == turn for turn in turns), "as the runtime keeps it"


def test_a_misstep_is_shown_and_not_learned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "MISSTEPS", 1.0)
    raised = 0
    for seed in range(12):
        sample = dialogue_of(needle_task(seed, "train", 1_500), stage)
        if sample is None or "misstep" not in sample["steps"]:
            continue
        turn = sample["messages"][len(sample["messages"]) - 3]
        seen = sample["messages"][len(sample["messages"]) - 2]
        assert not turn["learn"]
        raised += "KeyError" in seen["content"]
    assert raised >= 3


def test_the_teacher_finds_what_the_guest_finds(stage: Stage) -> None:
    for seed in range(8):
        task = needle_task(seed, "held", 3_000)
        find = teacher.finder(task)
        with stage.scene(task) as scene:
            teacher.execute(scene.repl, programs.LOCATE)
            for form in values.KINDS:
                ran = teacher.execute(scene.repl, f'print(nearest("{form}")[1])')
                assert ran.stdout.strip() == str(find(form))


def test_generation_goes_on_where_it_stopped(stage: Stage, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    generate(whole, 6, 3, stage)
    generate(parts, 3, 3, stage)
    parts.write_bytes(parts.read_bytes()[:-20])  # stopped within a line
    generate(parts, 6, 3, stage)
    assert whole.read_text() == parts.read_text()


def test_a_misstep_never_ends_the_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "MISSTEPS", 1.0)
    for seed in range(100, 110):
        task = needle_task(seed, "train", 1_000)
        sample = dialogue_of(task, stage)
        assert sample is None or sample["steps"][-1] == "final"
