"""The last step: the glue and the frozen modules compiled, and all linked as a reactor."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recipe import cache, cpython
from recipe.cpython import Libpython
from recipe.toolchain import Toolchain, run

HERE = Path(__file__).resolve().parent
GLUE = HERE.parent / "glue"
BOOTSTRAP = HERE.parent / "bootstrap.py"
_FREEZE = HERE / "freeze.py"

CFLAGS = (
    "-std=gnu23",
    "-O3",
    "-g0",
    "-Wall",
    "-Werror",
    "-fno-sanitize=all",
    "-fno-stack-protector",
    # Interrupt flags and the thread state are the interpreter's internals.
    "-DPy_BUILD_CORE",
)
LDFLAGS = (
    "-mexec-model=reactor",
    "-s",
    "-Wl,-z,stack-size=8388608",
    # A snapshot is memory and this one global.
    "-Wl,--export=__stack_pointer",
    "-lwasi-emulated-signal",
    "-lwasi-emulated-getpid",
    "-lwasi-emulated-process-clocks",
    "-lm",
)


def key() -> str:
    """What identifies a guest: SHA-256 over libpython's key and all that is linked to it."""
    inputs = sorted([*GLUE.rglob("*.[ch]"), *_own_modules().values(), _FREEZE])
    return cache.digest_of(
        {
            "libpython": cpython.key(),
            "cflags": CFLAGS,
            "ldflags": LDFLAGS,
            "files": [
                [path.relative_to(HERE.parent).as_posix(), cache.file_digest(path)]
                for path in inputs
            ],
        }
    )


def link(folder: Path, libpython: Libpython, toolchain: Toolchain, build_python: Path) -> Path:
    """Link guest.wasm into the cache `folder` under its key; its path. Raises BuildError."""
    frozen = _frozen_stdlib(folder, libpython, build_python)
    final = folder / key()
    log = folder / "link.log"
    log.unlink(missing_ok=True)
    print("guest: compiling the glue and linking", flush=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".link-") as name:
        for module, source in _own_modules().items():
            frozen_module = Path(name) / f"{source.stem}.bin"
            run([build_python, "-I", _FREEZE, "module", source, module, frozen_module], log)
        with cache.fresh_folder(final) as fresh:
            command: list[str | Path] = [toolchain.cc, *CFLAGS]
            command += [f"-I{path}" for path in (*libpython.include, frozen)]
            command += [f"--embed-dir={path}" for path in (frozen, name)]
            command += [*_sources(), *libpython.libraries, *LDFLAGS]
            command += ["-o", fresh / "guest.wasm"]
            run(command, log, environment=toolchain.environment)
    return final / "guest.wasm"


def _own_modules() -> dict[str, Path]:
    """Our Python in the guest, by the names that it is imported under."""
    return {
        "_rlm_bootstrap": BOOTSTRAP,
        "_rlm_calls": BOOTSTRAP.with_name("calls.py"),
        "_rlm_documents": BOOTSTRAP.with_name("documents.py"),
        "_rlm_helpers": BOOTSTRAP.with_name("helpers.py"),
        "_rlm_packages": BOOTSTRAP.with_name("packages.py"),
        "_rlm_shown": BOOTSTRAP.with_name("shown.py"),
        "_rlm_tasks": BOOTSTRAP.with_name("tasks.py"),
    }


def _sources() -> list[Path]:
    # What replaces libc's own goes first: an archive's object that has been taken for
    # one of its symbols clashes with a later definition of another.
    return [*sorted(GLUE.glob("libc/*.c")), *sorted(GLUE.glob("*.c"))]


def _frozen_stdlib(folder: Path, libpython: Libpython, build_python: Path) -> Path:
    """The folder with the standard library's bytecode; kept, as it takes some seconds."""
    key = cache.digest_of({"libpython": libpython.key, "freeze": cache.file_digest(_FREEZE)})
    final = folder / f"stdlib-{key}"
    if not final.is_dir():
        print("guest: compiling the standard library to bytecode", flush=True)
        with cache.fresh_folder(final) as fresh:
            command: list[str | Path] = [
                build_python,
                "-I",
                _FREEZE,
                "stdlib",
                libpython.stdlib,
                fresh,
            ]
            run(command, folder / "stdlib.log")
    return final
