"""Damaged files that pass the header's check, through the real loader.

llama.cpp may refuse them, load them or die of them; the caller gets a model or a
ModelError, and nothing hangs or stays behind.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from rlm_local.errors import ModelError
from rlm_local.llama import LlamaModel
from rlm_local.records import Message, Request
from tests.llama import build
from tests.llama.conftest import MEMORY

FILES = 150
SEED = int(os.environ.get("RLM_FUZZ_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_files(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    picked = random.Random(SEED)
    sound = build.gguf()
    header = len(sound) - sum(size for *_, size in build.tensors())
    # The vocabulary is most of the header: what stands around it is damaged as often.
    spans = [range(24, 600), range(header - 1_400, header), range(24, header)]
    request = Request(messages=(Message("user", "x"),), max_tokens=4)
    outcomes: dict[str, int] = {}
    for number in range(FILES):
        raw = bytearray(sound)
        for _ in range(picked.randint(1, 3)):
            raw[picked.choice(picked.choice(spans))] = picked.randrange(256)
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(raw)
        began = time.monotonic()
        try:
            with LlamaModel(path, memory_bytes=MEMORY) as model:
                model.complete([request], deadline=began + 20, token_limit=1_000)
            outcome = "loaded"
        except ModelError as error:
            outcome = type(error).__name__
        assert time.monotonic() - began < 30
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        path.unlink()
    print(outcomes)
    assert outcomes["loaded"]
    assert outcomes["ModelFileError"]
