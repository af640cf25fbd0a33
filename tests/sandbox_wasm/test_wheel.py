"""The wheel carries what is built, and suits every Python of one platform."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rlm_local.llama import alignment
from tests.sandbox_wasm.conftest import SANDBOX

ROOT = SANDBOX.parent
NOT_SOURCES = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "out", "work")


@pytest.mark.slow
def test_the_wheel_holds_what_is_built(tmp_path: Path, guest_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, tree]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")  # there is machine code in it
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("rlm_local/_guest/guest.wasm") == guest_path.read_bytes()
        names = archive.namelist()
        assert not [name for name in names if "sandbox_wasm" in name or name.endswith(".c")]
        if sys.platform == "linux":
            assert f"rlm_local/{alignment.FOLDER}/{alignment.NAME}" in names


def test_the_guest_does_not_say_where_it_was_built(guest_path: Path) -> None:
    from recipe import cache

    wasm = guest_path.read_bytes()
    for trace in (str(cache.root()), str(ROOT)):
        assert trace.encode() not in wasm, trace
