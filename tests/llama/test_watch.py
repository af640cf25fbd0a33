"""When the worker's main thread is given up."""

from __future__ import annotations

import pytest

from rlm_local.llama.watch import PATIENCE_SECONDS, Place, Watch

LONG = 10 * PATIENCE_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch(clock=clock)


def test_one_request_alone_does_not_take_long(clock: Clock, watch: Watch) -> None:
    clock.now += LONG
    watch.attend(Place(7, 3))
    assert not watch.is_stuck()
    clock.now += PATIENCE_SECONDS
    assert not watch.is_stuck()
    clock.now += 0.1
    assert watch.is_stuck()
    assert watch.attended == (7, 3)
    watch.attend(None)
    assert not watch.is_stuck()
    assert watch.attended is None


def test_the_same_request_again_is_a_sign_of_life(clock: Clock, watch: Watch) -> None:
    for _ in range(100):
        watch.attend(Place(7, 3))
        clock.now += PATIENCE_SECONDS - 1.0
        assert not watch.is_stuck()


def test_many_requests_may_take_long(clock: Clock, watch: Watch) -> None:
    watch.abort()
    for at in range(100):
        watch.attend(Place(7, at))
        clock.now += PATIENCE_SECONDS - 1.0
        assert not watch.is_stuck()


def test_computing_may_take_long_until_it_is_to_end(clock: Clock, watch: Watch) -> None:
    clock.now += LONG
    assert not watch.is_stuck()
    watch.abort()
    clock.now += PATIENCE_SECONDS - 1.0
    watch.abort()  # another's deadline is no news
    assert not watch.is_stuck()
    clock.now += 1.1
    assert watch.is_stuck()
    assert watch.attended is None


def test_an_abort_that_was_heeded(clock: Clock, watch: Watch) -> None:
    watch.abort()
    watch.heed()
    clock.now += LONG
    assert not watch.is_stuck()
