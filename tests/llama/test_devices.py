"""Which GPUs there are: asked of llama.cpp in a process, or made up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_local.errors import ModelError
from rlm_local.limits import MIB
from rlm_local.llama import Device, LlamaModel, devices, probe
from rlm_local.llama import model as llama_model
from rlm_local.llama.probe import Kind

FAKE = Device(name="GPU0", description="made up", free_bytes=6 << 30, total_bytes=8 << 30)
PLAIN = ["libllama.so", "libggml.so", "libggml.so.0", "libggml-base.so", "libggml-cpu.so.0.25.3"]


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("libggml-cuda.so", True),
        ("libggml-metal.dylib", True),
        ("libggml-vulkan.so.0", True),
        ("ggml-hip.dll", True),
        ("libggml-cpu-haswell.so", False),
        ("libggml-blas.dylib", False),
        ("README.md", False),
    ],
)
def test_a_build_is_known_by_its_libraries(library: str, expected: bool) -> None:
    assert devices.can_use_gpu([*PLAIN, library]) is expected


def test_the_processor_is_found_as_a_device() -> None:
    """What llama.cpp calls its CPU device has the machine's memory: so the calls are right."""
    [found] = probe.devices(Kind.CPU)
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found.total_bytes == whole
    assert 0 < found.free_bytes <= whole
    assert found.name
    assert not found.shared


def test_the_probe_prints_what_it_finds() -> None:
    command = [sys.executable, "-P", "-m", "rlm_local.llama.probe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout.startswith(b"[")


def with_probe(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """A build for GPUs whose probe is `code`."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    program.chmod(0o700)
    monkeypatch.setattr(devices.sys, "executable", str(program))
    monkeypatch.setattr(devices, "_libraries", lambda: [*PLAIN, "libggml-cuda.so"])


def test_what_a_probe_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = '[{"name":"GPU0","description":"made up","free_bytes":6442450944,'
    line += '"total_bytes":8589934592,"shared":false}]'
    with_probe(monkeypatch, tmp_path, f"print({line!r})")
    assert devices.find() == (FAKE,)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('no driver')", "code 1: no driver"),
        ("import os; os.abort()", "code -6: it wrote nothing"),
        ("print('no JSON')", "malformed"),
        ("print('[{}]')", "missing required field"),
    ],
)
def test_a_probe_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    with_probe(monkeypatch, tmp_path, code)
    with pytest.raises(ModelError, match=reason) as caught:
        devices.find()
    assert "--gpu-layers 0" in caught.value.hint


def test_a_driver_that_fails_costs_the_gpu_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_path: Path
) -> None:
    with_probe(monkeypatch, tmp_path, "sys.exit('no driver')")
    monkeypatch.setattr(llama_model, "start_worker", lambda *args, **more: None)
    heard: list[str] = []
    model = LlamaModel(tiny_path, memory_bytes=1024 * MIB, notice=heard.append)
    assert model.memory_plan.gpu_layers == 0
    assert "no driver" in heard[0]
    LlamaModel(tiny_path, memory_bytes=1024 * MIB, gpu_layers=0, notice=heard.append)
    assert len(heard) == 1
    with pytest.raises(ModelError, match="no driver"):
        LlamaModel(tiny_path, memory_bytes=1024 * MIB, gpu_layers=1)


def test_the_layers_go_to_the_worker(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build for the CPU is told to offload, and does not mind: the way there is whole."""
    monkeypatch.setattr(llama_model, "find_gpus", lambda: (FAKE,))
    with LlamaModel(tiny_path, memory_bytes=1024 * MIB) as model:
        assert model.memory_plan.gpu_layers == 3
        assert model.count_tokens("the of and") > 0
