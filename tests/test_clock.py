"""A run's clock, and a budget's, that stand still."""

from __future__ import annotations

import pytest

from rlm_local.budget import Budget
from rlm_local.clock import FAR_SECONDS, RunClock
from rlm_local.errors import LimitReached
from rlm_local.limits import Limits


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_leaves_out_the_time_in_which_it_stood() -> None:
    now = Now()
    clock = RunClock(now)
    assert (clock(), clock.due(110.0), clock.stands) == (100.0, 110.0, False)
    for stood in (5.0, 7.0):
        before, due = clock(), clock.due(130.0)
        clock.stand()
        now.now += stood / 2
        clock.stand()  # it stands already
        assert (clock(), clock.stands) == (before, True)
        assert clock.due(130.0) == now.now + FAR_SECONDS
        now.now += stood / 2
        clock.go_on()
        clock.go_on()
        assert (clock(), clock.stands) == (before, False)
        assert clock.due(130.0) == due + stood
        now.now += 3.0
        assert clock() == before + 3.0


def test_a_budget_whose_clock_stands_uses_no_time() -> None:
    now = Now()
    root = Budget(Limits(wall_seconds=60.0, turns=9), used_seconds=40.0, clock=now)
    root.clock.stand()
    child = root.child("0.1", share=0.5)
    child.begin()
    now.now += 1000.0
    assert (root.seconds, child.seconds) == (40.0, 0.0)
    assert (root.deadline, child.deadline) == (now.now + FAR_SECONDS,) * 2
    child.charge_turn()
    root.clock.go_on()
    assert (root.deadline, child.deadline) == (now.now + 20.0, now.now + 10.0)
    now.now += 9.0
    child.check()
    now.now += 1.0
    root.check()
    with pytest.raises(LimitReached, match=r"the child 0\.1 took 10.0 s"):
        child.check()
    now.now += 10.0
    with pytest.raises(LimitReached, match="the run took 1m00s"):
        root.check()
    assert root.usage().seconds == 60.0


def test_a_budget_without_any_time_left_ends_once_its_clock_goes_on() -> None:
    root = Budget(Limits(wall_seconds=60.0), used_seconds=61.0, clock=Now())
    root.clock.stand()
    root.charge_turn()
    root.charge_sub_calls(1)
    root.clock.go_on()
    with pytest.raises(LimitReached, match="the run took 1m01s"):
        root.charge_turn()
