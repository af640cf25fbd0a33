"""What a GPU's driver needs of a confined process, as far as that can be seen without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_local.confine import places
from rlm_local.confine.landlock import USE_DEVICE
from tests.confine.runner import ROOT, offered

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
