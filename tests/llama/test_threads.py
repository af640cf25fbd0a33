"""How many threads a model gets."""

from __future__ import annotations

import os

import pytest

from rlm_local.llama import threads
from rlm_local.llama.threads import (
    FIRST_PAUSE,
    SMALL_PARAMETERS,
    SMALL_THREADS,
    WINDOW_SECONDS,
    Governor,
    default_threads,
    quota,
    usable_cores,
)


def test_a_small_model_gets_two_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, given in ((1, 1), (2, 2), (16, SMALL_THREADS)):
        monkeypatch.setattr(threads, "usable_cores", lambda cores=cores: cores)
        assert default_threads(SMALL_PARAMETERS - 1) == given
        assert default_threads(SMALL_PARAMETERS) == cores


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


def run(governor: Governor, seconds: float, *, cores: float) -> list[int]:
    """Decode for some time with `cores` free; the thread counts it went through."""
    counts = [governor.threads]
    for _ in range(round(seconds / WINDOW_SECONDS)):
        got = min(cores, governor.threads)
        # Each waits for the slowest: with a core too few, nobody gets much done.
        busy = governor.threads if got == governor.threads else got / 3
        if governor.measured(WINDOW_SECONDS, busy * WINDOW_SECONDS):
            counts.append(governor.threads)
    return counts


def test_free_cores_are_used() -> None:
    assert run(Governor(8), 20, cores=8) == [8]


def test_threads_leave_a_busy_machine() -> None:
    assert run(Governor(8), FIRST_PAUSE / 2, cores=1) == [8, 4, 2, 1]


def test_they_try_again_less_and_less_often() -> None:
    governor = Governor(2)
    counts = run(governor, 60, cores=1)
    assert counts[:3] == [2, 1, 2]
    assert counts.count(2) <= 7
    assert run(governor, 60, cores=1).count(2) <= 5


def test_they_come_back_to_a_free_machine() -> None:
    governor = Governor(4)
    run(governor, 30, cores=1)
    assert run(governor, 30, cores=4)[-1] == 4


def test_short_batches_are_judged_together() -> None:
    governor = Governor(2)
    assert not any(governor.measured(WINDOW_SECONDS / 10, 0.0) for _ in range(9))
    assert governor.measured(WINDOW_SECONDS, 0.0)


def test_a_single_thread_is_left_alone() -> None:
    assert run(Governor(1), 5, cores=0.1) == [1]
