"""Tampered caches: a file that runs as native code, or as a Python that has started.

A cache that others can write is refused. Damage is found, and the file made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_local.errors import ConfigError, SandboxError
from rlm_local.paths import cache_folder, data_folder
from rlm_local.wasm import WasmSandbox
from rlm_local.wasm.guest import check_private
from tests.attacks.suite import World
from tests.wasm.prompts import TextPrompt

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def cache(world: World, guest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, with what has been compiled and snapshot of this guest."""
    with WasmSandbox(guest_path) as sandbox:
        sandbox.prepare()
    root = tmp_path / "cache"
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(root))
    for kind in ("compiled", "snapshot"):
        kept = kept_in(world.root / "cache", kind, guest_path)
        shutil.copyfile(kept, cache_folder(kind) / kept.name)
        (cache_folder(kind) / kept.name).chmod(0o600)
    return root


def kept_in(cache: Path, kind: str, guest_path: Path) -> Path:
    """The file of this very guest."""
    digest = hashlib.sha256(guest_path.read_bytes()).hexdigest()[:32]
    (path,) = (cache / kind).glob(f"{digest}*")
    return path


def starts(guest_path: Path, folder: Path) -> str:
    """A sandbox over the cache; what one and one is."""
    with WasmSandbox(guest_path) as sandbox:
        prompt = TextPrompt(folder / "prompt", ["text"])
        with sandbox.repl(
            prompt,  # type: ignore[arg-type]
            question="", host=lambda name, arguments: None, functions=(),
            memory_bytes=72 << 20, output_chars=100,
        ) as repl:  # fmt: skip
            return str(repl.execute("1 + 1", deadline=1e12, cell_seconds=60).value)


def _open(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def _link(path: Path) -> None:
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _stranger(path: Path) -> None:
    os.chown(path, 12345, 12345)


UNTRUSTED = {
    "writable by the group": _open(0o620),
    "writable by all": _open(0o602),
    "open to all": _open(0o666),
    "a link": _link,
    "a folder": _folder,
    "a pipe": _pipe,
    **({"someone else's": _stranger} if AS_ROOT else {}),
}


@pytest.mark.parametrize("kind", ["compiled", "snapshot"])
@pytest.mark.parametrize("tamper", UNTRUSTED.values(), ids=UNTRUSTED.keys())
def test_a_file_that_others_could_write_is_refused(
    cache: Path, guest_path: Path, tmp_path: Path, kind: str, tamper: Callable[[Path], None]
) -> None:
    tamper(kept_in(cache, kind, guest_path))
    with pytest.raises(SandboxError, match="is not trusted") as refused:
        starts(guest_path, tmp_path)
    assert "remove it" in refused.value.hint


DAMAGE = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "another head": lambda data: b"\0" * 65536 + data[65536:],
    "noise": lambda data: bytes(range(256)) * 1000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_snapshot_is_made_again(
    cache: Path, guest_path: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = kept_in(cache, "snapshot", guest_path)
    path.write_bytes(damage(path.read_bytes()))
    assert starts(guest_path, tmp_path) == "2"
    check_private(path)


FOLDERS = {
    "writable by the group": 0o770,
    "writable by all": 0o707,
    "open to all": 0o777,
    "open to all but sticky": 0o1777,
}


@pytest.mark.parametrize("kind", ["compiled", "snapshot", "spool", "guest"])
@pytest.mark.parametrize("mode", FOLDERS.values(), ids=FOLDERS.keys())
def test_a_cache_folder_that_others_could_write_is_refused(
    cache: Path, kind: str, mode: int
) -> None:
    """Making it private now would not undo what was put there before."""
    folder = cache_folder(kind)
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="others can write") as refused:
        cache_folder(kind)
    assert "RLM_LOCAL_CACHE" in refused.value.hint
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_a_data_folder_that_others_could_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    data_folder("runs").chmod(0o777)
    with pytest.raises(ConfigError, match="others can write"):
        data_folder("runs")


def test_a_folder_that_others_can_read_is_made_private(cache: Path) -> None:
    folder = cache_folder("spool")
    folder.chmod(0o755)
    assert stat.S_IMODE(cache_folder("spool").stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="gives files away")
def test_someone_else_s_folder_is_refused(cache: Path) -> None:
    os.chown(cache_folder("spool"), 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        cache_folder("spool")


@pytest.mark.skipif(not AS_ROOT, reason="gives files away")
def test_someone_else_s_link_to_our_own_folder_is_refused(cache: Path, tmp_path: Path) -> None:
    """A link can be turned to any folder of ours by who made it."""
    ours = tmp_path / "ours"
    ours.mkdir(mode=0o700)
    cache_folder("spool").rmdir()
    (cache / "spool").symlink_to(ours)
    assert cache_folder("spool") == cache / "spool"  # the user's own link is fine
    os.chown(cache / "spool", 12345, 12345, follow_symlinks=False)
    with pytest.raises(ConfigError, match="belongs to another user"):
        cache_folder("spool")
