"""Rounds of rejection sampling: what a model plays itself becomes samples like the teacher's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.nano import programs
from models.nano.families import catalog
from models.nano.families.generate import samples_of
from models.nano.families.rounds import play
from models.nano.families.stage import Episode, Stage
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import Request
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage.real() as stage:
        yield stage


def as_the_teacher(episode: Episode) -> ScriptedModel:
    """A model that says what the teacher said."""
    turns = [t.message.content for t in episode.turns if t.message.role == "assistant"]
    replies = dict(episode.calls)

    def reply(request: Request) -> str:
        return replies[request.messages[-1].content]

    return ScriptedModel(turns, reply, profile="nano")


def played(episode: Episode, model: ScriptedModel, folder: Path) -> list[dict[str, object]]:
    limits = Limits(wall_seconds=60.0, turns=8)
    with Runtime(model=model, limits=limits, store=RunStore(folder)) as runtime:
        return play(runtime, episode.task)


@pytest.mark.parametrize("family", ["tables", "chains", "reports", "pairs"])
def test_a_model_that_plays_as_the_teacher_gives_the_teachers_samples(
    stage: Stage, tmp_path: Path, family: str
) -> None:
    for seed in range(2):
        episode = stage.play(catalog.task(family, seed, "train", 1_500), missteps=0.0)
        (expected, *_) = samples_of(episode, random.Random(0))
        root, *calls = played(episode, as_the_teacher(episode), tmp_path / f"{seed}")
        assert root["score"] == 1.0
        assert [(m["role"], m["content"], m["learn"], m["constant"]) for m in root["messages"]] == [  # type: ignore[attr-defined]
            (m["role"], m["content"], m["learn"], m["constant"])
            for m in expected["messages"]  # type: ignore[attr-defined]
        ]
        said = dict(episode.calls)
        for call in calls:
            asked, reply = (message["content"] for message in call["messages"])  # type: ignore[attr-defined]
            assert said[asked] == reply


def test_an_answer_to_labels_that_was_guessed_scores_nothing(tmp_path: Path) -> None:
    task = next(
        found
        for seed in range(100)
        if (found := catalog.task("labels", seed, "train", 1_500)).kind == "more"
    )
    cheat = programs.turn(f"llm_query('food or not?')\nFINAL({task.gold!r})")
    model = ScriptedModel(lambda _: cheat, lambda _: "1", profile="nano")
    with Runtime(model=model, store=RunStore(tmp_path)) as runtime:
        found = play(runtime, task)
    assert [each["score"] for each in found] == [0.0, 0.0]


def test_a_wrong_answer_scores_nothing_and_an_error_is_marked(stage: Stage, tmp_path: Path) -> None:
    episode = stage.play(catalog.task("tables", 1, "train", 1_500), missteps=0.0)
    turns = [t.message.content for t in episode.turns if t.message.role == "assistant"]
    wrong = ["```repl\nnothing_there\n```", *turns[:-1], "```repl\nFINAL('none of these')\n```"]
    root, *_ = played(episode, ScriptedModel(wrong, profile="nano"), tmp_path)
    assert root["score"] == 0.0
    said = [m for m in root["messages"] if m["role"] == "assistant"]  # type: ignore[attr-defined]
    assert [bool(m["fault"]) for m in said] == [True] + [False] * len(turns)
