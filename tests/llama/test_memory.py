"""Memory plans: figures, limits, refusals."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import ModelFile, inspect, plan
from rlm_local.llama.memory import DEFAULT_CONTEXT_TOKENS


@pytest.fixture(scope="module")
def file(tiny_path: Path) -> ModelFile:
    return inspect(tiny_path)


def larger(file: ModelFile, **changes: object) -> ModelFile:
    """A model of some 7 billion parameters."""
    changes = {
        "weight_bytes": 4_000 * MIB,
        "context_tokens": 131_072,
        "kv_floats": 2 * 32 * 8 * 128,
        "head_width": 128,
        "heads": 32,
        "width": 4_096,
        "kv_width": 1_024,
        "feed_forward": 14_336,
        "vocabulary": 128_256,
        **changes,
    }
    return msgspec.structs.replace(file, **changes)


def test_a_small_model_gets_its_whole_window(file: ModelFile) -> None:
    made = plan(file, memory_bytes=1024 * MIB)
    assert made.context_tokens == file.context_tokens == made.trained_tokens
    assert made.kv_bytes == made.cells * file.kv_floats * 2
    assert made.cells >= 4 * made.context_tokens
    assert made.weight_bytes == file.weight_bytes
    assert made.total_bytes <= made.limit_bytes


def test_a_long_window_is_not_taken_unasked(file: ModelFile) -> None:
    model = larger(file)
    assert plan(model, memory_bytes=64 * 1024 * MIB).context_tokens == DEFAULT_CONTEXT_TOKENS
    asked = plan(model, memory_bytes=64 * 1024 * MIB, context_tokens=131_072)
    assert asked.context_tokens == 131_072


def test_the_window_shrinks_to_what_fits(file: ModelFile) -> None:
    made = plan(larger(file), memory_bytes=6_000 * MIB)
    assert 4_096 < made.context_tokens < DEFAULT_CONTEXT_TOKENS
    assert made.total_bytes <= 6_000 * MIB
    more = plan(larger(file), memory_bytes=7_000 * MIB)
    assert more.context_tokens > made.context_tokens


def test_too_large(file: ModelFile) -> None:
    with pytest.raises(ModelMemoryError) as caught:
        plan(larger(file), memory_bytes=4_000 * MIB)
    message = str(caught.value)
    assert "weights 4,000 MiB" in message
    assert "KV cache" in message
    assert "the limit is 4,000 MiB" in message
    assert "smaller" in caught.value.hint


def test_a_window_that_does_not_fit(file: ModelFile) -> None:
    with pytest.raises(ModelMemoryError) as caught:
        plan(larger(file), memory_bytes=6_000 * MIB, context_tokens=100_000)
    assert "lower context_tokens from 100,000" in caught.value.hint


@pytest.mark.parametrize("tokens", [-1, 0, 511, 1_025])
def test_a_window_out_of_range(file: ModelFile, tokens: int) -> None:
    with pytest.raises(ConfigError, match=r"takes 512 to 1,024"):
        plan(file, memory_bytes=1024 * MIB, context_tokens=tokens)


@given(memory=st.integers(0, 20_000), heads=st.integers(1, 64), trained=st.integers(16, 200_000))
def test_a_plan_keeps_its_limit(file: ModelFile, memory: int, heads: int, trained: int) -> None:
    model = larger(file, heads=heads, head_width=4_096 // heads, context_tokens=trained)
    try:
        made = plan(model, memory_bytes=memory * MIB)
    except ModelMemoryError:
        return
    assert made.total_bytes <= made.limit_bytes == memory * MIB
    assert made.context_tokens <= trained
    assert made.cells >= made.context_tokens
    assert made.cells % 256 == 0
