"""Layers on a GPU: how many fit, what is left for the machine. The GPUs are made up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import Device, ModelFile, inspect, plan
from rlm_local.llama.memory import MemoryPlan
from rlm_local.llama.offload import Offload, layers_that_fit, offload
from rlm_local.records import LayerChoice
from tests.llama.test_memory import larger

PLENTY = 64 * 1024 * MIB
KV = [10 * MIB] * 32
COMPUTE = 100 * MIB


@pytest.fixture(scope="module")
def file(tiny_path: Path) -> ModelFile:
    """32 layers of 120 MiB, 80 MiB for the output, and as much for the embedding."""
    return larger(inspect(tiny_path), tied=False)


def gpu(free: int, *, total: int = 8_000, shared: bool = False) -> Device:
    """With so many MiB; an eighth of the total, at most 1,024 MiB, is not to be touched."""
    return Device(
        name="GPU0",
        description="made up",
        free_bytes=free * MIB,
        total_bytes=total * MIB,
        shared=shared,
    )


def test_the_output_comes_first_then_the_last_layers(file: ModelFile) -> None:
    # Scratch is what computing takes, and room for one of the layers that stay behind.
    scratch = 100 + 120
    assert layers_that_fit(file, KV, COMPUTE, [gpu(1_000 + scratch + 79)]) == Offload(0)
    one = layers_that_fit(file, KV, COMPUTE, [gpu(1_000 + scratch + 80)])
    assert (one.layers, one.device_bytes) == (1, (scratch + 80) * MIB)
    assert one.compute_bytes == scratch * MIB
    for layers in (2, 3, 31):
        needed = scratch + 80 + (layers - 1) * 130
        assert layers_that_fit(file, KV, COMPUTE, [gpu(999 + needed)]).layers == layers - 1
        assert layers_that_fit(file, KV, COMPUTE, [gpu(1_000 + needed)]).layers == layers


def test_all_of_it_needs_no_room_for_others(file: ModelFile) -> None:
    put = layers_that_fit(file, KV, COMPUTE, [gpu(1_000 + 100 + 80 + 32 * 130)])
    assert put == Offload(33, (100 + 80 + 32 * 130) * MIB, 100 * MIB, 0)


def test_a_tied_output_is_a_copy(file: ModelFile) -> None:
    tied = msgspec.structs.replace(file, tied=True)
    assert layers_that_fit(tied, KV, COMPUTE, [gpu(8_000)]).copied_bytes == 80 * MIB


def test_layers_of_different_size(file: ModelFile) -> None:
    """The last ones go first: a large first layer stays behind."""
    model = msgspec.structs.replace(file, layer_bytes=(900 * MIB, *file.layer_bytes[1:]))
    put = layers_that_fit(model, KV, COMPUTE, [gpu(1_000 + 100 + 900 + 80 + 31 * 130)])
    assert put.layers == 32


def test_several_gpus_share_as_their_memory_is(file: ModelFile) -> None:
    even = layers_that_fit(file, KV, COMPUTE, [gpu(4_000), gpu(4_000)])
    assert (even.layers, even.compute_bytes) == (33, 200 * MIB)
    # Two thirds of all layers do not fit the first, which has two thirds of the memory.
    uneven = layers_that_fit(file, KV, COMPUTE, [gpu(3_000), gpu(1_500)])
    assert 0 < uneven.layers < 33
    assert layers_that_fit(file, KV, COMPUTE, [gpu(0), gpu(8_000)]).layers == 33
    assert layers_that_fit(file, KV, COMPUTE, [gpu(0), gpu(0)]) == Offload(0)


def test_as_many_as_were_asked_for(file: ModelFile) -> None:
    assert offload(file, KV, COMPUTE, [gpu(8_000)], 5).layers == 5
    assert offload(file, KV, COMPUTE, [gpu(8_000)], 0) == Offload(0)
    with pytest.raises(ModelMemoryError, match=r"5 layers .* do not fit on the GPU, which has 500"):
        offload(file, KV, COMPUTE, [gpu(1_500)], 5)
    with pytest.raises(ConfigError, match=rf"34 layers .* {file.name} has 32") as caught:
        offload(file, KV, COMPUTE, [gpu(8_000)], 34)
    assert "lower gpu_layers to 33" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        offload(file, KV, COMPUTE, [gpu(8_000)], -1)
    assert "give 0" in caught.value.hint


def made(file: ModelFile, *gpus: Device, memory: int = 64 * 1024, **how: object) -> MemoryPlan:
    return plan(file, memory_bytes=memory * MIB, gpus=gpus, **how)  # type: ignore[arg-type]


def test_a_plan_without_a_gpu(file: ModelFile) -> None:
    alone = made(file)
    assert (alone.gpu_layers, alone.device_bytes, alone.gpus) == (0, 0, ())
    assert alone.host_bytes == alone.total_bytes
    assert made(file, gpu(80_000, total=80_000), gpu_layers=0) == alone
    with pytest.raises(ConfigError, match=r"4 layers were asked to be on a GPU, and llama.cpp"):
        made(file, gpu_layers=4)


def test_all_on_a_large_gpu(file: ModelFile) -> None:
    alone, whole = made(file), made(file, gpu(80_000, total=80_000))
    assert (whole.gpu_layers, whole.model_layers) == (33, 32)
    assert (whole.context_tokens, whole.kv_type) == (alone.context_tokens, "f16")
    # What is left is the embedding, the logits, scratch and the process.
    assert whole.host_bytes < 1_500 * MIB < 4_000 * MIB < whole.device_bytes
    assert whole.host_bytes + whole.device_bytes == whole.total_bytes


def test_the_limit_is_for_the_machines_memory_only(file: ModelFile) -> None:
    with pytest.raises(ModelMemoryError):
        made(file, memory=2_000)
    assert made(file, gpu(80_000, total=80_000), memory=2_000).context_tokens == 32_768
    # But for the memory of a GPU that has none of its own.
    with pytest.raises(ModelMemoryError):
        made(file, gpu(80_000, total=80_000, shared=True), memory=2_000)
    shared = made(file, gpu(80_000, total=80_000, shared=True))
    assert (shared.gpu_layers, shared.device_bytes) == (33, 0)


def test_all_layers_are_worth_a_smaller_cache(file: ModelFile) -> None:
    """In turn: q8_0, then half the window, but not below 8,192 tokens."""
    plain = made(file, gpu(12_000, total=12_000))
    assert (plain.gpu_layers, plain.kv_type, plain.context_tokens) == (33, "f16", 32_768)
    quantised = made(file, gpu(9_000, total=12_000))
    assert (quantised.gpu_layers, quantised.kv_type) == (33, "q8_0")
    assert quantised.context_tokens == 32_768
    assert quantised.kv_reason == "f16 would leave no room for all layers on the GPU"
    shorter = made(file, gpu(7_000, total=12_000))
    assert (shorter.gpu_layers, shorter.context_tokens) == (33, 16_384)
    partly = made(file, gpu(4_000, total=12_000))
    assert 0 < partly.gpu_layers < 33
    assert partly.context_tokens == 32_768


@pytest.mark.parametrize("layers", ["auto", 7])
def test_a_window_that_was_asked_for_is_kept(file: ModelFile, layers: LayerChoice) -> None:
    got = made(file, gpu(6_000), context_tokens=20_000, gpu_layers=layers)
    assert got.context_tokens == 20_000
    assert got.gpu_layers == layers or (layers == "auto" and 7 < got.gpu_layers < 33)
