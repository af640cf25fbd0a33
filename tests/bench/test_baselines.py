"""Tasks, scores, the file of results, the table and the plot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from bench import baselines
from bench.baselines import Cell, Result, Results, Setting, measure, row, setting_of, solve, task_of
from bench.judging import judged
from bench.methods import Outcome
from models.nano.evaluate import SEED, wilson
from models.nano.families.task import Task
from rlm_local.limits import Limits

SETTING = Setting("abc", 2_048, 60.0)


@pytest.mark.parametrize("family", baselines.FAMILIES)
def test_tasks_of_every_family(family: str) -> None:
    made = task_of(family, SEED, 2_000)
    assert made.family == family
    assert judged(made.gold, made) == 1
    again = task_of(family, SEED, 2_000)
    assert (made.question, made.texts, made.gold) == (again.question, again.texts, again.gold)


class Knows:
    """Answers some tasks rightly."""

    def __init__(self, right: int) -> None:
        self.right = right
        self.asked = 0

    def answer(self, task: Task) -> Outcome:
        self.asked += 1
        return Outcome(task.gold if self.asked <= self.right else "?", "answered", 1, 10)


FIRST = baselines.digest_of(task_of("needle", SEED + 2_000, 2_000))
CELLS = [Cell("needle", 2_000, "good"), Cell("needle", 2_000, "bad")]


class Ends:
    """Says the same and ends in the same way, whatever is asked."""

    def __init__(self, reply: str, stop: str) -> None:
        self.reply = reply
        self.stop = stop

    def answer(self, task: Task) -> Outcome:
        return Outcome(self.reply.format(task.gold), self.stop, 1, 10)


@pytest.mark.parametrize(
    ("reply", "stop", "score"),
    [
        ("{}", "answered", 1),
        ("It is {}.", "answered", 1),
        ("{}", "turns", 1),
        ("found: {}", "turns", 0),
    ],
)
def test_what_a_limit_has_cut_counts_only_as_the_value(reply: str, stop: str, score: float) -> None:
    asked = task_of("needle", SEED, 2_000)
    assert solve(Ends(reply, stop), SETTING, CELLS[0], asked).score == score


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.jsonl"
    using = {"good": Knows(2), "bad": Knows(0)}
    first = measure(using, SETTING, CELLS, 2, Results(path))
    lines = path.read_bytes()
    path.write_bytes(lines + lines[:30])  # stopped within a line
    more = measure(using, SETTING, CELLS, 3, Results(path))
    assert (using["good"].asked, using["bad"].asked) == (3, 3)
    assert {cell: found[:2] for cell, found in more.items()} == first
    assert [result.score for result in more[CELLS[0]]] == [1, 1, 0]
    assert path.read_bytes().startswith(lines)
    assert measure(using, SETTING, CELLS, 3, Results(path)) == more
    assert using["good"].asked == 3
    other = Setting("other weights", 2_048, 60.0)
    measure(using, other, CELLS, 1, Results(path))
    assert using["good"].asked == 4


def test_results_of_other_limits_or_methods_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.jsonl"
    using = {"good": Knows(9), "bad": Knows(0)}
    limits = Limits(wall_seconds=60.0)
    changed = [
        msgspec.structs.replace(limits, wall_seconds=61.0),
        msgspec.structs.replace(limits, turns=limits.turns + 1),
        msgspec.structs.replace(limits, sub_call_tokens=limits.sub_call_tokens + 1),
        limits,
    ]
    for asked, now in enumerate(changed, 1):
        for _ in range(2):
            setting = setting_of("abc", 2_048, now)
            measure(using, setting, CELLS[:1], 1, Results(path))
            assert using["good"].asked == asked
    monkeypatch.setattr(baselines, "VERSION", baselines.VERSION + 1)
    measure(using, setting_of("abc", 2_048, limits), CELLS[:1], 1, Results(path))
    assert using["good"].asked == 5


def test_what_is_there_is_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.jsonl"
    using = {"good": Ends("I looked for it. " * 15 + "It is {}", "answered")}
    [[result]] = measure(using, SETTING, CELLS[:1], 1, Results(path)).values()
    assert (result.score, len(result.answer) > 250) == (1, True)
    judged_again = []

    def harsh(answer: str, task: Task, *, prose: bool) -> float:
        judged_again.append((answer, prose))
        return 0.0

    monkeypatch.setattr(baselines, "judged", harsh)
    again = measure({}, SETTING, CELLS[:1], 1, Results(path))
    assert again == {CELLS[0]: [msgspec.structs.replace(result, score=0.0)]}
    assert judged_again == [(result.answer, True)]


def test_a_guess_stays_one(tmp_path: Path) -> None:
    class Guesses:
        def answer(self, task: Task) -> Outcome:
            return Outcome(task.gold, "answered", 1, 10, guessed=True)

    path = tmp_path / "results.jsonl"
    for using in ({"good": Guesses()}, {}):
        [[result]] = measure(using, SETTING, CELLS[:1], 1, Results(path)).values()
        assert (result.score, result.guessed) == (0, True)


def test_a_line_of_the_first_version_is_read_and_not_used(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(
        '{"setting":{"model":"abc","window":2048,"seconds":60.0},"cell":{"family":"needle",'
        '"chars":2000,"method":"good"},"seed":9000000002000,"score":1.0,"chance":0.3,'
        f'"gold":"9","answer":"9","stop":"answered","calls":1,"tokens":10,"seconds":1.0,"task":"{FIRST}"}}\n'
    )
    using = {"good": Knows(0)}
    assert Results(path).get(SETTING, CELLS[0], FIRST) is not None
    now = setting_of("abc", 2_048, Limits(wall_seconds=60.0, turns=12, sub_call_tokens=128))
    [[result]] = measure(using, now, CELLS[:1], 1, Results(path)).values()
    assert (using["good"].asked, result.score) == (1, 0)


def test_tasks_that_another_recipe_made_are_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.jsonl"
    using = {"good": Knows(2), "bad": Knows(0)}
    measure(using, SETTING, CELLS, 1, Results(path))
    made = baselines.task_of("needle", SEED + 2_000, 2_000)
    other = dataclasses.replace(made, texts=(*made.texts, "more"))
    monkeypatch.setattr(baselines, "task_of", lambda *_: other)
    measure(using, SETTING, CELLS, 1, Results(path))
    assert (using["good"].asked, using["bad"].asked) == (2, 2)


def test_a_line_of_the_table_and_the_plot(tmp_path: Path) -> None:
    using = {"good": Knows(2), "bad": Knows(0)}
    found = measure(using, SETTING, CELLS, 3, Results(tmp_path / "results.jsonl"))
    good, bad = (row(cell, found[cell]) for cell in CELLS)
    assert good["score"] == pytest.approx(2 / 3)
    assert (good["low"], good["high"]) == wilson(2, 3)
    assert (bad["score"], bad["runs"], bad["answered"]) == (0, 3, 1)
    pytest.importorskip("matplotlib", reason="the extra `bench` is not installed")
    image = tmp_path / "plot.png"
    baselines.plot([good, bad, {**good, "family": "tables"}], image, "title")
    assert image.read_bytes().startswith(b"\x89PNG")


def test_a_result_comes_back_from_its_line(tmp_path: Path) -> None:
    result = Result(SETTING, CELLS[0], 7, 0.5, 0.1, "g", "a\n✓", "answered", 1, 2, 0.25, "t7")
    Results(tmp_path / "r.jsonl").add(result)
    assert Results(tmp_path / "r.jsonl").get(SETTING, CELLS[0], "t7") == result
