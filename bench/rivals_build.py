"""llama.cpp's own programs, built from the source that the package pins: to be compared with.

    python -m bench.rivals_build

The source distribution of llama-cpp-python carries all of llama.cpp, its tools
included. pip fetches it, its digest is compared, and `llama-batched-bench` and
`llama-server` are built in the cache folder `rivals`, with the compiler's flags that
the installed library has: about 20 minutes of one core, once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from rlm_local.paths import cache_folder

VERSION = "0.3.36"  # of llama-cpp-python, as pyproject.toml pins it
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
NAME = f"llama_cpp_python-{VERSION}"
TARGETS = ("llama-batched-bench", "llama-server")
_NICENESS = 10
# A release as the package's own build makes it. The rest only keeps out what is not needed,
# and what would be fetched: the server's pages, and TLS.
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF",
)  # fmt: skip


class Rivals(NamedTuple):
    """The built programs."""

    batched_bench: Path
    server: Path


def built() -> Rivals | None:
    """The programs, if they have been built on this machine."""
    programs = _programs()
    return programs if all(path.is_file() for path in programs) else None


def build() -> Rivals:
    """The programs, built if need be. Raises RuntimeError or CalledProcessError."""
    folder = cache_folder("rivals")
    if (done := built()) is not None:
        return done
    source = folder / NAME / "vendor" / "llama.cpp"
    if not (source / "CMakeLists.txt").is_file():
        _unpack(_fetch(folder), folder)
    configure = ["cmake", "-S", str(source), "-B", str(folder / "build"), *_OPTIONS]
    subprocess.run(configure, check=True)
    os.nice(_NICENESS)
    jobs = str(min(2, os.cpu_count() or 1))
    make = ["cmake", "--build", str(folder / "build"), "-j", jobs, "--target", *TARGETS]
    subprocess.run(make, check=True)
    if (done := built()) is None:
        raise RuntimeError(f"the build ended, and {_programs()} are not there")
    return done


def _programs() -> Rivals:
    folder = cache_folder("rivals") / "build" / "bin"
    return Rivals(*(folder / name for name in TARGETS))


def _fetch(folder: Path) -> Path:
    """The source distribution, checked."""
    path = folder / f"{NAME}.tar.gz"
    if not path.is_file():
        package = f"llama-cpp-python=={VERSION}"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary",
            "llama-cpp-python",
        ]
        subprocess.run([*pip, "-d", str(folder), package], check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        path.unlink()
        raise RuntimeError(f"{path} has the digest {digest}, not {SHA256}")
    return path


def _unpack(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    for program in build():
        print(program)
