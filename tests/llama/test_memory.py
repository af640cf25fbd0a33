"""Memory plans: figures, limits, refusals."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import Device, ModelFile, inspect, plan
from rlm_local.llama.memory import DEFAULT_CONTEXT_TOKENS
from rlm_local.records import KvChoice


@pytest.fixture(scope="module")
def file(tiny_path: Path) -> ModelFile:
    return inspect(tiny_path)


def larger(file: ModelFile, **changes: object) -> ModelFile:
    """A model of some 7 billion parameters."""
    changes = {
        "weight_bytes": 4_000 * MIB,
        "context_tokens": 131_072,
        "layers": 32,
        "layer_bytes": (120 * MIB,) * 32,
        "layer_kv_floats": (2 * 8 * 128,) * 32,
        "output_weight_bytes": 80 * MIB,
        "head_width": 128,
        "value_width": 128,
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
    made = plan(larger(file), memory_bytes=6_000 * MIB, kv_type="f16")
    assert 4_096 < made.context_tokens < DEFAULT_CONTEXT_TOKENS
    assert made.total_bytes <= 6_000 * MIB
    more = plan(larger(file), memory_bytes=7_000 * MIB, kv_type="f16")
    assert more.context_tokens > made.context_tokens


def test_q8_0_is_taken_where_it_makes_the_window_longer(file: ModelFile) -> None:
    model = larger(file)
    plain = plan(model, memory_bytes=6_000 * MIB, kv_type="f16")
    made = plan(model, memory_bytes=6_000 * MIB)
    assert (made.kv_type, made.flash) == ("q8_0", True)
    assert made.context_tokens > plain.context_tokens
    assert made.kv_bytes == made.cells * model.kv_floats * 34 // 32
    assert made.kv_reason == f"f16 would leave a window of {plain.context_tokens:,} tokens"
    roomy = plan(model, memory_bytes=64 * 1024 * MIB)
    assert (roomy.kv_type, roomy.kv_reason) == ("f16", "")


def test_the_limit_at_which_f16_is_given_up(file: ModelFile) -> None:
    model = larger(file)
    needed = plan(model, memory_bytes=64 * 1024 * MIB, context_tokens=16_384).total_bytes
    at = plan(model, memory_bytes=needed, context_tokens=16_384)
    assert (at.kv_type, at.total_bytes) == ("f16", needed)
    below = plan(model, memory_bytes=needed - 1, context_tokens=16_384)
    assert (below.kv_type, below.context_tokens) == ("q8_0", 16_384)
    assert "f16 would leave a window of" in below.kv_reason
    least = below.total_bytes
    assert plan(model, memory_bytes=least, context_tokens=16_384).total_bytes == least
    with pytest.raises(ModelMemoryError):
        plan(model, memory_bytes=least - 1, context_tokens=16_384)


def test_f16_does_not_fit_at_all(file: ModelFile) -> None:
    model = larger(file)
    least = plan(model, memory_bytes=64 * 1024 * MIB, context_tokens=512, kv_type="q8_0")
    made = plan(model, memory_bytes=least.total_bytes)
    assert (made.kv_type, made.kv_reason) == ("q8_0", "f16 would not fit")


def test_a_kv_type_that_was_asked_for(file: ModelFile) -> None:
    made = plan(larger(file), memory_bytes=64 * 1024 * MIB, kv_type="q8_0")
    assert (made.kv_type, made.kv_reason) == ("q8_0", "as asked for")
    with pytest.raises(ModelMemoryError):
        plan(larger(file), memory_bytes=made.total_bytes, context_tokens=32_768, kv_type="f16")


def test_heads_that_q8_0_cannot_store(file: ModelFile) -> None:
    assert file.head_width == 16
    with pytest.raises(ConfigError, match=r"heads of .* are 16 wide, and q8_0 stores 32"):
        plan(file, memory_bytes=1024 * MIB, kv_type="q8_0")
    model = larger(file, head_width=80, value_width=80)
    assert plan(model, memory_bytes=6_000 * MIB).kv_type == "f16"


def test_small_heads_store_no_scores_where_room_is_short(file: ModelFile) -> None:
    roomy = plan(file, memory_bytes=1024 * MIB)
    assert not roomy.flash
    short = plan(file, memory_bytes=roomy.total_bytes - 1)
    assert (short.flash, short.kv_type) == (True, "f16")
    assert short.context_tokens == roomy.context_tokens


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
    assert "KV cache 7,191 MiB for 108,288 tokens" in str(caught.value)  # in q8_0
    assert "lower context_tokens from 100,000" in caught.value.hint


@pytest.mark.parametrize("tokens", [-1, 0, 511, 1_025])
def test_a_window_out_of_range(file: ModelFile, tokens: int) -> None:
    with pytest.raises(ConfigError, match=rf"{file.name} takes 512 to 1,024") as caught:
        plan(file, memory_bytes=1024 * MIB, context_tokens=tokens)
    assert f"{'raise' if tokens < 512 else 'lower'} context_tokens" in caught.value.hint


@given(
    memory=st.integers(0, 20_000),
    heads=st.integers(1, 64),
    trained=st.integers(16, 200_000),
    kv_type=st.sampled_from(["auto", "f16"]),
    free=st.lists(st.integers(0, 20_000), max_size=3),
)
def test_a_plan_keeps_its_limits(
    file: ModelFile, memory: int, heads: int, trained: int, kv_type: KvChoice, free: list[int]
) -> None:
    width = 4_096 // heads
    model = larger(file, heads=heads, head_width=width, value_width=width, context_tokens=trained)
    gpus = [
        Device(name=f"GPU{n}", description="", free_bytes=some * MIB, total_bytes=20_000 * MIB)
        for n, some in enumerate(free)
    ]
    try:
        made = plan(model, memory_bytes=memory * MIB, kv_type=kv_type, gpus=gpus)
    except ModelMemoryError:
        return
    assert made.host_bytes <= made.limit_bytes == memory * MIB
    assert 0 <= made.device_bytes <= sum(gpu.free_bytes for gpu in gpus)
    assert bool(made.gpu_layers) == bool(made.device_bytes) == bool(made.gpus)
    assert made.context_tokens <= trained
    assert made.cells >= made.context_tokens
    assert made.cells % 256 == 0
