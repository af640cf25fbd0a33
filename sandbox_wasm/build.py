"""Build the guest: CPython as a WebAssembly module.

`python sandbox_wasm/build.py --out guest.wasm` needs no more than Python 3.11 or
later and the usual C build tools; the cross compiler (zig) comes with pip, the
source from where this machine can get it. The first build takes minutes; the
result is kept in the build cache, keyed by everything that goes into it, and a
change of the glue or the bootstrap relinks in seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from recipe import cache, cpython, link, native, source, toolchain
from recipe.errors import BuildError


def build(*, source_path: Path | None, build_python: str, jobs: int) -> Path:
    """The guest's path in the build cache, built if need be. Raises BuildError."""
    folder = cache.root()
    with cache.lock(folder):
        kept = folder / link.key() / "guest.wasm"
        if kept.is_file():
            print(f"guest: found in the build cache ({kept.parent.name})", flush=True)
            os.utime(kept)  # it is in use: not one of the oldest
        else:
            cache.tidy(folder)
            archive = source.tarball(folder, source_path)
            tools = toolchain.prepare(folder)
            python = native.build_python(folder, archive, named=build_python, jobs=jobs)
            print(f"guest: building with {python}", flush=True)
            libpython = cpython.libpython(folder, archive, tools, python, jobs)
            kept = link.link(folder, libpython, tools, python)
        # For those who look for a guest without this recipe at hand.
        cache.write_text(folder / "current", kept.parent.name)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the guest: CPython as a WebAssembly module")
    parser.add_argument("--out", type=Path, metavar="FILE", help="copy the guest there")
    parser.add_argument(
        "--source",
        type=Path,
        metavar="FILE",
        default=os.environ.get("RLM_LOCAL_CPYTHON_SOURCE") or None,
        help=f"{source.NAME}, if you have it (or RLM_LOCAL_CPYTHON_SOURCE)",
    )
    parser.add_argument(
        "--build-python",
        metavar="WHICH",
        default=os.environ.get("RLM_LOCAL_BUILD_PYTHON") or "auto",
        help=f"a Python {native.MINOR} to build with; 'build' to build one; 'auto' (the default) "
        "to look for one first (or RLM_LOCAL_BUILD_PYTHON)",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=os.cpu_count() or 1, help="compilers at a time"
    )
    options = parser.parse_args()
    started = time.monotonic()
    try:
        guest = build(
            source_path=Path(options.source) if options.source else None,
            build_python=options.build_python,
            jobs=options.jobs,
        )
        if options.out is not None:
            cache.copy_file(guest, options.out)
    except BuildError as error:
        print(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return 1
    except OSError as error:  # no room, or no right to write
        print(f"error: the build failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        return 130
    size = guest.stat().st_size / 1e6
    print(f"guest: {options.out or guest} ({size:.1f} MB, {time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
