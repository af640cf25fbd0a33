"""`rlm-local models`, on a real file; and model files that cannot be used, exit 4."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import models
from rlm_local.llama import Device
from rlm_local.llama import model as llama_model
from tests.fakes import Run
from tests.llama import lora


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write(models.SHAPES["tiny"], tmp_path_factory.mktemp("built") / "tiny.gguf")


@pytest.fixture
def model(built: Path, folders: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model in a folder of models, where it is listed as `listed`."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("RLM_LOCAL_MODELS", str(folder))
    path = folder / "tiny.gguf"
    path.write_bytes(built.read_bytes())
    (folder / "catalog.toml").write_text(
        f'[listed]\nfile = "tiny.gguf"\nsha256 = "{sha256(path)}"\nabout = "for tests"\n'
        'licence = "MIT"\n'
    )
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list(run: Run, model: Path):
    code, out, _ = run("models", "list")
    assert code == 0
    [line] = [line for line in out.splitlines() if line.startswith("listed ")]
    assert line.endswith("for tests")
    [listed] = [entry for entry in json.loads(run("models", "list", "--json")[1])
                if entry["name"] == "listed"]  # fmt: skip
    assert (listed["path"], listed["present"]) == (str(model), True)


@pytest.mark.parametrize("named", [True, False])
def test_info(run: Run, model: Path, named: bool):
    code, out, _ = run("models", "info", "listed" if named else model)
    assert code == 0
    assert "1,024 tokens as trained" in out
    assert ("MIT" if named else "not stated") in out.splitlines()[-1]
    assert str(model) in out
    assert json.loads(run("models", "info", model, "--json")[1])["context_tokens"] == 1_024


def test_plan(run: Run, model: Path):
    code, out, _ = run("models", "plan", "listed", "--context-tokens", "512")
    assert code == 0
    assert "512 of 1,024 tokens" in out
    made = json.loads(run("models", "plan", "listed", "--json")[1])
    parts = ("weight", "kv", "compute", "output", "process")
    assert made["total_bytes"] == sum(made[f"{part}_bytes"] for part in parts)
    code, _, err = run("models", "plan", "listed", "--memory", "10MB")
    assert code == 4
    assert "and the limit is" in err
    assert "raise model_memory_bytes (--memory)" in err


def test_plan_of_two_models(run: Run, model: Path, tmp_path: Path):
    style = lora.write(tmp_path / "style.gguf", lora.matrices(model, ("blk.0.attn_q.weight",)))
    with_style = json.loads(run("models", "plan", "listed", "--lora", style, "--json")[1])
    assert with_style["adapter_bytes"] == 4 * (4 * 64 + 64 * 4)
    options = ("--sub-model", model, "--sub-lora", f"{style}:0.5", "--context-tokens", "512")
    code, out, _ = run("models", "plan", "listed", *options)
    assert code == 0
    assert out.index("for turns") < out.index("512 of 1,024") < out.index("for sub-calls")
    assert "1,024 of 1,024 tokens" in out
    assert "both together" in out
    both = json.loads(run("models", "plan", "listed", "--json", *options)[1])
    assert (both["model"]["context_tokens"], both["model"]["adapter_bytes"]) == (512, 0)
    assert both["sub_model"]["adapter_bytes"] == with_style["adapter_bytes"]
    least = sum(each["total_bytes"] for each in both.values()) - 1
    code, _, err = run("models", "plan", "listed", "--memory", least // 2, *options)
    assert code == 4
    assert "in all, and the limit for both is" in err


def test_plan_with_a_draft_model(run: Run, model: Path, tmp_path: Path):
    """As `ask` would load it: both within the limit."""
    draft = models.write(replace(models.SHAPES["tiny"], width=32), tmp_path / "draft.gguf")
    code, out, _ = run("models", "plan", "listed", "--draft-model", draft)
    assert code == 0
    assert out.index("for turns") < out.index("for guesses") < out.index("both together")
    made = json.loads(run("models", "plan", "listed", "--draft-model", draft, "--json")[1])
    small = made["draft_model"]
    assert small["context_tokens"] == made["context_tokens"] == 1_024
    assert 0 < small["weight_bytes"] < made["weight_bytes"]
    least = made["host_bytes"] // 2 + small["host_bytes"] // 2
    code, _, err = run("models", "plan", "listed", "--draft-model", draft, "--memory", least)
    assert code == 4
    assert "leave the draft model out, or raise model_memory_bytes (--memory)" in err
    options = ("--draft-model", draft, "--sub-model", model)
    out = run("models", "plan", "listed", *options)[1]
    assert out.index("for guesses") < out.index("for sub-calls") < out.index("all together")
    both = json.loads(run("models", "plan", "listed", *options, "--json")[1])
    assert "draft_model" in both["model"]
    assert "draft_model" not in both["sub_model"]


def test_plan_beside_a_server(run: Run, model: Path, tmp_path: Path):
    """What is on another machine takes nothing here."""
    server = "http://127.0.0.1:1/v1"
    alone = json.loads(run("models", "plan", "listed", "--json")[1])
    made = json.loads(run("models", "plan", server, "--sub-model", model, "--json")[1])
    assert made == {"sub_model": alone}
    code, out, _ = run("models", "plan", server, "--sub-model", model)
    assert (code, "for sub-calls" in out, "for turns" in out) == (0, True, False)
    assert json.loads(run("models", "plan", model, "--sub-model", server, "--json")[1]) == alone
    code, out, err = run("models", "plan", server)
    assert (code, out) == (2, "")
    assert "is on another machine, and takes no memory of this one\nhint: name a model" in err
    assert run("models", "plan", server, "--draft-model", model)[0] == 2
    style = ("--sub-lora", tmp_path / "style.gguf")
    code, _, err = run("models", "plan", model, "--sub-model", server, *style)
    assert code == 2
    assert "LoRA adapters were given for a model on a server" in err


def test_plan_of_the_kv_cache(run: Run, tmp_path: Path):
    shape = models.Shape("wide", 64, 1, 2, 1, 128, 1_024, 1_024, models.F16)
    wide = models.write(shape, tmp_path / "wide.gguf")
    made = json.loads(run("models", "plan", wide, "--kv-type", "q8_0", "--json")[1])
    assert (made["kv_type"], made["kv_reason"]) == ("q8_0", "as asked for")
    assert "in q8_0 (as asked for)" in run("models", "plan", wide, "--kv-type", "q8_0")[1]
    usual = json.loads(run("models", "plan", wide, "--kv-type", "auto", "--json")[1])
    assert (usual["kv_type"], usual["kv_reason"]) == ("f16", "")
    code, _, err = run("models", "plan", wide, "--kv-type", "q4_0")
    assert code == 2
    assert "'auto', 'f16', 'q8_0'" in err


def test_plan_with_a_gpu(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch):
    code, out, err = run("models", "plan", "listed", "--gpu-layers", "1")
    assert (code, out) == (2, "")
    assert "1 layers were asked to be on a GPU, and llama.cpp finds none" in err
    assert "docs/gpu.md" in err
    assert "GPU        no layers" in run("models", "plan", "listed")[1]
    fake = Device(name="CUDA0", description="made up", free_bytes=6 << 30, total_bytes=8 << 30)
    monkeypatch.setattr(llama_model, "find_gpus", lambda: (fake,))
    out = run("models", "plan", "listed")[1]
    assert "3 of 3 layers on made up (6.00 GiB free)" in out
    made = json.loads(run("models", "plan", "listed", "--json", "--gpu-layers", "auto")[1])
    assert made["host_bytes"] == made["total_bytes"] - made["device_bytes"]
    assert made["gpus"][0]["name"] == "CUDA0"
    assert json.loads(run("models", "plan", "listed", "--json", "--gpu-layers", 0)[1])["gpus"] == []
    for wrong in ("-1", "all", "1.5"):
        assert run("models", "plan", "listed", "--gpu-layers", wrong)[0] == 2
    code, _, err = run("models", "plan", "listed", "--gpu-layers", "4")
    assert code == 2
    assert "has 2, and its output as one more" in err
    assert "lower gpu_layers (--gpu-layers) to 3" in err


def test_verify(run: Run, model: Path):
    code, out, _ = run("models", "verify", "listed")
    assert code == 0
    assert f"{model} is whole" in out
    assert out.endswith(f"sha256 {sha256(model)}\n")
    assert run("models", "verify", model)[1].endswith("(not listed, so not compared)\n")
    result = json.loads(run("models", "verify", "listed", "--json")[1])
    assert (result["sha256"], result["listed"]) == (sha256(model), True)


def test_verify_sees_a_changed_file(run: Run, model: Path):
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    code, _, err = run("models", "verify", "listed")
    assert code == 4
    assert "is not the file that the catalogue lists as listed" in err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "empty"),
        (lambda data: data[:-1_000], "cut short"),
        (lambda data: data[:100], ""),
        (lambda data: b"PK\x03\x04" + data, "does not begin with 'GGUF'"),
        (lambda data: data[:4] + b"\x63" + data[5:], "version"),
    ],
)
@pytest.mark.parametrize("command", [("models", "info"), ("models", "verify"), ("ask", "q")])
def test_a_damaged_file_is_one_sentence_and_exit_4(
    run: Run,
    model: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    message: str,
    command: tuple[str, str],
):
    text = tmp_path / "text.txt"
    text.write_text("text")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(damage(model.read_bytes()))
    if command[0] == "ask":
        code, out, err = run(*command, text, "--model", bad)
    else:
        code, out, err = run(*command, bad)
    assert (code, out) == (4, "")
    assert err.startswith("error: ")
    assert "bad.gguf" in err
    assert message in err
    assert "Traceback" not in err


def test_a_missing_file(run: Run, model: Path):
    for command in ("info", "plan", "verify"):
        code, _, err = run("models", command, "none.gguf")
        assert code == 4
        assert err.startswith("error: the model none has no file at none.gguf\nhint: ")


def test_a_model_too_large_for_the_limit(run: Run, model: Path, tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("text")
    code, out, err = run("ask", "q", text, "--model", "listed", "--memory", "10MB")
    assert (code, out) == (4, "")
    assert "and the limit is 10 MiB" in err
