"""One memory limit for two models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import ModelFile, inspect, plan
from rlm_local.llama.shares import Share, divide
from tests.llama.test_memory import larger

GIB = 1024 * MIB


@pytest.fixture(scope="module")
def large(tiny_path: Path) -> ModelFile:
    """7 billion parameters, 4 GB of weights."""
    return larger(inspect(tiny_path))


@pytest.fixture(scope="module")
def small(tiny_path: Path) -> ModelFile:
    """A tenth of that."""
    return larger(
        inspect(tiny_path),
        weight_bytes=400 * MIB,
        layers=16,
        layer_bytes=(20 * MIB,) * 16,
        layer_kv_floats=(2 * 4 * 64,) * 16,
        head_width=64,
        value_width=64,
        width=1_024,
        kv_width=256,
        feed_forward=2_816,
        vocabulary=32_000,
    )


def total(plans: list[object]) -> int:
    return sum(plan.total_bytes for plan in plans)  # type: ignore[attr-defined]


def test_with_room_for_all_each_gets_what_it_would_get_alone(
    large: ModelFile, small: ModelFile
) -> None:
    plans = divide([Share(large), Share(small)], memory_bytes=64 * GIB)
    alone = [plan(file, memory_bytes=64 * GIB) for file in (large, small)]
    assert [each.context_tokens for each in plans] == [each.context_tokens for each in alone]
    assert [each.total_bytes for each in plans] == [each.total_bytes for each in alone]


def test_windows_grow_together(large: ModelFile, small: ModelFile) -> None:
    windows = []
    for memory in (5 * GIB, 6 * GIB, 7 * GIB):
        plans = divide([Share(large), Share(small)], memory_bytes=memory)
        assert memory - 100 * MIB < total(list(plans)) <= memory
        assert plans[0].context_tokens == plans[1].context_tokens
        windows.append(plans[0].context_tokens)
    assert windows == sorted(set(windows))


def test_one_that_was_trained_for_less_leaves_the_rest(large: ModelFile, small: ModelFile) -> None:
    short = msgspec.structs.replace(small, context_tokens=2_048)
    plans = divide([Share(large), Share(short)], memory_bytes=7 * GIB)
    assert plans[1].context_tokens == 2_048
    both = divide([Share(large), Share(small)], memory_bytes=7 * GIB)
    assert plans[0].context_tokens > both[0].context_tokens


def test_a_window_that_is_asked_for(large: ModelFile, small: ModelFile) -> None:
    plans = divide([Share(large, 4_096), Share(small)], memory_bytes=7 * GIB)
    assert plans[0].context_tokens == 4_096
    assert plans[1].context_tokens > 4_096
    with pytest.raises(ModelMemoryError):
        divide([Share(large, 65_536), Share(small)], memory_bytes=7 * GIB)
    with pytest.raises(ConfigError, match="window of 9 tokens"):
        divide([Share(large, 9), Share(small)], memory_bytes=7 * GIB)


def test_at_the_limit_and_below(large: ModelFile, small: ModelFile) -> None:
    smallest = [Share(file, 512, "q8_0") for file in (large, small)]
    least = total(list(divide(smallest, memory_bytes=64 * GIB)))
    plans = divide([Share(large), Share(small)], memory_bytes=least)
    assert [each.context_tokens for each in plans] == [512, 512]
    with pytest.raises(ModelMemoryError) as caught:
        divide([Share(large), Share(small)], memory_bytes=least - 1)
    message = str(caught.value)
    assert "weights 4,000 MiB" in message
    assert "weights 400 MiB" in message
    assert f"{-(-least // MIB):,} MiB in all, and the limit for both" in message
    assert "raise model_memory_bytes" in caught.value.hint
    with pytest.raises(ModelMemoryError, match="the limit for all is"):
        divide([Share(large), Share(small), Share(small)], memory_bytes=least)


def test_which_of_them_cannot_be_as_asked_for(large: ModelFile, small: ModelFile) -> None:
    small = msgspec.structs.replace(small, name="the small one")
    with pytest.raises(ConfigError, match="the small one takes 512 to"):
        divide([Share(large), Share(small, 100)], memory_bytes=64 * GIB)
    narrow = msgspec.structs.replace(small, head_width=16, value_width=16)
    with pytest.raises(ConfigError, match="the heads of the small one are 16 wide"):
        divide([Share(large, kv_type="q8_0"), Share(narrow, kv_type="q8_0")], memory_bytes=64 * GIB)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(memory=st.integers(1, 20 * GIB), asked=st.none() | st.integers(512, 131_072))
def test_never_more_than_the_limit(
    large: ModelFile, small: ModelFile, memory: int, asked: int | None
) -> None:
    try:
        plans = divide([Share(large, asked), Share(small)], memory_bytes=memory)
    except ModelMemoryError:
        return
    assert total(list(plans)) <= memory
    assert all(each.context_tokens >= 512 for each in plans)
    for file, each in zip((large, small), plans, strict=True):
        again = plan(file, memory_bytes=each.total_bytes, context_tokens=each.context_tokens)
        assert again.total_bytes == each.total_bytes


def test_kv_caches_are_q8_0_where_windows_would_be_cut(large: ModelFile, small: ModelFile) -> None:
    plain = [Share(large, kv_type="f16"), Share(small, kv_type="f16")]
    needed = total(list(divide(plain, memory_bytes=64 * GIB)))
    assert {each.kv_type for each in divide([Share(large), Share(small)], memory_bytes=needed)} == {
        "f16"
    }
    below = divide([Share(large), Share(small)], memory_bytes=needed - 1)
    assert {each.kv_type for each in below} == {"q8_0"}
    assert [each.context_tokens for each in below] == [32_768, 32_768]
    cut = divide(plain, memory_bytes=needed - 1)
    assert cut[0].context_tokens < 32_768
    # What each is given is enough for it to come to the same plan by itself.
    for file, each in zip((large, small), below, strict=True):
        alone = plan(file, memory_bytes=each.total_bytes, context_tokens=each.context_tokens)
        assert (alone.kv_type, alone.total_bytes) == ("q8_0", each.total_bytes)
