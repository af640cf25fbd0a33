"""How many sequences decode together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rlm_local.llama.places import RETRY_BATCHES, SAMPLES, Places


def settled(seconds: Callable[[int], float], *, least: int = 4, most: int = 32) -> Places:
    places = Places(least, most)
    for _ in range(10 * SAMPLES):
        places.measured(places.count, seconds(places.count))
    return places


@pytest.mark.parametrize("useful", [4, 8, 16, 32])
def test_as_many_as_are_useful(useful: int) -> None:
    """Up to `useful` a batch takes the same time, beyond that each sequence its own."""
    assert settled(lambda count: max(1.0, count / useful)).count == useful


def test_never_more_than_most() -> None:
    assert settled(lambda count: 1.0, most=20).count == 20
    assert settled(lambda count: max(1.0, count / 16), most=20).count == 16


def test_a_disturbance_does_not_count() -> None:
    slow = iter([9.0] * (SAMPLES - 1) + [1.0] + [1.0] * 1_000)
    assert settled(lambda count: next(slow)).count == 32


def test_only_full_batches_count() -> None:
    places = Places(4, 32)
    for _ in range(100):
        places.measured(3, 1.0)
    assert places.count == 4


def test_it_is_tried_again_after_a_while() -> None:
    places = settled(lambda count: float(count))
    assert places.count == 4
    for _ in range(RETRY_BATCHES + 10 * SAMPLES):
        places.measured(places.count, 1.0)
    assert places.count == 32


def test_a_fixed_number() -> None:
    assert settled(lambda count: 1.0, least=3, most=3).count == 3
