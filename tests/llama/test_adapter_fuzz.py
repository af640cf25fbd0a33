"""Damaged LoRA adapters: by the check alone in thousands, through the real worker in hundreds.

llama.cpp may refuse what passes the check, apply it or die of it; the caller gets a model
or a ModelError, and nothing hangs or stays behind.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rlm_local.errors import AdapterError, ModelError
from rlm_local.llama import LlamaModel, inspect
from rlm_local.records import Adapter, Message, Request
from tests.llama import build, lora
from tests.llama.conftest import MEMORY

CHECKED = 4_000
LOADED = 300
SEED = int(os.environ.get("RLM_FUZZ_SEED", "1"))
NAMES = ("blk.0.attn_q.weight", "blk.0.ffn_down.weight", "token_embd.weight")
REQUEST = Request(messages=(Message("user", "x"),), max_tokens=4)


def sound(folder: Path) -> tuple[Path, bytes, int]:
    """A base model, an adapter for it, and where its weights begin."""
    table = build.tensors()
    output = ("output.weight", (build.WIDTH, len(build.TOKENS)), 0, 0, 0)
    base = build.written(folder, build.gguf(table=build.packed([*table, output])))
    changes = dict(lora.matrices(base, NAMES))
    a, b = changes[NAMES[2]]
    changes[NAMES[2]] = (b, np.ascontiguousarray(a.T))
    path = lora.write(folder / "sound.gguf", changes)
    raw = path.read_bytes()
    assert inspect(base, [Adapter(path=str(path))]).adapters[0].matrices == 3
    return base, raw, len(raw) - sum(-(-4 * m.size // 32) * 32 for c in changes.values() for m in c)


def damaged(raw: bytes, weights: int, picked: random.Random) -> bytes:
    """`raw` with bytes changed, counts and sizes changed, or a part missing or doubled."""
    made = bytearray(raw)
    match picked.randrange(8):
        case 0:
            del made[picked.randrange(len(made)) :]
        case 1:
            at = picked.randrange(weights)
            made[at:at] = made[at : at + picked.randint(1, 40)]
        case 2:
            at = picked.randrange(weights)
            del made[at : at + picked.randint(1, 40)]
        case 3:  # a word of the header: a count, a length, a dimension, a type, an offset
            at = picked.randrange(0, weights - 8)
            word = picked.choice([0, 1, 2, 3, 4, 8, 30, 33, 1 << 31, (1 << 32) - 1])
            struct.pack_into("<I", made, at, word)
        case 4:  # weights that are no numbers
            for _ in range(picked.randint(1, 20)):
                at = picked.randrange(weights, len(made) - 4)
                made[at : at + 4] = picked.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff" * 4])
        case _:
            for _ in range(picked.randint(1, 3)):
                made[picked.randrange(weights)] = picked.randrange(256)
    return bytes(made)


def test_damaged_adapters_by_the_check(tmp_path: Path) -> None:
    base, raw, weights = sound(tmp_path)
    picked = random.Random(SEED)
    path = tmp_path / "damaged.gguf"
    outcomes = Counter[str]()
    for _ in range(CHECKED):
        path.write_bytes(damaged(raw, weights, picked))
        try:
            inspect(base, [Adapter(path=str(path))])
            outcomes["taken"] += 1
        except AdapterError:
            outcomes["refused"] += 1
    print(SEED, outcomes)
    assert outcomes["taken"] > CHECKED // 100
    assert outcomes["refused"] > CHECKED // 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_adapters_through_the_worker(tmp_path: Path) -> None:
    """So many that pass the check, each with a worker of its own; and those drawn beside them."""
    base, raw, weights = sound(tmp_path)
    picked = random.Random(SEED)
    path = tmp_path / "damaged.gguf"
    outcomes = Counter[str]()
    while outcomes.total() - outcomes["AdapterError"] < LOADED:
        path.write_bytes(damaged(raw, weights, picked))
        adapter = Adapter(path=str(path), scale=picked.choice([1.0, -3.0, 0.01]))
        began = time.monotonic()
        try:
            with LlamaModel(base, memory_bytes=MEMORY, adapters=[adapter]) as model:
                model.complete([REQUEST], deadline=began + 20, token_limit=1_000)
            outcome = "answered"
        except ModelError as error:
            outcome = type(error).__name__
            if outcome != "AdapterError":
                print(error)
        assert time.monotonic() - began < 60
        outcomes[outcome] += 1
    print(SEED, outcomes)
    assert outcomes["answered"]
    assert outcomes["AdapterError"]
