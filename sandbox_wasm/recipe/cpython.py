"""CPython cross-compiled: configure, then libpython and the libraries inside it.

The result depends on the source and on the flags below only, not on our glue or
bootstrap: those relink in seconds.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recipe import cache, source
from recipe.errors import BuildError
from recipe.toolchain import TARGET, ZIG_VERSION, Toolchain, run

HOST = "wasm32-wasip1"
# Link-time optimization was tried: 5-10 % faster loops, twice the time to build and to compile.
CONFIGURE = ("--disable-test-modules", "--with-pymalloc", "--without-mimalloc")
CFLAGS = (
    "-g0",
    # zig's cc turns these on for builds that do not say.
    "-fno-sanitize=all",
    "-fno-stack-protector",
    # WASI's headers lack it, and socketmodule.c names it.
    "-DSOCK_RAW=3",
    "-Wno-date-time",
)
#: What zig's musl headers promise and WASI lacks.
CONFIG_SITE = (
    "ac_cv_func_mmap=no",
    "ac_cv_func_epoll_create=no",
    "ac_cv_func_epoll_create1=no",
    "ac_cv_func_timerfd_create=no",
    "ac_cv_func_setgroups=no",
    "ac_cv_header_sys_timerfd_h=no",
    "ac_cv_header_libintl_h=no",
)
#: Static libraries of the build tree that the guest links, relative to it.
LIBRARIES = (
    f"libpython{'.'.join(source.VERSION.split('.')[:2])}.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
    "Modules/_hacl/libHacl_Hash_SHA2.a",
    "Modules/expat/libexpat.a",
)
#: Raise it when the steps below change in a way that the constants do not show.
_RECIPE = 2
#: The day of the release, for __DATE__: the same inputs make the same guest.
_SOURCE_DATE_EPOCH = "1749600000"


@dataclass(frozen=True)
class Libpython:
    """`include`: header folders; `libraries`: archives to link; `stdlib`: the `Lib` folder."""

    key: str
    include: tuple[Path, ...]
    libraries: tuple[Path, ...]
    stdlib: Path


def key() -> str:
    """What identifies a libpython: SHA-256 over all that goes into it."""
    return cache.digest_of(
        {
            "source": source.SHA256,
            "zig": ZIG_VERSION,
            "target": TARGET,
            "host": HOST,
            "configure": CONFIGURE,
            "cflags": CFLAGS,
            "config_site": CONFIG_SITE,
            "recipe": _RECIPE,
        }
    )


def libpython(
    folder: Path, archive: Path, toolchain: Toolchain, build_python: Path, jobs: int
) -> Libpython:
    """The cross-built CPython, from the cache `folder` or built into it. Raises BuildError."""
    final = folder / f"libpython-{key()}"
    if not final.is_dir():
        _build(folder, final, archive, toolchain, build_python, jobs)
    return Libpython(
        key=key(),
        include=(final / "Include", final / "Include" / "internal", final),
        libraries=tuple(final / Path(name).name for name in LIBRARIES),
        stdlib=final / "Lib",
    )


def _build(
    folder: Path,
    final: Path,
    archive: Path,
    toolchain: Toolchain,
    build_python: Path,
    jobs: int,
) -> None:
    log = folder / "libpython.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".cpython-") as name:
        print(f"guest: unpacking CPython {source.VERSION}", flush=True)
        tree = source.unpack(archive, Path(name))
        build = Path(name) / "build"
        build.mkdir()
        environment = {**toolchain.environment, **_settings(tree, build, toolchain)}
        print("guest: configuring CPython (a minute or two)", flush=True)
        configure: list[str | Path] = [
            # By a relative path, which is what __FILE__ will say: not where this build was.
            Path("..") / tree.name / "configure",
            "-q",
            f"--host={HOST}",
            f"--build={_build_triple(tree)}",
            f"--with-build-python={build_python}",
            *CONFIGURE,
        ]
        run(configure, log, folder=build, environment=environment)
        print(f"guest: compiling CPython with {jobs} jobs (minutes)", flush=True)
        run(["make", f"-j{jobs}", *LIBRARIES], log, folder=build, environment=environment)
        with cache.fresh_folder(final) as fresh:
            _keep(tree, build, fresh)


def _settings(tree: Path, build: Path, toolchain: Toolchain) -> dict[str, str]:
    """The environment of configure and make."""
    site = build / "config.site"
    upstream = tree / "Tools" / "wasm" / "config.site-wasm32-wasi"
    site.write_text(f". {upstream}\n" + "".join(f"{line}\n" for line in CONFIG_SITE))
    return {
        "CC": str(toolchain.cc),
        "AR": str(toolchain.ar),
        "RANLIB": str(toolchain.ranlib),
        "CFLAGS": " ".join(CFLAGS),
        "CONFIG_SITE": str(site),
        # No library of this machine is to be found.
        "PKG_CONFIG_LIBDIR": str(build / "nowhere"),
        "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH,
    }


def _keep(tree: Path, build: Path, kept: Path) -> None:
    shutil.copytree(tree / "Include", kept / "Include")
    shutil.copytree(
        tree / "Lib", kept / "Lib", ignore=shutil.ignore_patterns("test", "__pycache__")
    )
    for name in ("pyconfig.h", *LIBRARIES):
        shutil.copy(build / name, kept)


def _build_triple(tree: Path) -> str:
    try:
        guess = subprocess.run([tree / "config.guess"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"this machine's kind is not known to config.guess ({error})") from error
    return guess.stdout.strip()
