"""llama.cpp's working memory begins at a cache line: seen to before it is loaded.

Its processor backend takes the memory for what a batch computes on the way from `operator new[]`,
and on Linux gets blocks that begin 16 bytes behind a page. Then every wide load touches two cache
lines, and a batch behind a few thousand cells takes a fifth longer (`python -m bench.alignment`).
`aligned_new.c` is that operator, aligned; libraries that are loaded later find it first. It is
built for Linux alone. Elsewhere, and where it could not be built, nothing is lost but that fifth.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import rlm_local

FOLDER, NAME = "_lib", "librlm_aligned_new.so"


def find() -> Path | None:
    """The library, if it was built."""
    # Of two places, since an editable install keeps what is built apart from the sources.
    built = (Path(folder) / FOLDER / NAME for folder in rlm_local.__path__)
    return next((path for path in built if path.is_file()), None)


def load() -> None:
    """Have what is loaded from now on take its memory from there."""
    if path := find():
        with contextlib.suppress(OSError):  # of another machine: a copied environment, say
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
