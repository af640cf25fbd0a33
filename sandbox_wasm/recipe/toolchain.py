"""The C toolchain: zig at one pinned version, behind the names that make expects."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import cache
from recipe.errors import BuildError

ZIG_VERSION = "0.17.1"
#: lime1 is what every current engine has; SIMD is for the string functions.
TARGET = ("-target", "wasm32-wasi", "-mcpu=lime1+bulk_memory+simd128")


@dataclass(frozen=True)
class Toolchain:
    """Commands of the cross toolchain, and the environment they run in."""

    cc: Path
    ar: Path
    ranlib: Path
    environment: Mapping[str, str]


def prepare(folder: Path) -> Toolchain:
    """Zig, wrapped as cc, ar and ranlib in `folder`/bin-<version>.

    Uses `ziglang` of the running Python if it has the pinned version, else
    installs that with pip into `folder`. Raises BuildError if neither works.
    """
    zig = _importable_zig() or _installed_zig(folder)
    wrappers = folder / f"bin-{ZIG_VERSION}"
    wrappers.mkdir(exist_ok=True)
    cc, ar, ranlib = (wrappers / name for name in ("cc", "ar", "ranlib"))
    _script(cc, _CC.format(zig=shlex.quote(str(zig)), target=" ".join(TARGET)))
    _script(ar, f'exec {shlex.quote(str(zig))} ar "$@"\n')
    _script(ranlib, f'exec {shlex.quote(str(zig))} ranlib "$@"\n')
    zig_cache = str(folder / "zig-cache")
    environment = {
        **clean_environment(),
        "ZIG_GLOBAL_CACHE_DIR": zig_cache,
        "ZIG_LOCAL_CACHE_DIR": zig_cache,
    }
    return Toolchain(cc, ar, ranlib, environment)


# zig puts the stack first by itself and refuses to be told so.
_CC = """\
for argument do
  shift
  [ "$argument" = -Wl,--stack-first ] || set -- "$@" "$argument"
done
exec {zig} cc {target} "$@"
"""


def _script(path: Path, body: str) -> None:
    text = "#!/bin/sh\n" + body
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
        path.chmod(0o755)


def clean_environment() -> dict[str, str]:
    """The environment without what would change a build: compilers, flags, another make's
    or another Python's settings."""
    named = {"CC", "CPP", "CXX", "AR", "RANLIB", "LD", "LIBS", "CONFIG_SITE", "MAKELEVEL"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in named and not name.startswith("PYTHON") and not name.endswith("FLAGS")
    }


def _importable_zig() -> Path | None:
    try:
        version = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        return None
    found = importlib.util.find_spec("ziglang")
    if version != ZIG_VERSION or found is None or found.origin is None:
        return None
    return _working(Path(found.origin).with_name("zig"))


def _installed_zig(folder: Path) -> Path:
    target = folder / f"zig-{ZIG_VERSION}"
    zig = target / "ziglang" / "zig"
    if _working(zig):
        return zig
    print(f"guest: installing ziglang {ZIG_VERSION} with pip", flush=True)
    with cache.fresh_folder(target) as fresh, tempfile.TemporaryDirectory(dir=folder) as scratch:
        log = folder / "zig.log"
        log.unlink(missing_ok=True)
        options = ["install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        command = [*_pip(Path(scratch), log), *options, "--target", fresh]
        run([*command, f"ziglang=={ZIG_VERSION}"], log)
    if not _working(zig):
        raise BuildError(f"{zig} was installed, but it does not run")
    return zig


def _pip(scratch: Path, log: Path) -> list[str | Path]:
    """A pip to install with: this Python's own, or one in a new environment in `scratch`.

    A wheel's build runs in an environment without pip; `-I` looks past that one.
    """
    own: list[str | Path] = [sys.executable, "-I", "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True).returncode == 0:
        return own
    try:
        run([sys.executable, "-I", "-m", "venv", scratch / "venv"], log)
    except BuildError as error:
        raise BuildError(
            "this Python has no pip to install ziglang with",
            hint=f"install ziglang {ZIG_VERSION} yourself, or build with a Python that has pip",
        ) from error
    return [scratch / "venv" / "bin" / "python", "-m", "pip"]


def _working(zig: Path) -> Path | None:
    """`zig` if it runs and has the pinned version."""
    try:
        done = subprocess.run([zig, "version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return zig if done.stdout.strip() == ZIG_VERSION else None


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` with its output appended to `log`. Raises BuildError with the log's end."""
    words = [str(word) for word in command]
    with open(log, "a") as file:
        file.write(f"$ {shlex.join(words)}\n")
        file.flush()
        try:
            status = subprocess.run(
                words, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
            ).returncode
        except OSError as error:
            raise BuildError(f"`{words[0]}` cannot be run ({error})") from error
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise BuildError(f"`{shlex.join(words[:4])} …` failed with status {status}:\n{end}")
