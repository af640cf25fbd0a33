"""A build Python: CPython's cross build runs one of its own minor version.

One that the machine has is used; otherwise the same source is built natively
first, as CPython's own wasm recipe does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recipe import cache, source
from recipe.errors import BuildError
from recipe.toolchain import clean_environment, run

MINOR = ".".join(source.VERSION.split(".")[:2])
_PROBE = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"


def build_python(folder: Path, archive: Path, *, named: str, jobs: int) -> Path:
    """A Python that can build the guest.

    `named`: 'auto' to look for one and build it if there is none, 'build' to
    build it in any case, or the path of one. Raises BuildError.
    """
    if named not in ("auto", "build"):
        if not _fits(Path(named)):
            raise BuildError(
                f"{named} does not run, or is not CPython {MINOR}",
                hint=f"name a CPython {MINOR}, or leave the choice to the build",
            )
        return Path(named)
    if named == "auto":
        for candidate in _candidates():
            if _fits(candidate):
                return candidate
    return _built(folder, archive, jobs)


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and (path := Path(folder) / f"python{MINOR}").is_file():
            yield path
    # pyenv's shims on the path run only if that version is the chosen one.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in sorted(pyenv.glob(f"versions/{MINOR}.*"), reverse=True):
        yield version / "bin" / f"python{MINOR}"


def _fits(python: Path) -> bool:
    """Whether it really runs and is CPython of the wanted minor version."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.split() == [MINOR, "cpython"]


def _built(folder: Path, archive: Path, jobs: int) -> Path:
    key = cache.digest_of({"source": source.SHA256, "what": "build Python", "recipe": 1})
    final = folder / f"native-{key}"
    python = final / "bin" / f"python{MINOR}"
    if _runs(python):
        return python
    if not (shutil.which("cc") and shutil.which("make")):
        raise BuildError(
            f"there is no Python {MINOR} here, and no C compiler with make to build one",
            hint=f"install python{MINOR}, or a C compiler and make",
        )
    print(f"guest: building a native Python {source.VERSION} to build with (minutes)", flush=True)
    log = folder / "native.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".native-") as name:
        tree = source.unpack(archive, Path(name))
        # It only compiles and runs scripts: no extension that needs a library of the machine.
        configure = ["./configure", "-q", f"--prefix={final}", "--disable-test-modules"]
        environment = {**clean_environment(), "CFLAGS": "-O1 -g0"}
        run([*configure, "--without-ensurepip"], log, folder=tree, environment=environment)
        run(["make", f"-j{jobs}", "altinstall"], log, folder=tree, environment=environment)
    if not _runs(python):
        raise BuildError(f"{python} was built, but it does not run", hint=f"see {log}")
    return python


def _runs(python: Path) -> bool:
    return python.is_file() and _fits(python)
