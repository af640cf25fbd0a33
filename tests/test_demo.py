"""The text of the demonstration."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_local.demo import write_demo


@pytest.mark.parametrize("size", [1, 60_000, 300_000, 1_000_000])
def test_the_fact_is_in_it_once(tmp_path: Path, size: int):
    for seed in range(5):
        path = tmp_path / "demo.txt"
        made = write_demo(path, size=size, seed=seed)
        text = path.read_text("ascii")
        key = made.question.removeprefix("What is ").removesuffix("?")
        assert text.count(f"T{key[1:]} is {made.answer}.\n") == 1
        assert len(text) >= size
