"""Servers that others have written, started on this machine for a test.

llama-cpp-python brings one; llama.cpp's own is used where it has been built: in the cache
folder `rivals`, as `bench.rivals_build` does it, or where RLM_LOCAL_LLAMA_SERVER says.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlm_local.paths import cache_folder

NANO = Path(__file__).parents[2] / "models" / "nano" / "rlm-nano.gguf"
WINDOW = 2_048
_START_SECONDS = 240.0


def llama_server() -> Path | None:
    """llama.cpp's own server, if it has been built."""
    named = os.environ.get("RLM_LOCAL_LLAMA_SERVER")
    path = Path(named) if named else cache_folder("rivals") / "build" / "bin" / "llama-server"
    return path if path.is_file() else None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


def command(kind: str, model: Path, port: int, window: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if kind == "llama.cpp":
        # Its slots share the cells of one cache, so each can have the whole window.
        slots = ["--parallel", "4", "--kv-unified", "--ctx-size", str(window)]
        return [
            str(llama_server()), "--model", str(model), "--alias", model.stem, *where,
            *slots, "--threads", "1",
        ]  # fmt: skip
    return [
        *(sys.executable, "-m", "tests.remote.llama_cpp_server", "--model", str(model)),
        *("--model_alias", model.stem, *where, "--n_ctx", str(window), "--n_threads", "1"),
        *("--interrupt_requests", "false"),
    ]


@contextmanager
def running(
    kind: str, model: Path, *, port: int, log: Path, window: int = WINDOW
) -> Iterator[subprocess.Popen[bytes]]:
    """The server of this kind, ready to answer."""
    with log.open("ab") as written:
        process = subprocess.Popen(
            command(kind, model, port, window),
            stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert process.poll() is None, log.read_text()[-3_000:]
            assert time.monotonic() < until, log.read_text()[-3_000:]
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
