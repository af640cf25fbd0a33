"""The build cache: where it lies, one build at a time, whole files or none.

It is the `guest` folder of the package's cache (`RLM_LOCAL_CACHE`, else the
platform's user cache), outside the clone, so that a second clone, a wheel and
an editable install share one build.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from recipe.errors import BuildError


def root() -> Path:
    """The build cache's folder, made if missing, readable by the user only.

    Raises BuildError if builds cannot work there.
    """
    named = os.environ.get("RLM_LOCAL_CACHE")
    folder = (Path(named).absolute() if named else _platform_cache() / "rlm-local") / "guest"
    if any(character.isspace() for character in str(folder)):
        raise BuildError(
            f"the build cache {folder} has a space in its path, which make cannot cope with",
            hint="name another folder with RLM_LOCAL_CACHE",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _platform_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules: a relative path is to be ignored.
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the build cache; a second build waits here, and then finds the first one's work."""
    with open(folder / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("guest: another build holds the cache; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tidy(folder: Path, *, keep: int = 4) -> None:
    """Remove what builds that were killed have left, and all but the newest `keep` guests
    and libraries. Only while the cache is held by `lock`."""
    for path in folder.glob(".*"):
        shutil.rmtree(path, ignore_errors=True)
    for results in (
        folder.glob("*/guest.wasm"),
        folder.glob("libpython-*"),
        folder.glob("stdlib-*"),
    ):
        newest_first = sorted(results, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest_first[keep:]:
            shutil.rmtree(path.parent if path.is_file() else path, ignore_errors=True)


def digest_of(facts: Mapping[str, object]) -> str:
    """A key: SHA-256 over `facts`, as canonical JSON, in hex; 16 bytes are plenty."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def fresh_folder(final: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `final` if the block ends well, else it is removed.

    It is made beside `final`: the rename that publishes it is atomic.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        yield folder
        if final.exists():  # left by a build whose key was the same but which was incomplete
            shutil.rmtree(final)
        folder.rename(final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with _replacing(path) as temporary:
        temporary.write_text(text)


def copy_file(source: Path, target: Path) -> None:
    """Copy `source` to `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(target) as temporary:
        shutil.copyfile(source, temporary)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
