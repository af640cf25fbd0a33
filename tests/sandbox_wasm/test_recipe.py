"""The recipe's parts that need no compiler: cache, keys, the choice of tools."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox_wasm.conftest import SANDBOX

sys.path.insert(0, str(SANDBOX))

from recipe import cache, cpython, link, native, toolchain
from recipe.errors import BuildError

# ------------------------------------------------------------------------------- cache


def test_the_cache_lies_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "mine"))
    assert cache.root() == tmp_path / "mine" / "guest"
    assert stat.S_IMODE(cache.root().stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "darwin", reason="XDG is not for macOS")
def test_otherwise_by_the_xdg_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLM_LOCAL_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "rlm-local" / "guest"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == tmp_path / ".cache" / "rlm-local" / "guest"


def test_the_package_looks_for_the_cache_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlm_local.paths import cache_folder

    assert cache.root() == cache_folder("guest")
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path))
    assert cache.root() == cache_folder("guest")


def test_a_folder_that_could_not_be_filled_leaves_nothing(tmp_path: Path) -> None:
    final = tmp_path / "final"

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise BuildError("no")

    with pytest.raises(BuildError), cache.fresh_folder(final) as fresh:
        fail(fresh)
    assert list(tmp_path.iterdir()) == []
    with cache.fresh_folder(final) as fresh:
        (fresh / "whole").write_text("x")
    assert [path.name for path in final.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [final]


def test_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "out" / "guest.wasm"
    with pytest.raises(FileNotFoundError):
        cache.copy_file(tmp_path / "missing", target)
    assert list(target.parent.iterdir()) == []
    (tmp_path / "guest").write_bytes(b"wasm")
    cache.copy_file(tmp_path / "guest", target)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == b"wasm"


def test_a_second_build_waits_for_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom recipe import cache\n"
        "with cache.lock(Path(sys.argv[2])): print('held', flush=True); time.sleep(0.3)\n"
    )
    command = [sys.executable, "-c", code, str(SANDBOX), str(tmp_path)]
    with cache.lock(tmp_path):
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert "waiting" in second.stdout.readline()
    assert second.communicate(timeout=30)[0] == "held\n"


# -------------------------------------------------------------------------------- keys


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of sandbox_wasm that the keys are taken of."""
    copy = tmp_path / "sandbox_wasm"
    shutil.copytree(SANDBOX, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(link, "HERE", copy / "recipe")
    monkeypatch.setattr(link, "GLUE", copy / "glue")
    monkeypatch.setattr(link, "BOOTSTRAP", copy / "bootstrap.py")
    monkeypatch.setattr(link, "_FREEZE", copy / "recipe" / "freeze.py")
    return copy


@pytest.mark.parametrize(
    "name",
    [
        "glue/guest.c",
        "glue/mailbox.h",
        "glue/libc/wasi.c",
        "bootstrap.py",
        "shown.py",
        "calls.py",
        "tasks.py",
        "documents.py",
        "helpers.py",
        "recipe/freeze.py",
    ],
)
def test_a_change_of_what_is_linked_changes_the_guests_key_only(copied: Path, name: str) -> None:
    guest, libpython = link.key(), cpython.key()
    path = copied / name
    path.write_text(path.read_text() + "\n")
    assert link.key() != guest
    assert cpython.key() == libpython


def test_the_key_does_not_depend_on_where_the_clone_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: Path
) -> None:
    before = link.key()
    moved = copied.rename(tmp_path / "moved")
    monkeypatch.setattr(link, "HERE", moved / "recipe")
    monkeypatch.setattr(link, "GLUE", moved / "glue")
    monkeypatch.setattr(link, "BOOTSTRAP", moved / "bootstrap.py")
    monkeypatch.setattr(link, "_FREEZE", moved / "recipe" / "freeze.py")
    assert link.key() == before


@pytest.mark.parametrize("name", ["CFLAGS", "CONFIGURE", "CONFIG_SITE", "TARGET", "ZIG_VERSION"])
def test_a_change_of_how_libpython_is_built_changes_both_keys(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    guest, libpython = link.key(), cpython.key()
    monkeypatch.setattr(cpython, name, "another")
    assert cpython.key() != libpython
    assert link.key() != guest


# ------------------------------------------------------------------------------- tools


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


class TestBuildPython:
    @pytest.fixture(autouse=True)
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine with nothing on it."""
        monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
        monkeypatch.setenv("PATH", f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}")
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))

    def find(self, tmp_path: Path, named: str = "auto") -> Path:
        return native.build_python(tmp_path / "cache", tmp_path / "none", named=named, jobs=1)

    def test_what_does_not_run_or_is_another_version_is_passed_over(self, tmp_path: Path) -> None:
        script(
            tmp_path / "a" / "python3.13", "echo 'pyenv: python3.13: command not found'; exit 127"
        )
        script(tmp_path / "b" / "python3.13", "echo 3.12 cpython")
        other = script(tmp_path / "pyenv/versions/3.13.0/bin/python3.13", "echo 3.13 pypy")
        good = script(tmp_path / "pyenv/versions/3.13.1/bin/python3.13", "echo 3.13 cpython")
        assert self.find(tmp_path) == good
        good.unlink()
        other.write_text("#!/bin/sh\necho 3.13 cpython\n")
        assert self.find(tmp_path) == other

    def test_a_named_one_must_fit(self, tmp_path: Path) -> None:
        good = script(tmp_path / "good", "echo 3.13 cpython")
        assert self.find(tmp_path, str(good)) == good
        with pytest.raises(BuildError, match=r"is not CPython 3\.13"):
            self.find(tmp_path, str(script(tmp_path / "bad", "echo 3.11 cpython")))
        with pytest.raises(BuildError, match="does not run"):
            self.find(tmp_path, str(tmp_path / "missing"))

    def test_without_a_compiler_none_can_be_built(self, tmp_path: Path) -> None:
        (tmp_path / "cache").mkdir()
        with pytest.raises(BuildError, match="no C compiler"):
            self.find(tmp_path)


class TestToolchain:
    def test_the_compiler_is_not_told_what_zig_refuses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zig = script(tmp_path / "zig", 'for a; do echo "<$a>"; done')
        monkeypatch.setattr(toolchain, "_importable_zig", lambda: zig)
        tools = toolchain.prepare(tmp_path)
        command = [tools.cc, "-c", "a b", "-Wl,--stack-first", "-o", "x"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = ["cc", *toolchain.TARGET, "-c", "a b", "-o", "x"]
        assert out.splitlines() == [f"<{word}>" for word in words]

    def test_an_importable_zig_of_another_version_is_not_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(toolchain.importlib.metadata, "version", lambda name: "0.1")
        assert toolchain._importable_zig() is None

    def test_a_failed_command_says_which_and_how(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="status 3") as caught:
            toolchain.run(["sh", "-c", "echo the reason; exit 3"], tmp_path / "log")
        assert "the reason" in str(caught.value)
        with pytest.raises(BuildError, match="cannot be run"):
            toolchain.run([tmp_path / "missing"], tmp_path / "log")


# ------------------------------------------------------------------------------- build


def run_build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SANDBOX / "build.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.usefixtures("guest_path")
def test_a_build_whose_inputs_are_cached_only_copies(tmp_path: Path, guest_path: Path) -> None:
    done = run_build("--out", str(tmp_path / "guest.wasm"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "guest.wasm").read_bytes() == guest_path.read_bytes()
    assert "found in the build cache" in done.stdout
    assert (cache.root() / "current").read_text() == guest_path.parent.name


def test_a_build_that_cannot_be_says_why_and_what_to_try(tmp_path: Path) -> None:
    done = run_build("--source", str(tmp_path / "none"), RLM_LOCAL_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "there is no file" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
