"""Drawing tokens at a temperature."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rlm_local.llama.sampling import Sampler

LOGITS = np.log(np.array([0.6, 0.3, 0.08, 0.02], np.float32))


def drawn(sampler: Sampler, count: int = 4_000) -> Counter[int]:
    return Counter(sampler(LOGITS) for _ in range(count))


def test_the_same_seed_draws_the_same() -> None:
    one, other = Sampler(1.0, 7), Sampler(1.0, 7)
    assert [one(LOGITS) for _ in range(50)] == [other(LOGITS) for _ in range(50)]


def test_another_seed_draws_otherwise() -> None:
    one, other = Sampler(1.0, 7), Sampler(1.0, 8)
    assert [one(LOGITS) for _ in range(50)] != [other(LOGITS) for _ in range(50)]


def test_as_likely_as_the_logits_say() -> None:
    counts = drawn(Sampler(1.0, 1))
    assert abs(counts[0] / 4_000 - 0.6 / 0.98) < 0.03
    assert abs(counts[1] / 4_000 - 0.3 / 0.98) < 0.03


def test_the_unlikely_is_never_drawn() -> None:
    assert 3 not in drawn(Sampler(1.0, 1))  # less than 0.05 of the likeliest


def test_a_low_temperature_is_nearly_greedy() -> None:
    assert drawn(Sampler(0.1, 1)).most_common(1)[0] == (0, 4_000)


@pytest.mark.parametrize("temperature", [5e-324, 1e-50, 1e-30])
def test_the_lowest_temperatures_are_greedy(temperature: float) -> None:
    assert drawn(Sampler(temperature, 1), 50) == {0: 50}


@pytest.mark.parametrize("temperature", [1e30, 1e300])
def test_the_highest_temperatures_draw_from_all_that_may_be(temperature: float) -> None:
    sampler = Sampler(temperature, 1, min_p=0)
    row = np.array([9.0, -np.inf, 0.0], np.float32)
    assert {sampler(row) for _ in range(50)} == {0, 2}


def test_a_negative_or_huge_seed() -> None:
    for seed in (-1, 1 << 100, (1 << 32) - 1):
        assert Sampler(1.0, seed)(LOGITS) in (0, 1, 2)


def test_broken_logits_give_a_token() -> None:
    sampler = Sampler(1.0, 1)
    assert sampler(np.full(4, np.nan, np.float32)) in range(4)
    assert sampler(np.array([np.inf, 0, 0, 0], np.float32)) in range(4)
    assert sampler(np.full(4, -np.inf, np.float32)) in range(4)


def test_top_k() -> None:
    assert set(drawn(Sampler(1.0, 1, top_k=2, min_p=0.0))) == {0, 1}
    assert set(drawn(Sampler(1.0, 1, top_k=9, min_p=0.0))) == {0, 1, 2, 3}
    assert set(drawn(Sampler(5.0, 1, top_k=1))) == {0}


def test_top_p() -> None:
    assert set(drawn(Sampler(1.0, 1, top_p=0.59, min_p=0.0))) == {0}
    assert set(drawn(Sampler(1.0, 1, top_p=0.85, min_p=0.0))) == {0, 1}
    assert set(drawn(Sampler(1.0, 1, top_p=1.0, min_p=0.0))) == {0, 1, 2, 3}


def test_min_p() -> None:
    assert set(drawn(Sampler(1.0, 1, min_p=0.4))) == {0, 1}


def test_top_p_keeps_the_proportions() -> None:
    counts = drawn(Sampler(1.0, 1, top_p=0.85, min_p=0.0))
    assert abs(counts[0] / 4_000 - 2 / 3) < 0.03
