"""Generating dialogues of the families, and what the filter keeps of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from models.nano.families.generate import WORKERS, generate
from models.nano.families.stage import Stage
from rlm_local.training.filter import filtered


def test_generation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    families = ["chains", "labels", WORKERS]
    with Stage.real() as stage:
        generate(whole, families, 6, 3, stage)
        generate(parts, families, 4, 3, stage)
        parts.write_bytes(parts.read_bytes()[:-30])  # stopped within a line
        generate(parts, families, 6, 3, stage)
        with pytest.raises(ValueError, match="has 6 tasks, and 5 are asked for"):
            generate(parts, families, 5, 3, stage)
    assert whole.read_text() == parts.read_text()
    tally: Counter[str] = Counter()
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    kept = [each for found in lines for each in filtered(found, tally)]
    assert tally["dialogues"] == tally["kept dialogues"] == len(kept)
    roles = Counter(each["role"] for each in kept)
    assert roles["root"] == 4
    assert roles["worker"] >= 8 + 2
