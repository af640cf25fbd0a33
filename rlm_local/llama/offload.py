"""Which layers go to the GPU, and what they take there.

llama.cpp puts the last layers there, the output counted as one more behind them, and
a layer's cells with its weights. Several GPUs share the layers as their free memory
is. None of these figures has been compared with a GPU yet (docs/gpu.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama.devices import Device
from rlm_local.llama.modelfile import ModelFile

# Left free on each GPU, for its libraries' own buffers: at most this, and at most an eighth.
_RESERVE_BYTES = 1024 * MIB
_RESERVE_SHARE = 8


class Offload(NamedTuple):
    """`layers` on the GPUs. `device_bytes`: what they hold in memory of their own;
    `compute_bytes` and `copied_bytes`: scratch and copies that there would not be without them."""

    layers: int
    device_bytes: int = 0
    compute_bytes: int = 0
    copied_bytes: int = 0


def layers_that_fit(
    file: ModelFile, kv: Sequence[int], compute: int, gpus: Sequence[Device]
) -> Offload:
    """As many layers as fit beside their cells and scratch. `kv`: bytes of each layer's cells."""
    for layers in range(file.layers + 1, 0, -1):
        put = _put(file, kv, compute, gpus, layers)
        if put is not None:
            return put
    return Offload(0)


def offload(
    file: ModelFile, kv: Sequence[int], compute: int, gpus: Sequence[Device], layers: int
) -> Offload:
    """Just `layers`. Raises ModelMemoryError if they do not fit, ConfigError if there are fewer."""
    if not 0 <= layers <= file.layers + 1:
        raise ConfigError(
            f"{layers} layers were asked to be on the GPU, and {file.name} has {file.layers}, "
            "and its output as one more",
            hint=f"lower gpu_layers to {file.layers + 1}, or leave it out for as many as fit"
            if layers > 0
            else "give 0 for none there, or leave gpu_layers out for as many as fit",
        )
    if not layers:
        return Offload(0)
    put = _put(file, kv, compute, gpus, layers)
    if put is None:
        free = sum(map(_room, gpus)) // MIB
        raise ModelMemoryError(
            f"{layers} layers with their cells do not fit on the GPU, which has {free:,} MiB for "
            "them",
            hint="lower gpu_layers, or lower context_tokens",
        )
    return put


def _put(
    file: ModelFile, kv: Sequence[int], compute: int, gpus: Sequence[Device], layers: int
) -> Offload | None:
    """`layers` on the GPUs, or None if they do not fit there."""
    if not gpus:
        return None
    # From the first that is there to the output: bytes of weights and cells.
    whole = [weights + cells for weights, cells in zip(file.layer_bytes, kv, strict=True)]
    units = [*whole, file.output_weight_bytes][-layers:]
    scratch = compute
    if layers <= file.layers:  # a long batch takes the other layers there too, one at a time
        scratch += max(file.layer_bytes[: file.layers + 1 - layers])
    held = used = 0
    for device, mine in zip(gpus, _split(units, gpus), strict=True):
        if not mine:
            continue
        size = sum(mine) + scratch
        if size > _room(device):
            return None
        used += 1
        held += 0 if device.shared else size
    return Offload(
        layers=layers,
        device_bytes=held,
        compute_bytes=used * scratch,
        copied_bytes=file.output_weight_bytes if file.tied else 0,
    )


def _split(units: Sequence[int], gpus: Sequence[Device]) -> list[list[int]]:
    """What each GPU gets: of the layers in their order a share as its free memory is."""
    ends = list(accumulate(device.free_bytes for device in gpus))
    parts: list[list[int]] = [[] for _ in gpus]
    for number, size in enumerate(units):
        # The first whose share ends behind this layer.
        at = bisect_right([end * len(units) for end in ends], number * ends[-1])
        parts[min(at, len(parts) - 1)].append(size)
    return parts


def _room(device: Device) -> int:
    """What may be put on `device`."""
    return device.free_bytes - min(_RESERVE_BYTES, device.total_bytes // _RESERVE_SHARE)
