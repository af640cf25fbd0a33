"""LoRA adapters for the models of the tests, and the same change made to the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from rlm_local.llama import gguf as header

Matrix = NDArray[np.float32]
#: By the base's tensor: A (rank, in) and B (out, rank); the embedding's are (vocabulary, rank)
#: and (width, rank).
Changes = Mapping[str, tuple[Matrix, Matrix]]


def matrices(path: Path, names: Sequence[str], *, rank: int = 4, seed: int = 3) -> Changes:
    """Random changes to the matrices `names` of the model at `path`, about as large as they are."""
    random = np.random.default_rng(seed)
    tensors = header.read(path).tensors
    made = {}
    for name in names:
        row, rows = tensors[name].shape
        a = random.standard_normal((rank, row), np.float32) / row**0.5
        b = random.standard_normal((rows, rank), np.float32) / rank**0.5
        made[name] = (a, b)
    return made


def write(
    path: Path,
    changes: Changes,
    *,
    alpha: float | None = 8.0,
    architecture: str = "llama",
    kind: str = "adapter",
    adapter: str = "lora",
    stored: type[np.floating] = np.float32,
) -> Path:
    """An adapter that makes `changes`, times alpha / rank."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", adapter)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in changes.items():
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, stored))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, stored))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merged(base: Path, changes: Changes, target: Path, *, scale: float) -> Path:
    """A copy of the F16 model `base` with `scale` times each change added to its matrix."""
    found = header.read(base)
    raw = bytearray(base.read_bytes())
    for name, (a, b) in changes.items():
        tensor = found.tensors[name]
        start = found.data_offset + tensor.offset
        weights = np.frombuffer(raw, np.float16, tensor.elements, start)
        change = a @ b.T if name == "token_embd.weight" else b @ a
        new = weights.reshape(tensor.shape[::-1]).astype(np.float32) + scale * change
        raw[start : start + tensor.size] = new.astype(np.float16).tobytes()
    target.write_bytes(raw)
    return target
