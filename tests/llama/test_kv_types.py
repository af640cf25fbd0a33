"""The KV cache in another type: the same replies to the same states, kept apart from f16's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import models
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel
from rlm_local.llama.native import Loading, Native
from rlm_local.records import Completion, KvChoice, Message, Request
from tests.llama.test_states import computed, state

MEMORY = 2048 * MIB
SYSTEM = "the of and to in is that it was for " * 40
WIDTHS = (32, 64, 96)  # of heads; those of 64 are rotated before they are quantised


@pytest.fixture(scope="module", params=WIDTHS)
def path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    shape = models.Shape("wide", 2 * request.param, 2, 2, 1, 160, 1_024, 1_024, models.F16)
    return models.write(shape, tmp_path_factory.mktemp("models") / "wide.gguf")


def test_cells_of_q8_0_come_back_bit_for_bit(path: Path) -> None:
    how = Loading(cells=1_024, batch_tokens=512, threads=1, flash=True, mapped=True, kv_type="q8_0")
    native = Native(path, how)
    row = np.arange(300, dtype=np.int32) % 200
    computed(native, 0, row)
    saved = state(native, 0)
    following = computed(native, 0, row[:5], 300)
    native.remove(0, 0)
    computed(native, 3, row[::-1].copy()[:77])  # so that it gets other cells than before
    assert native.restore(0, saved)
    assert bytes(state(native, 0)) == bytes(saved)
    native.remove(3, 0)
    assert native.restore(3, saved)  # and as another sequence
    assert computed(native, 3, row[:5], 300) == following


def ask(path: Path, states: Path, kv_type: KvChoice) -> Completion:
    messages = (Message("system", SYSTEM), Message("user", "one"))
    with LlamaModel(path, memory_bytes=MEMORY, kv_type=kv_type, states=states) as model:
        assert model.memory_plan.kv_type == ("q8_0" if kv_type == "q8_0" else "f16")
        asked = Request(messages=messages, max_tokens=8, dialogue="0")
        [reply] = model.complete([asked], deadline=1e9, token_limit=1 << 40)
        assert model.count_tokens("so that it has had the time to store") > 0
    return reply


def test_states_of_one_type_are_not_given_to_another(path: Path, tmp_path: Path) -> None:
    types: tuple[KvChoice, ...] = ("f16", "q8_0")
    first = [ask(path, tmp_path, kv_type) for kv_type in types]
    assert [reply.cached_tokens for reply in first] == [0, 0]
    assert len({stored.parent for stored in tmp_path.glob("*/*.kv")}) == 2
    again = [ask(path, tmp_path, kv_type) for kv_type in types]
    assert [reply.text for reply in again] == [reply.text for reply in first]
    assert all(reply.cached_tokens > 0.9 * reply.prompt_tokens for reply in again)


def test_replies_of_one_type_are_not_given_for_those_of_another(path: Path) -> None:
    names = set()
    for kv_type in ("f16", "q8_0"):
        with LlamaModel(path, memory_bytes=MEMORY, kv_type=kv_type) as model:
            names.add(model.info.identity)
    assert "" not in names
    assert len(names) == 2
