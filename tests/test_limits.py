"""Each limit, at it and above it."""

from __future__ import annotations

import threading

import pytest

from rlm_local.budget import Budget
from rlm_local.errors import ConfigError, LimitReached
from rlm_local.limits import Limits
from rlm_local.records import Completion, StopReason


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def completion(prompt: int, cached: int, generated: int) -> Completion:
    return Completion(
        text="",
        finish="stop",
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=generated,
        seconds=0.1,
    )


def test_wall_clock_at_and_above() -> None:
    clock = Clock()
    budget = Budget(Limits(wall_seconds=10.0), clock=clock)
    clock.now = 109.999
    budget.check()
    clock.now = 110.0
    with pytest.raises(LimitReached, match=r"took 10\.0 s, and its limit is 10\.0 s") as caught:
        budget.check()
    assert caught.value.stop is StopReason.WALL_CLOCK


def test_turns_at_and_above() -> None:
    budget = Budget(Limits(turns=2))
    budget.charge_turn()
    budget.charge_turn()
    with pytest.raises(LimitReached) as caught:
        budget.charge_turn()
    assert caught.value.stop is StopReason.TURNS
    assert budget.usage().turns == 2


def test_sub_calls_at_and_above_and_a_refused_batch_costs_nothing() -> None:
    budget = Budget(Limits(sub_calls=5))
    budget.charge_sub_calls(3)
    with pytest.raises(LimitReached, match="would make 6") as caught:
        budget.charge_sub_calls(3)
    assert caught.value.stop is StopReason.SUB_CALLS
    budget.charge_sub_calls(2)
    assert budget.usage().sub_calls == 5


def test_tokens_at_and_above() -> None:
    budget = Budget(Limits(tokens=100))
    budget.charge_completions([completion(60, 10, 49)], depth=0)
    assert budget.tokens_left == 1
    budget.require_tokens()
    budget.charge_completions([completion(1, 0, 0)], depth=0)
    for charge in (budget.require_tokens, budget.charge_turn, lambda: budget.charge_sub_calls(1)):
        with pytest.raises(LimitReached) as caught:
            charge()
        assert caught.value.stop is StopReason.TOKENS


def test_cached_tokens_are_reported_and_cost_nothing() -> None:
    budget = Budget(Limits(tokens=100))
    budget.charge_completions([completion(1_000, 990, 5)], depth=0)
    usage = budget.usage()
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (1_000, 990, 5)
    assert budget.tokens_left == 85


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_that_is_no_time_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="wall_seconds"):
        Limits(wall_seconds=value)


@pytest.mark.parametrize("name", ["wall_seconds", "cell_seconds"])
def test_a_time_that_cannot_be_waited_for_is_refused(name: str) -> None:
    longest = Limits(**{name: 1e9})
    assert getattr(longest, name) < threading.TIMEOUT_MAX
    with pytest.raises(ConfigError, match=rf"{name} is 1e\+11; it must be at most 1e\+09"):
        Limits(**{name: 1e11})
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: 10**11})


@pytest.mark.parametrize("name", ["turns", "tokens", "turn_tokens", "guest_memory_bytes"])
@pytest.mark.parametrize("value", [0, -5])
def test_a_limit_of_nothing_is_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})


def test_a_limit_that_64_bits_do_not_hold_is_refused() -> None:
    assert Limits(turn_tokens=1 << 61).turn_tokens == 1 << 61
    with pytest.raises(ConfigError, match=r"turn_tokens is .*; it must be at most"):
        Limits(turn_tokens=(1 << 61) + 1)


def test_sub_calls_and_depth_can_be_turned_off() -> None:
    assert Limits(depth=0, sub_calls=0).depth == 0
    with pytest.raises(ConfigError, match="depth"):
        Limits(depth=9)
