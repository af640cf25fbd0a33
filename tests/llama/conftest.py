"""Models for the tests: Llamas with random weights, built once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import models
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel

MEMORY = 2048 * MIB


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 0.2M parameters and 1,024 positions, with a ChatML template."""
    return models.write(models.SHAPES["tiny"], tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Iterator[LlamaModel]:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as loaded:
        yield loaded
