"""Where llama.cpp's working memory begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_local.llama import alignment

LINUX = sys.platform == "linux" and sys.maxsize > 1 << 32
FACTS = """
import ctypes
from rlm_local.llama import alignment
alignment.load()
new = ctypes.CDLL(None)._Znam
new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
for size in (4096, 4097, 131_073, 1 << 20, 40 << 20):
    block = new(size)
    ctypes.memset(block, 1, size)
    print(block % 64, end=" ")
    libc.free(block)
for size in (0, 1, 4095):
    block = new(size)
    print(bool(block), end=" ")
    libc.free(block)
"""
DECODES = """
import sys
from pathlib import Path
import rlm_local.llama.bindings
import numpy as np
from rlm_local.llama.native import Loading, Native
how = Loading(cells=256, batch_tokens=64, threads=2, flash=True, mapped=True)
native = Native(Path(sys.argv[1]), how)
native.add(0, np.arange(40, dtype=np.int32), 0, output=1)
native.decode()
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(not LINUX, reason="built for Linux alone")
def test_large_blocks_begin_at_a_cache_line_and_small_ones_are_there() -> None:
    assert run(FACTS).stdout.split() == ["0"] * 5 + ["True"] * 3


@pytest.mark.skipif(not LINUX, reason="built for Linux alone")
def test_llama_takes_its_working_memory_from_there(tiny_path: Path) -> None:
    """As the dynamic linker tells it, when a batch is computed."""
    told = run(DECODES, str(tiny_path), LD_DEBUG="bindings").stderr
    bound = [line for line in told.splitlines() if "libggml-cpu" in line and "_Znam" in line]
    assert bound
    assert all(f"{alignment.NAME} [0]: normal symbol" in line for line in bound)


@pytest.mark.parametrize("there", ["nothing", "no library"])
def test_without_it_nothing_is_lost(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there == "no library":
        (tmp_path / alignment.FOLDER).mkdir()
        (tmp_path / alignment.FOLDER / alignment.NAME).write_text("of another machine")
    monkeypatch.setattr("rlm_local.__path__", [str(tmp_path)])
    alignment.load()
