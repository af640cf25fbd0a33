"""`ask` opens no socket: under a kernel filter that kills whoever asks for one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import no_sockets

pytestmark = pytest.mark.skipif(not no_sockets.SUPPORTED, reason="needs Linux's seccomp")
UNDER_BAN = [sys.executable, str(Path(no_sockets.__file__))]


def test_the_ban_kills() -> None:
    """The proof that the next test can fail."""
    done = subprocess.run([*UNDER_BAN, sys.executable, "-c", "import socket; socket.socket()"])
    assert done.returncode == -signal.SIGSYS


def test_ask_runs_under_the_ban(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("It rained all day.\n" * 5_000 + "The access code for the mill is 8402915.\n")
    done = subprocess.run(
        [*UNDER_BAN, sys.executable, "-m", "rlm_local", "ask", "--json",
         "What is the access code for the mill?", str(text)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    usage = json.loads(done.stdout)["usage"]
    assert usage["turns"] >= 1
    assert usage["completion_tokens"] > 0
