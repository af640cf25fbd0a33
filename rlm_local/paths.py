"""Where things lie on this machine: caches that can be remade, data that cannot.

`RLM_LOCAL_CACHE` and `RLM_LOCAL_DATA` override the platform's usual places.
Folders are made readable by the user only: they hold prompts, and native code
that will be run.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path:
    """The cache folder `name` ('guest', 'compiled', 'spool', …), made if missing."""
    root = os.environ.get("RLM_LOCAL_CACHE") or platformdirs.user_cache_path("rlm-local")
    return _private(Path(root) / name)


def data_folder(name: str) -> Path:
    """The data folder `name` ('runs', …), made if missing."""
    root = os.environ.get("RLM_LOCAL_DATA") or platformdirs.user_data_path("rlm-local")
    return _private(Path(root) / name)


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
