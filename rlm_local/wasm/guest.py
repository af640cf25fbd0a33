"""The guest module: where it is found, and its compiled form.

Compiling takes some ten seconds, once; the native code is kept in a cache that
only the user can write, because it is run as it is. Its name carries all that
it depends on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import wasmtime

from rlm_local.errors import GuestMissing, SandboxError
from rlm_local.paths import cache_folder
from rlm_local.wasm import capi
from rlm_local.wasm.thread import WASM_STACK_BYTES

NAME = "guest.wasm"
VARIABLE = "RLM_LOCAL_GUEST"
#: What to do where the guest is missing, damaged or another version's.
BUILD_HINT = "install rlm-local again, which builds it: `make clean demo` in a checkout"
_KEPT = 4


class Guest(NamedTuple):
    """A compiled guest. `digest` is the SHA-256 of its WebAssembly, in hex."""

    engine: wasmtime.Engine
    module: wasmtime.Module
    digest: str


def find() -> Path:
    """The guest module: the file that RLM_LOCAL_GUEST names, or the package's, or the one
    that was built last. Raises GuestMissing."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise GuestMissing(
                f"{VARIABLE} names {named}, and there is no such file",
                hint=f"unset {VARIABLE}: then the installed one is taken",
            )
        return Path(named)
    # Through the resources, since an editable install keeps it apart from the sources.
    packaged = resources.files("rlm_local") / "_guest" / NAME
    if packaged.is_file():
        return Path(str(packaged))
    built = _last_built(cache_folder("guest"))
    if built.is_file():
        return built
    raise GuestMissing(
        "the WebAssembly Python is not built",
        hint=BUILD_HINT,
    )


def _last_built(cache: Path) -> Path:
    try:
        return cache / (cache / "current").read_text().strip() / NAME
    except FileNotFoundError:
        return cache / NAME


def load(path: Path, *, notice: Callable[[str], None] = lambda _: None) -> Guest:
    """Compile the module at `path`, or take its compiled form from the cache.

    `notice` is told of what takes long. Raises GuestMissing, SandboxError.
    """
    digest = digest_of(path)
    engine = wasmtime.Engine(_configuration())
    kept = compiled_path(digest)
    module = _cached(engine, kept)
    if module is None:
        notice("compiling the WebAssembly Python; this happens once")
        try:
            wasm = _read(path)
            module = wasmtime.Module(engine, wasm)
            kept = compiled_path(hashlib.sha256(wasm).hexdigest())  # of what was read just now
        except wasmtime.WasmtimeError as error:
            raise SandboxError(
                f"{path} is not a usable guest: {str(error).splitlines()[0]}",
                hint=BUILD_HINT,
            ) from error
        write_private(kept, module.serialize())
        forget_old(kept.parent, "*.cwasm")
    return Guest(engine, module, digest)


def digest_of(path: Path) -> str:
    """The SHA-256 of the module at `path`, in hex. Raises GuestMissing."""
    try:
        found = path.stat()
    except OSError as error:
        raise GuestMissing(f"{path} cannot be read: {error.strerror}") from error
    return _digest(path, found.st_size, found.st_mtime_ns, found.st_ino)


def compiled_path(digest: str) -> Path:
    """Where the compiled form of the module with that digest is kept, on this machine."""
    return cache_folder("compiled") / f"{digest[:32]}-{_platform_key()}.cwasm"


def check_private(path: Path) -> None:
    """Raise SandboxError unless the file is a plain one that only the user can write."""
    found = path.lstat()
    if (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise SandboxError(
            f"{path} is not trusted: it is not a file that only you can write",
            hint="remove it, and it is made again",
        )


def write_private(path: Path, data: bytes | bytearray) -> None:
    """Write a cache file, whole or not at all, for the user only. Raises SandboxError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise SandboxError(
            f"{path} cannot be written: {error.strerror}",
            hint="make room, or name another folder with RLM_LOCAL_CACHE",
        ) from error


def forget_old(folder: Path, pattern: str) -> None:
    """Remove all but the `_KEPT` cache files that were made last: each guest build adds one.

    Who has one of them open goes on with it.
    """
    made: list[tuple[int, Path]] = []
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process forgets old ones too
            made.append((path.lstat().st_mtime_ns, path))
    for _, path in sorted(made)[:-_KEPT]:
        path.unlink(missing_ok=True)


@functools.lru_cache(maxsize=4)
def _digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """It is asked for twice at each start, and takes some 20 ms."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GuestMissing(f"{path} cannot be read: {error.strerror}") from error


def _configuration() -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.max_wasm_stack = WASM_STACK_BYTES
    capi.set_async_stack_size(config, WASM_STACK_BYTES + (1 << 20))
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_component_model = False
    return config


def _cached(engine: wasmtime.Engine, path: Path) -> wasmtime.Module | None:
    """The compiled module at `path`; None if there is none, or it is for another machine."""
    if not os.path.lexists(path):
        return None
    check_private(path)
    try:
        return wasmtime.Module.deserialize_file(engine, str(path))
    except wasmtime.WasmtimeError:  # damaged, or the key missed something: made again
        return None


def _platform_key() -> str:
    """wasmtime's version and the CPU's features, in a few characters."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:  # not Linux; wasmtime still checks the features when it loads
        features = platform.processor()
    facts = "\n".join((platform.system(), platform.machine(), features, str(WASM_STACK_BYTES)))
    return f"wasmtime-{capi.WASMTIME_VERSION}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
