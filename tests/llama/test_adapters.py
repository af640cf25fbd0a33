"""LoRA adapters: what they change, which are refused, and what must not be mixed up."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import msgspec
import numpy as np
import pytest

from bench import models
from rlm_local.errors import AdapterError, ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, inspect, plan
from rlm_local.llama.identity import code_digest, identity, reply_identity, state_key, weights
from rlm_local.llama.native import Loading, Native
from rlm_local.records import Adapter, Message, Request
from tests.llama import build, lora
from tests.llama.conftest import MEMORY

NAMES = (
    "blk.0.attn_q.weight",
    "blk.0.attn_k.weight",
    "blk.1.attn_v.weight",
    "blk.1.attn_output.weight",
    "blk.0.ffn_up.weight",
    "blk.1.ffn_down.weight",
    "output.weight",
    "token_embd.weight",
)
EMBEDDING = "token_embd.weight"


def changes(path: Path, names: tuple[str, ...] = NAMES, *, rank: int = 4) -> lora.Changes:
    made = dict(lora.matrices(path, names, rank=rank))
    if EMBEDDING in made:  # stood the other way round: rows of it are looked up
        a, b = made[EMBEDDING]
        made[EMBEDDING] = (b, np.ascontiguousarray(a.T))
    return made


def logits(path: Path, *adapters: Adapter) -> np.ndarray:  # type: ignore[type-arg]
    """Of the token after twelve others."""
    how = Loading(
        cells=256, batch_tokens=64, threads=1, flash=False, mapped=True, adapters=adapters
    )
    native = Native(path, how)
    native.add(0, np.arange(300, 312, dtype=np.int32), 0, output=True)
    assert native.decode() == 0
    return native.logits()[0].copy()


# ------------------------------------------------------------------ what they change


@pytest.mark.parametrize("name", NAMES)
def test_as_if_it_were_merged(tiny_path: Path, tmp_path: Path, name: str) -> None:
    change = changes(tiny_path, (name,))
    path = lora.write(tmp_path / "lora.gguf", change, alpha=8.0)
    plain = logits(tiny_path)
    adapted = logits(tiny_path, Adapter(path=str(path), scale=0.25))
    # alpha / rank is 2, times the scale of 0.25.
    merged = logits(lora.merged(tiny_path, change, tmp_path / "merged.gguf", scale=0.5))
    effect = np.abs(merged - plain).max()
    assert effect > 0.05
    assert np.abs(adapted - merged).max() < 0.02 * effect


def test_all_matrices_at_once(tiny_path: Path, tmp_path: Path) -> None:
    change = changes(tiny_path)
    path = lora.write(tmp_path / "lora.gguf", change, alpha=None)  # then the scale is all
    adapted = logits(tiny_path, Adapter(path=str(path), scale=0.1))
    merged = logits(lora.merged(tiny_path, change, tmp_path / "merged.gguf", scale=0.1))
    effect = np.abs(merged - logits(tiny_path)).max()
    assert np.abs(adapted - merged).max() < 0.03 * effect


def test_two_adapters_add_up(tiny_path: Path, tmp_path: Path) -> None:
    one, two = changes(tiny_path, NAMES[:1]), changes(tiny_path, NAMES[5:6])
    first = lora.write(tmp_path / "one.gguf", one, alpha=4.0)
    second = lora.write(tmp_path / "two.gguf", two, alpha=4.0, stored=np.float16)
    adapted = logits(
        tiny_path, Adapter(path=str(first), scale=0.5), Adapter(path=str(second), scale=0.5)
    )
    both = lora.merged(tiny_path, {**one, **two}, tmp_path / "merged.gguf", scale=0.5)
    effect = np.abs(logits(both) - logits(tiny_path)).max()
    assert np.abs(adapted - logits(both)).max() < 0.02 * effect


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_one_of_zeros_or_times_zero_changes_nothing(
    tiny_path: Path, tmp_path: Path, scale: float
) -> None:
    change = changes(tiny_path)
    if scale:
        change = {name: (a, np.zeros_like(b)) for name, (a, b) in change.items()}
    path = lora.write(tmp_path / "lora.gguf", change)
    assert (logits(tiny_path, Adapter(path=str(path), scale=scale)) == logits(tiny_path)).all()


def test_through_the_worker(tiny_path: Path, tmp_path: Path) -> None:
    """The worker with an adapter says what the merged model says, unlike the plain one."""
    change = changes(tiny_path, ("output.weight",))
    path = lora.write(tmp_path / "style.gguf", change, alpha=4.0)
    merged = lora.merged(tiny_path, change, tmp_path / "merged.gguf", scale=1.0)
    adapter = Adapter(path=str(path))
    said = []
    for base, adapters in ((tiny_path, [adapter]), (merged, []), (tiny_path, [])):
        with LlamaModel(base, memory_bytes=MEMORY, adapters=adapters) as model:
            request = Request(messages=(Message("user", "the time of the line"),), max_tokens=12)
            [done] = model.complete([request], deadline=time.monotonic() + 60, token_limit=1 << 30)
            said.append(done.text)
            assert model.info.name.endswith("+style") == bool(adapters)
            assert model.info.adapters == tuple(adapters)
    assert said[0] == said[1] != said[2]


def test_the_scale_is_part_of_the_name(tiny_path: Path, tmp_path: Path) -> None:
    path = lora.write(tmp_path / "style.gguf", changes(tiny_path))
    adapter = Adapter(path=str(path), scale=0.5)
    with LlamaModel(tiny_path, memory_bytes=MEMORY, adapters=[adapter]) as model:
        assert model.info.name == f"{inspect(tiny_path).name}+style:0.5"


# --------------------------------------------------------------- what is kept of prompts


SYSTEM = "the question is in the text and the answer is in the line " * 25


def first_reply(path: Path, states: Path, *adapters: Adapter) -> tuple[str, int]:
    """What is said after a long system prompt, and how much of that came from elsewhere."""
    before = len(list(states.glob("*/*.kv")))
    with LlamaModel(path, memory_bytes=MEMORY, adapters=adapters, states=states) as model:
        messages = (Message("system", SYSTEM), Message("user", "what"))
        request = Request(messages=messages, max_tokens=8)
        [done] = model.complete([request], deadline=time.monotonic() + 60, token_limit=1 << 30)
        for _ in range(200):  # it is stored when nobody waits
            if done.cached_tokens or len(list(states.glob("*/*.kv"))) > before:
                break
            time.sleep(0.05)
    return done.text, done.cached_tokens


def test_stored_prompts_are_those_of_the_adapters_too(tiny_path: Path, tmp_path: Path) -> None:
    """Cells that were computed without an adapter are wrong with it, and the other way round."""
    change = changes(
        tiny_path, ("blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.1.attn_k.weight")
    )
    path = lora.write(tmp_path / "lora.gguf", change)
    whole, half = Adapter(path=str(path)), Adapter(path=str(path), scale=0.5)
    states = tmp_path / "states"
    for adapters in ((), (whole,), (half,), (whole, half)):
        fresh, cached = first_reply(tiny_path, states, *adapters)
        assert cached == 0
        count = len(list(states.iterdir()))
        again, cached = first_reply(tiny_path, states, *adapters)
        assert cached > 256
        assert again == fresh
        assert len(list(states.iterdir())) == count
    assert len(list(states.iterdir())) == 4
    # One of other content under the same name.
    lora.write(path, {name: (a, -b) for name, (a, b) in change.items()})
    assert first_reply(tiny_path, states, whole)[1] == 0


def test_identities(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = lora.write(tmp_path / "one.gguf", changes(tiny_path))
    two = lora.write(tmp_path / "two.gguf", changes(tiny_path, rank=3))
    adapters = [Adapter(path=str(path), scale=scale) for path in (one, two) for scale in (1, 0.5)]
    files = [inspect(tiny_path, chosen) for chosen in ([], *([each] for each in adapters))]
    names = {identity(file) for file in files}
    assert len(names) == len({weights(file) for file in files}) == 5
    assert identity(inspect(tiny_path, adapters[:1])) in names
    for file in files[1:]:
        for gone in (
            msgspec.structs.replace(file, content=""),
            msgspec.structs.replace(
                file, adapters=(msgspec.structs.replace(file.adapters[0], content=""),)
            ),
        ):
            assert identity(gone) == weights(gone) == ""
    libraries = tmp_path / "lib"
    libraries.mkdir()
    (libraries / "libllama.so").write_text("another build")
    assert identity(files[0], libraries) not in names
    computed = {
        reply_identity(name, kv_type=kv_type, flash=flash, gpu_layers=layers)
        for name in ("a", "b")
        for kv_type in ("f16", "q8_0")
        for flash in (False, True)
        for layers in (0, 1)
    }
    assert len(computed) == 16
    assert code_digest() == code_digest()
    package = tmp_path / "package"
    (package / "llama").mkdir(parents=True)
    codes = set()
    for place in ("llama/chat.py", "fences.py", "fences.py"):
        (package / place).write_text(f"changed = {len(codes)}")
        codes.add(code_digest(package))
    assert len(codes) == 3
    monkeypatch.setattr("rlm_local.llama.identity.code_digest", lambda: "another")
    assert reply_identity("a", kv_type="f16", flash=False, gpu_layers=0) not in computed
    assert reply_identity("", kv_type="f16", flash=False, gpu_layers=0) == ""
    assert state_key("a", "f16") != state_key("a", "q8_0") != state_key("b", "q8_0")


# ------------------------------------------------------------------------- memory


def test_memory_is_planned_for(tiny_path: Path, tmp_path: Path) -> None:
    path = lora.write(tmp_path / "lora.gguf", changes(tiny_path, rank=32))
    plain = plan(inspect(tiny_path), memory_bytes=MEMORY, context_tokens=512)
    adapted_file = inspect(tiny_path, [Adapter(path=str(path))] * 2)
    adapted = plan(adapted_file, memory_bytes=MEMORY, context_tokens=512)
    tensors = sum(4 * (a.size + b.size) for a, b in changes(tiny_path, rank=32).values())
    assert adapted.adapter_bytes == 2 * tensors
    assert adapted.total_bytes >= plain.total_bytes + 2 * tensors
    with pytest.raises(ModelMemoryError, match="adapters 1 MiB"):
        plan(adapted_file, memory_bytes=4 * MIB)


# ----------------------------------------------------------------- which are refused


def refused(path: Path, base: Path, words: str) -> None:
    """By the check of the header, and so by LlamaModel before anything is loaded."""
    with pytest.raises(AdapterError, match=words) as caught:
        inspect(base, [Adapter(path=str(path))])
    assert caught.value.hint


def reshaped(
    base: Path,
    name: str,
    change: Callable[[np.ndarray, np.ndarray], lora.Changes],  # type: ignore[type-arg]
) -> lora.Changes:
    return change(*changes(base, (name,))[name])


WRONG_SHAPES: dict[str, Callable[..., tuple[object, object]]] = {
    "A has too few columns": lambda a, b: (a[:, :-1], b),
    "B has too few rows": lambda a, b: (a, b[:-1]),
    "the ranks differ": lambda a, b: (a[:2], b),
    "A is turned round": lambda a, b: (a.T, b),
    "both are turned round": lambda a, b: (a.T, b.T),
    "they are swapped": lambda a, b: (b.T, a.T),
    "A has a third dimension": lambda a, b: (np.stack([a, a]), b),
    "both have a third dimension": lambda a, b: (np.stack([a, a]), np.stack([b, b])),
    "A is one row": lambda a, b: (a[0], b),
    "B is one row": lambda a, b: (a, b[:, 0]),
}


@pytest.mark.parametrize("wrong", WRONG_SHAPES)
@pytest.mark.parametrize("name", ["blk.0.attn_k.weight", "token_embd.weight"])
def test_wrong_shapes(tiny_path: Path, tmp_path: Path, wrong: str, name: str) -> None:
    pair = WRONG_SHAPES[wrong](*changes(tiny_path, (name,))[name])
    path = lora.write(tmp_path / "lora.gguf", {name: pair})  # type: ignore[dict-item]
    refused(path, tiny_path, r"has the shape .* must be")


def test_of_another_model(tiny_path: Path, tmp_path: Path) -> None:
    wide = models.write(
        models.Shape("wide", 96, 2, 4, 2, 160, 1_024, 512, models.F16), tmp_path / "w"
    )
    path = lora.write(tmp_path / "lora.gguf", changes(wide, NAMES[:1]))
    refused(path, tiny_path, "must be")
    deep = models.write(
        models.Shape("deep", 64, 3, 4, 2, 160, 1_024, 512, models.F16), tmp_path / "d"
    )
    path = lora.write(tmp_path / "lora.gguf", changes(deep, ("blk.2.attn_q.weight",)))
    refused(path, tiny_path, r"changes 'blk\.2\.attn_q\.weight', and the model has no such tensor")
    path = lora.write(tmp_path / "lora.gguf", changes(tiny_path), architecture="qwen2")
    refused(path, tiny_path, "for the architecture 'qwen2', and the model's is 'llama'")


def test_of_another_kind(tiny_path: Path, tmp_path: Path) -> None:
    refused(tiny_path, tiny_path, "it holds a model, not an adapter")
    path = tmp_path / "lora.gguf"
    refused(lora.write(path, changes(tiny_path), kind="imatrix"), tiny_path, "'imatrix'")
    refused(lora.write(path, changes(tiny_path), adapter="ia3"), tiny_path, "its kind is 'ia3'")
    refused(lora.write(path, {}), tiny_path, "changes nothing")
    refused(lora.write(path, changes(tiny_path), alpha=float("nan")), tiny_path, "alpha")
    refused(lora.write(path, changes(tiny_path), stored=np.float64), tiny_path, "stored as F64")


def written(
    path: Path,
    tensors: dict[str, np.ndarray],  # type: ignore[type-arg]
    more: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    more(writer)
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_would_not_be_applied_whole(tiny_path: Path, tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    a, b = changes(tiny_path, (name,))[name]
    pair = {f"{name}.lora_a": a, f"{name}.lora_b": b}
    path = tmp_path / "lora.gguf"
    norm = {"blk.0.attn_norm.weight": np.ones(64, np.float32)}
    refused(written(path, {**pair, **norm}), tiny_path, "replaces 'blk.0.attn_norm.weight' whole")
    refused(written(path, {f"{name}.lora_a": a}), tiny_path, "has .* and not .*lora_b")
    twice = {f"{name}.lora_a.lora_a": a, f"{name}.lora_a.lora_b": b}
    refused(written(path, twice), tiny_path, "whole")

    def activated(writer: gguf.GGUFWriter) -> None:
        writer.add_array("adapter.alora.invocation_tokens", [1, 2, 3])

    refused(written(path, pair, activated), tiny_path, "an activated LoRA")


@pytest.mark.parametrize("kind", ["uint32", "float64", "string", "bool"])
def test_an_alpha_that_llama_cpp_would_die_of(tiny_path: Path, tmp_path: Path, kind: str) -> None:
    name = "blk.0.attn_q.weight"
    a, b = changes(tiny_path, (name,))[name]
    pair = {f"{name}.lora_a": a, f"{name}.lora_b": b}
    value: object = "8" if kind == "string" else 8
    path = written(
        tmp_path / "lora.gguf",
        pair,
        lambda writer: getattr(writer, f"add_{kind}")("adapter.lora.alpha", value),
    )
    refused(path, tiny_path, "alpha")


def test_of_a_model_whose_embedding_is_its_output(tmp_path: Path) -> None:
    base = build.written(tmp_path, build.gguf())
    change = changes(base, (EMBEDDING,))
    refused(
        lora.write(tmp_path / "lora.gguf", change), base, "is this model's output layer as well"
    )


def test_files_that_are_none(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "lora.gguf"
    refused(path, tiny_path, "there is no")
    path.write_bytes(b"")
    refused(path, tiny_path, "is empty")
    path.write_text("not a GGUF file, by far")
    refused(path, tiny_path, "not a GGUF")
    refused(tmp_path, tiny_path, "not a regular file")
    lora.write(path, changes(tiny_path))
    whole = path.read_bytes()
    for length in (10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, tiny_path, "cut short|not a GGUF")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_scales_that_cannot_be(tiny_path: Path, tmp_path: Path, scale: float) -> None:
    path = lora.write(tmp_path / "lora.gguf", changes(tiny_path))
    with pytest.raises(ConfigError, match=r"scaled by .* -1,000,000 and 1,000,000"):
        inspect(tiny_path, [Adapter(path=str(path), scale=scale)])


# ------------------------------------------------------- what llama.cpp would have done


KILLER = """
import sys
from pathlib import Path
import numpy as np
from rlm_local.llama.native import Loading, Native
from rlm_local.records import Adapter
native = Native(
    Path(sys.argv[1]),
    Loading(cells=256, batch_tokens=64, threads=1, flash=False, mapped=True,
            adapters=(Adapter(path=sys.argv[2]),)),
)
native.add(0, np.arange(5, dtype=np.int32), 0, output=True)
native.decode()
"""


def test_the_checks_are_needed(tiny_path: Path, tmp_path: Path) -> None:
    """Without them the process ends: a third dimension, an alpha of another type, a tied output."""
    name = "blk.0.attn_k.weight"
    a, b = changes(tiny_path, (name,))[name]
    tied = build.written(tmp_path, build.gguf())
    double = written(
        tmp_path / "double.gguf",
        {f"{name}.lora_a": a, f"{name}.lora_b": b},
        lambda writer: writer.add_float64("adapter.lora.alpha", 8.0),
    )
    deep = lora.write(tmp_path / "deep.gguf", {name: (np.stack([a, a]), np.stack([b, b]))})
    embedding = lora.write(tmp_path / "embedding.gguf", changes(tied, (EMBEDDING,)))
    for base, adapter in ((tiny_path, double), (tiny_path, deep), (tied, embedding)):
        done = subprocess.run(
            [sys.executable, "-c", KILLER, base, adapter],
            capture_output=True,
            env={"GGML_NO_BACKTRACE": "1"},
            cwd=Path(__file__).parent.parent.parent,
        )
        assert done.returncode < 0, (adapter.name, done.stderr[-500:])
