"""Settings for every test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from rlm_local.llama import spinning

os.environ.update(spinning.variables())  # read when llama.cpp is loaded

import pytest
from hypothesis import settings

import rlm_local.llama.bindings  # noqa: F401  # before numpy: see there
from rlm_local import cli, runtime
from rlm_local.model import ScriptedModel
from rlm_local.paths import cache_folder
from rlm_local.runs import RunStore
from rlm_local.wasm import WasmSandbox
from tests.fakes import FakeSandbox, Run, Script

# Examples are not timed: these machines are shared, and time is the benchmarks' matter.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the
# commands that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Caches that are shared with the user's: they take long to make, or are only read.
_SHARED = ("guest", "compiled", "snapshot", "rivals")


@pytest.fixture(autouse=True, scope="session")
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' runs, spools and stored prompts are not the user's."""
    cache = tmp_path_factory.mktemp("cache")
    for name in _SHARED:
        (cache / name).symlink_to(cache_folder(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_LOCAL_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("RLM_LOCAL_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def sandbox() -> Iterator[WasmSandbox]:
    with WasmSandbox() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands in this process: folders of the test's own, and no real sandbox."""
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(runtime, "start_sandbox", lambda notice: FakeSandbox())


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The path of a text of four characters."""
    path = tmp_path / "text.txt"
    path.write_text("four")
    return str(path)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Sets what the model of commands in this process says."""

    def set_turns(*turns: str, profile: str = "generic") -> None:
        def load(*_: object, **__: object) -> ScriptedModel:
            return ScriptedModel(turns, profile=profile)

        monkeypatch.setattr(runtime, "load_model", load)

    return set_turns


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command: its exit code, standard output and standard error."""

    def invoke(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.run([*map(str, arguments)])
        sys.stderr.flush()
        return (code, *capfd.readouterr())

    return invoke
