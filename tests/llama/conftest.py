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


@pytest.fixture(scope="session")
def slow_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = models.Shape("slow", 768, 6, 12, 4, 4_096, 2_048, 4_096, models.F16, ends=False)
    return models.write(shape, tmp_path_factory.mktemp("models") / "slow.gguf")


@pytest.fixture(scope="module")
def slow_model(slow_path: Path) -> Iterator[LlamaModel]:
    """Tens of milliseconds a token, a second or more for a long prompt; no reply ends early."""
    with LlamaModel(slow_path, memory_bytes=MEMORY, threads=1) as loaded:
        yield loaded


@pytest.fixture
def own_model(tiny_path: Path) -> Iterator[LlamaModel]:
    """A model of the test's own."""
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as loaded:
        yield loaded
