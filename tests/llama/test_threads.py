"""How many threads a model gets."""

from __future__ import annotations

import os

import pytest

from rlm_local.llama.threads import SMALL_PARAMETERS, default_threads, quota, usable_cores


def test_a_small_model_gets_one() -> None:
    assert default_threads(SMALL_PARAMETERS - 1) == 1


def test_a_large_model_gets_what_there_is() -> None:
    assert default_threads(7_000_000_000) == usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("text", "cores"), [("250000 100000", 2), ("50000 100000", 1), ("400000 100000", 4)]
)
def test_a_containers_quota(text: str, cores: int) -> None:
    assert quota(text) == cores


@pytest.mark.parametrize("text", ["", "max 100000", "x y", "1 0", "-1 100000"])
def test_no_quota(text: str) -> None:
    assert quota(text) == os.cpu_count()
