"""The doctor: one line a part, and the first failure's exit code."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from rlm_local import cli, doctor, llama, runtime
from rlm_local.confine import Wall, trial
from rlm_local.confine.trial import Trial
from rlm_local.doctor import Check
from rlm_local.errors import GuestMissing, ModelError, ModelFileError
from rlm_local.llama import Device
from rlm_local.model import ScriptedModel
from rlm_local.records import Observation
from tests.fakes import FakeRepl, FakeSandbox


@pytest.fixture(autouse=True)
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of its own, a guest, a sandbox that adds, a model that writes."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(b"")
    monkeypatch.setenv("RLM_LOCAL_GUEST", str(guest))
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(FakeRepl, "execute", lambda *_, **__: Observation(value="2"))
    monkeypatch.setattr(runtime, "start_sandbox", FakeSandbox)
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(sub_calls=["Hi"]))
    monkeypatch.setattr(trial, "try_out", lambda: tried(Wall(landlock=7, seccomp=True)))


def tried(wall: Wall, *, allowed: tuple[str, ...] = (), usable: bool = True) -> Trial:
    """A trial in which the parts of `wall` refused what is not `allowed`."""
    refused = ("a socket", "reading elsewhere") if wall.seccomp else ()
    return Trial(wall=wall, refused=refused, allowed=allowed, usable=usable)


def checks() -> dict[str, Check]:
    return {check.name: check for check in doctor.examine()}


def failed() -> list[Check]:
    return [check for check in checks().values() if not check.ok]


def test_all_is_well(capfd: pytest.CaptureFixture[str]):
    found = checks()
    assert [name for name in found if not found[name].ok] == []
    assert {
        "python",
        "wasmtime",
        "guest",
        "packages",
        "sandbox",
        "model rlm-nano",
        "cache spool",
        "runs",
    } <= set(found)
    assert cli.run(["doctor"]) == 0
    out = capfd.readouterr().out
    assert all(line.startswith("ok      ") for line in out.splitlines())
    assert "wrote 1 tokens" in out


def test_json_is_an_array_of_checks(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["doctor", "--json"]) == 0
    for check in json.loads(capfd.readouterr().out):
        assert set(check) == {"name", "ok", "detail", "remedy", "exit_code"}


def test_a_missing_model(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    def load(*_: object, **__: object) -> ScriptedModel:
        raise ModelFileError("no such model", hint="bring one")

    monkeypatch.setattr(runtime, "load_model", load)
    assert cli.run(["doctor"]) == 4
    assert "FAILED  model rlm-nano: no such model\n        bring one\n" in capfd.readouterr().out


def test_a_missing_guest_is_told_first(monkeypatch: pytest.MonkeyPatch):
    def start() -> FakeSandbox:
        raise GuestMissing("no guest", hint="build it")

    monkeypatch.setattr(runtime, "start_sandbox", start)
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel())
    assert cli.run(["doctor"]) == 5
    sandbox, model = failed()
    assert (sandbox.detail, sandbox.remedy) == ("no guest", "build it")
    assert (model.exit_code, model.detail) == (4, "the script of sub_calls has no more replies")


def test_a_guest_that_cannot_add(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeRepl, "execute", lambda *_, **__: Observation(value="3"))
    [check] = failed()
    assert (check.detail, check.exit_code) == ("the guest says that 1 + 1 is 3", 5)


def test_a_model_that_writes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtime, "load_model", lambda *_, **__: ScriptedModel(sub_calls=[""]))
    [check] = failed()
    assert (check.detail, check.exit_code) == ("rlm-nano wrote nothing", 4)


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "LIBRARIES", ("no-such-library",))
    [check] = failed()
    assert (check.name, check.detail) == ("no-such-library", "not installed")
    assert "pip install no-such-library" in check.remedy


def test_folders_that_cannot_be_used_are_told_like_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "a file"))
    assert cli.run(["doctor", "--json"]) != 0
    found = {check["name"]: check for check in json.loads(capfd.readouterr().out)}
    assert "cannot be used" in found["caches"]["detail"]
    assert found["runs"]["ok"]


def test_an_installation_that_is_not_whole(monkeypatch: pytest.MonkeyPatch):
    def load() -> FakeSandbox:
        raise ImportError("No module named 'wasmtime'")

    monkeypatch.setattr(runtime, "start_sandbox", load)
    [check] = failed()
    assert (check.name, check.detail) == ("sandbox", "No module named 'wasmtime'")
    assert check.remedy == "install rlm-local again"


OFF = Wall(landlock=0, seccomp=False, missing=("no Landlock: function not implemented",))
HALF = Wall(landlock=0, seccomp=True, missing=("no Landlock: function not implemented",))
WHOLE = Wall(landlock=7, seccomp=True)


@pytest.mark.parametrize(
    ("found", "ok", "detail"),
    [
        (tried(WHOLE), True, "on (Landlock 7 and seccomp); refused: a socket, reading elsewhere"),
        (tried(HALF), True, "in part (seccomp; no Landlock: function not implemented); refused: "),
        (tried(OFF), True, "off (no Landlock: function not implemented)"),
        (tried(WHOLE, allowed=("a socket",)), False, "hold, and do not refuse a socket"),
        (tried(WHOLE, usable=False), False, "cannot use its own folder"),
        (None, False, "a confined process did not start"),
    ],
)
def test_the_second_wall(
    monkeypatch: pytest.MonkeyPatch, found: Trial | None, ok: bool, detail: str
):
    monkeypatch.setattr(trial, "try_out", lambda: found)
    check = checks()["second wall"]
    assert check.ok is ok
    assert detail in check.detail
    assert check.exit_code == (0 if ok else 5)


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 512, 512))
    [check] = failed()
    assert check.name == "disk"
    assert "has only 512 B left" in check.detail
    assert "RLM_LOCAL_CACHE" in check.remedy


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch):
    assert checks()["gpu"].detail == "none that this build of llama.cpp can use"
    fake = Device(name="CUDA0", description="made up", free_bytes=6 << 30, total_bytes=8 << 30)
    monkeypatch.setattr(llama, "find_gpus", lambda: (fake,))
    assert checks()["gpu"].detail == "CUDA0: made up, 6.00 GiB of 8.00 GiB free"

    def fails() -> tuple[Device, ...]:
        raise ModelError("no driver", hint="check it")

    monkeypatch.setattr(llama, "find_gpus", fails)
    assert (checks()["gpu"].ok, checks()["gpu"].remedy) == (False, "check it")
