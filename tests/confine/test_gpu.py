"""What a GPU's driver needs of a confined process, as far as that can be seen without one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from rlm_local import wall
from rlm_local.cli import wall as cli_wall
from rlm_local.confine import VARIABLE, Wall, places
from rlm_local.confine.landlock import USE_DEVICE, Right
from rlm_local.llama import devices
from tests.confine.drivers import NAME_A_THREAD
from tests.confine.runner import ROOT, offered, tried

NEEDED = ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps", "nvhost-gpu", "nvmap", "dri", "kfd")
#: Requests of drivers: NVIDIA's (type F), AMD's (K), DRM's (d).
IOCTLS = (0xC0C04621, 0xC00846D6, 0x80084B01, 0xC0406400)
CONFINED = f"""
import errno, fcntl, json, os, subprocess, sys
from rlm_local.confine import confine_process
wall = confine_process()
refused = []
with open("/dev/zero", "rb") as device:
    for request in {IOCTLS}:
        try:
            fcntl.ioctl(device, request, bytearray(256))
        except OSError as error:
            if error.errno != errno.ENOTTY:
                refused.append([request, error.errno])
probe = [sys.executable, "-P", "-m", "rlm_local.llama.probe"]
environment = {{**os.environ, "PYTHONPATH": ":".join(sys.path)}}
found = subprocess.run(probe, capture_output=True, env=environment)
print(json.dumps([wall.whole, refused, found.returncode, found.stdout.decode()]))
"""


def test_devices_of_gpus_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NEEDED, "null", "sda", "mem", "video0"):
        (tmp_path / name).touch()
    monkeypatch.setattr(places, "_DEV", tmp_path)
    usable = {
        rule.path.name
        for rule in places.rules(readable=(), writable=())
        if rule.path.parent == tmp_path
    }
    assert usable == {*NEEDED, "null"}
    rights = [rule.rights for rule in places.rules(readable=(), writable=())]
    assert rights.count(USE_DEVICE) == len(usable)


@pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")
def test_a_confined_process_may_ask_devices_and_start_the_probe() -> None:
    """/dev/zero stands for a GPU: it knows none of the requests, and none is refused before."""
    done = subprocess.run(
        [sys.executable, "-c", CONFINED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    whole, refused, code, found = json.loads(done.stdout)
    assert whole
    assert refused == []
    assert (code, found[:1]) == (0, "[")


@pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")
@pytest.mark.parametrize("server", [False, True])
def test_drivers_have_local_sockets_that_nobody_comes_in_by(tmp_path: Path, server: bool) -> None:
    name = f"rlm-local-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as in_folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as abstract,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        for made, at in ((in_folder, str(tmp_path / "socket")), (abstract, "\0" + name)):
            made.bind(at)
            made.listen()
        port = tcp.getsockname()[1] if server else 0
        listeners = (tmp_path / "socket", name, port, tmp_path)
        found, bare = (
            tried("tests.confine.drivers", *listeners, walled=walled) for walled in (True, False)
        )
        (tmp_path / "made").unlink()
    assert {attempt for attempt, got in found["refused"].items() if got == "done"} == set()
    assert {attempt for attempt, got in bare["refused"].items() if got != "done"} == set()
    assert set(found["allowed"].values()) == {"done"}


@pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")
def test_without_drivers_no_thread_can_be_named() -> None:
    code = (
        "from rlm_local.confine import confine_process\n"
        f"confine_process(readable=[])\n{NAME_A_THREAD}"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "PermissionError" in done.stderr


def written(monkeypatch: pytest.MonkeyPatch, *, user: int, read_only: bool) -> set[str]:
    """Where in /proc drivers may write, for a user, where the machine's is read-only or not."""
    flags = os.ST_RDONLY if read_only else 0
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    rules = places.rules(readable=(), writable=(), drivers=True)
    writing = {rule.path for rule in rules if Right.WRITE_FILE in rule.rights}
    return {str(path) for path in writing if path.is_relative_to("/proc")}


def test_nothing_of_the_machines_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, user=1000, read_only=False) == {"/proc"}
    assert written(monkeypatch, user=0, read_only=True) == {"/proc"}  # as in a container
    assert written(monkeypatch, user=0, read_only=False) == set()


@pytest.mark.parametrize(
    ("libraries", "models", "drivers"),
    [
        (["libggml-cuda.so", "libggml-cpu.so"], ["rlm-nano"], True),
        (["libggml-cuda.so"], [], False),
        (["libggml-cuda.so"], ["http://127.0.0.1:8123/v1"], False),
        (["libggml-cuda.so"], ["http://127.0.0.1:8123/v1", "rlm-nano"], True),
        (["libggml-cpu.so"], ["rlm-nano"], False),
    ],
)
def test_drivers_have_their_way_only_in_a_build_for_gpus(
    libraries: list[str], models: list[str], drivers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(wall, "confine_process", lambda **arguments: asked.update(arguments))
    monkeypatch.setattr(devices, "_libraries", lambda: libraries)
    wall.put_up([], models=models)
    assert asked["drivers"] == drivers


@pytest.mark.parametrize(
    ("landlock", "harmless", "hidden"), [(7, False, True), (7, True, False), (0, False, False)]
)
def test_it_is_known_where_the_wall_hides_a_gpu(
    landlock: int, harmless: bool, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_libraries", lambda: ["libggml-cuda.so"])
    monkeypatch.setattr(places, "proc_is_harmless", lambda: harmless)
    assert wall.hides_gpu(Wall(landlock=landlock, seccomp=True), ["rlm-nano"]) == hidden


@pytest.mark.parametrize(("hidden", "models"), [(True, ["rlm-nano"]), (True, []), (False, ["m"])])
def test_root_is_told_that_its_gpu_is_hidden(
    hidden: bool,
    models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wall, "put_up", lambda *_, **__: Wall(landlock=7, seccomp=True))
    monkeypatch.setattr(devices, "_libraries", lambda: ["libggml-cuda.so"])
    monkeypatch.setattr(places, "proc_is_harmless", lambda: not hidden)
    with click.Context(click.Command("ask"), obj=True):
        cli_wall.put_up([], models)
    told = capsys.readouterr().err
    assert (f"with {VARIABLE}=off" in told) == (hidden and bool(models))
