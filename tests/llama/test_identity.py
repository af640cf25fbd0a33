"""What is in a model's file, by a name: the same wherever it lies, and another for any other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rlm_local.llama import LlamaModel, gguf, inspect
from rlm_local.llama.identity import content, identity, weights
from tests.llama.conftest import MEMORY


@pytest.fixture
def copy(tiny_path: Path, tmp_path: Path) -> Path:
    return shutil.copyfile(tiny_path, tmp_path / "copy.gguf")


def test_a_copy_has_the_same_weights_and_no_stored_states(tiny_path: Path, copy: Path) -> None:
    os.utime(copy, (1, 1))
    one, other = inspect(tiny_path), inspect(copy)
    assert weights(one) == weights(other) != ""
    assert identity(one) != identity(other)


def test_every_tensor_counts_and_all_of_the_header(copy: Path) -> None:
    header = gguf.read(copy)
    names = {content(header)}
    raw = copy.read_bytes()
    tensors = header.tensors.values()
    places = [header.data_offset + tensor.offset + tensor.size // 2 for tensor in tensors]
    places += range(0, header.data_offset, header.data_offset // 50)
    for place in places:
        copy.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        names.add(content(header))
    assert len(names) == len(places) + 1
    copy.unlink()
    assert content(header) == ""


def test_a_loaded_model_says_its_weights(tiny_path: Path, copy: Path) -> None:
    with LlamaModel(copy, memory_bytes=MEMORY, context_tokens=512) as model:
        assert model.info.weights == weights(inspect(tiny_path))
