"""What a training run comes of beside its plan: the rows it learns from, and the code."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from models.nano.folders import HERE
from models.nano.samples import Row


class Data(NamedTuple):
    """Rows by what they are: equal for the same dialogues by the same tokenizer."""

    rows: int
    tokens: int
    digest: str


def data(rows: Iterable[Row]) -> Data:
    """What tells these rows, in their order, from others."""
    whole, count, tokens = hashlib.blake2b(digest_size=16), 0, 0
    for row in rows:
        whole.update(np.ascontiguousarray(row.tokens, np.int32).tobytes())
        whole.update(np.ascontiguousarray(row.weight, np.float32).tobytes())
        whole.update(repr((row.question, row.cells, row.name)).encode())
        count, tokens = count + 1, tokens + len(row.tokens)
    return Data(count, tokens, whole.hexdigest())


def commit() -> str:
    """The commit that is checked out, and whether files differ from it; "unknown" without git."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head} with changes" if changed else head


def _git(*words: str) -> str:
    done = subprocess.run(("git", *words), cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.strip()
