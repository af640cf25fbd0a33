"""Generating dialogues of the families, and what the filter keeps of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from models.nano.families import filter as sieve
from models.nano.families.generate import WORKERS, generate
from models.nano.families.stage import Stage
from rlm_local.dialogue import read_turn


def sample(*turns: str, score: float = 1.0, output: str = "12") -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How many?", "learn": False}]
    for turn in turns:
        messages.append({"role": "assistant", "content": turn, "learn": True})
        messages.append({"role": "user", "content": output, "learn": False})
    return {"messages": messages[:-1], "role": "root", "score": score}


FIRST = "```repl\nprint(1)\n```"


def test_what_is_wrong_or_of_one_turn_goes() -> None:
    tally: Counter[str] = Counter()
    kept = list(
        sieve.filtered(
            [sample(FIRST, FIRST, score=0.0), sample(FIRST), sample(FIRST, FIRST)], tally
        )
    )
    assert len(kept) == 1
    assert tally == {
        "dialogues": 3,
        "dropped: score 0": 1,
        "dropped: a single turn": 1,
        "kept dialogues": 1,
        "kept turns": 2,
    }


@pytest.mark.parametrize(
    ("said", "repaired", "count"),
    [
        ("```python\nFINAL(1)\n```", "```repl\nFINAL(1)\n```", "the fence's language"),
        (
            "```repl\nFINAL_VAR(x)\n```",
            '```repl\nFINAL_VAR("x")\n```',
            "FINAL_VAR without quotes",
        ),
        ('FINAL("Oslo")', "```repl\nFINAL('Oslo')\n```", "FINAL outside a block"),
        ("```repl\nx = 1\n```\nThe output is 1.", "```repl\nx = 1\n```", "text after the block"),
        ("I look.\n```repl\nx = 1\n```", "I look.\n```repl\nx = 1\n```", ""),
    ],
)
def test_mistakes_of_form_are_repaired_and_counted(said: str, repaired: str, count: str) -> None:
    tally: Counter[str] = Counter()
    assert sieve.repaired_turn(said, tally) == repaired
    assert tally == ({f"repaired: {count}": 1} if count else {})
    assert read_turn(repaired).code
    assert sieve.repaired_turn(repaired, tally) == repaired


def test_turns_that_failed_are_shown_and_not_learned() -> None:
    tally: Counter[str] = Counter()
    failed = sample(FIRST, FIRST, output="Traceback (most recent call last):\nNameError: x")
    long = sample(FIRST, "```repl\n" + "x = 1\n" * 2_000 + "```")
    silent = sample(FIRST, "I do not know.")
    kept = list(sieve.filtered([failed, long, silent], tally))
    learned = [[m["learn"] for m in each["messages"] if m["role"] == "assistant"] for each in kept]
    assert learned == [[False, True], [True, False], [True, False]]
    assert tally["turns not learned: an error"] == 1
    assert tally["turns not learned: too long"] == 1
    assert tally["turns not learned: no code"] == 1


def test_generation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    families = ["chains", "labels", WORKERS]
    with Stage.real() as stage:
        generate(whole, families, 6, 3, stage)
        generate(parts, families, 4, 3, stage)
        parts.write_bytes(parts.read_bytes()[:-30])  # stopped within a line
        generate(parts, families, 6, 3, stage)
    assert whole.read_text() == parts.read_text()
    tally: Counter[str] = Counter()
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    kept = [each for found in lines for each in sieve.filtered(found, tally)]
    assert tally["dialogues"] == tally["kept dialogues"] == len(kept)
    roles = Counter(each["role"] for each in kept)
    assert roles["root"] == 4
    assert roles["worker"] >= 8 + 2
