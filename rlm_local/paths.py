"""Where things lie on this machine: caches that can be remade, data that cannot.

`RLM_LOCAL_CACHE` and `RLM_LOCAL_DATA` override the platform's usual places.
Folders are made readable by the user only, and refused when they are someone
else's: they hold prompts, and native code that will be run.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import platformdirs

from rlm_local.errors import ConfigError

_CACHE = "RLM_LOCAL_CACHE"
_DATA = "RLM_LOCAL_DATA"


def cache_folder(name: str) -> Path:
    """The cache folder `name` ('guest', 'compiled', 'spool', …), made if missing.

    Raises ConfigError if it cannot be made or belongs to another user.
    """
    root = os.environ.get(_CACHE) or platformdirs.user_cache_path("rlm-local")
    return _private(Path(root).absolute() / name, variable=_CACHE)


def data_folder(name: str) -> Path:
    """The data folder `name` ('runs', …), made if missing; errors as `cache_folder`."""
    root = os.environ.get(_DATA) or platformdirs.user_data_path("rlm-local")
    return _private(Path(root).absolute() / name, variable=_DATA)


def size_of(folder: Path, *, on_disk: bool = False) -> int:
    """Bytes of the files in `folder`, or what they take `on_disk`; 0 if it is not there.

    What vanishes meanwhile counts nothing: others may be removing it.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(parent, name))
                total += found.st_blocks * 512 if on_disk else found.st_size
    return total


def _private(folder: Path, *, variable: str) -> Path:
    """`folder`, made if missing, with mode 0700 if others could read it before.

    One that others could write is refused: what they may have put there would be
    trusted from then on. `variable` is the environment variable that an error names
    as the way out.
    """
    hint = f"name another folder with {variable}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        owners = {found.st_uid, folder.lstat().st_uid}  # a link has an owner of its own
        if owners != {os.geteuid()}:
            raise ConfigError(f"the folder {folder} belongs to another user", hint=hint)
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"others can write to the folder {folder}, so what is in it is not trusted",
                hint=f"remove it, or {hint}",
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"the folder {folder} cannot be used: {reason}", hint=hint) from error
    return folder
