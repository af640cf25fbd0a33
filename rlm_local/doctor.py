"""Is everything here, and does it work? One check a part, each independent of the others."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from rlm_local import runtime
from rlm_local.catalog import DEFAULT_MODEL
from rlm_local.confine import VARIABLE
from rlm_local.errors import GuestTrapped, ModelError, RlmError, SandboxError
from rlm_local.limits import Limits
from rlm_local.model import Model
from rlm_local.paths import cache_folder, data_folder, size_of
from rlm_local.records import Message, Record, Request
from rlm_local.remote import is_url
from rlm_local.sandbox import Repl, Sandbox
from rlm_local.units import format_bytes, format_seconds

LIBRARIES = ("wasmtime", "llama-cpp-python", "mmap-ninja", "msgspec", "click", "rich")
#: Below this much free space a prompt of ordinary size may not fit its spool.
LEAST_FREE_BYTES = 1 << 30


class Check(Record, frozen=True):
    """What one check found; `remedy` says what to do about it, `exit_code` how bad it is."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    exit_code: int = 0


def examine(model: str = DEFAULT_MODEL) -> Iterator[Check]:
    """Every check, as it is made. `model`: the one to load and have write a few tokens."""
    yield _check("python", _python)
    for library in LIBRARIES:
        yield _check(library, lambda library=library: _version(library))  # type: ignore[misc]
    yield _check("machine", _machine)
    yield _check("gpu", _gpu)
    yield _check("guest", _guest)
    yield _check("packages", _packages)
    yield _check("sandbox", _sandbox)
    yield _check("second wall", _wall)
    yield _check(f"model {model}", lambda: _model(model))
    yield from _caches()
    yield _check("runs", lambda: _folder(data_folder("runs")))
    yield _check("disk", _disk)


def _caches() -> Iterator[Check]:
    try:
        folders = [path for path in cache_folder("spool").parent.iterdir() if path.is_dir()]
    except RlmError:
        yield _check("caches", lambda: str(cache_folder("spool")))
        return
    for folder in sorted(folders):
        yield _check(f"cache {folder.name}", lambda folder=folder: _folder(folder))  # type: ignore[misc]


def _check(name: str, examined: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, detail=examined())
    except RlmError as error:
        return Check(
            name=name, ok=False, detail=str(error), remedy=error.hint, exit_code=error.exit_code
        )
    except ImportError as error:
        hint = "install rlm-local again"
        return Check(name=name, ok=False, detail=str(error), remedy=hint, exit_code=1)
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}"
        return Check(name=name, ok=False, detail=detail, exit_code=RlmError.exit_code)


def _python() -> str:
    return f"{platform.python_version()} at {sys.executable}"


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise RlmError(
            "not installed", hint=f"pip install {library}, or install rlm-local again"
        ) from None


def _machine() -> str:
    page = os.sysconf("SC_PAGE_SIZE")
    whole = os.sysconf("SC_PHYS_PAGES") * page
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{format_bytes(whole)} of memory ({format_bytes(free)} free)"
    )


def _gpu() -> str:
    from rlm_local.llama import find_gpus

    found = [
        f"{gpu.name}: {gpu.description}, {format_bytes(gpu.free_bytes)} of "
        f"{format_bytes(gpu.total_bytes)} free"
        for gpu in find_gpus()
    ]
    return "; ".join(found) or "none that this build of llama.cpp can use"


def _guest() -> str:
    from rlm_local.wasm import guest

    path = guest.find()
    return f"{format_bytes(path.stat().st_size)} at {path}"


def _packages() -> str:
    from rlm_local.packages.store import PackageStore

    found = PackageStore().installed()
    return ", ".join(f"{package.name} {package.version}" for package in found) or "none added"


def _sandbox() -> str:
    """Start the guest and have it add one and one."""
    began = time.monotonic()
    with contextlib.closing(runtime.start_sandbox()) as sandbox:
        ready = time.monotonic()
        with _fork(sandbox) as repl:
            seen = repl.execute("1 + 1", deadline=time.monotonic() + 30, cell_seconds=10)
        done = time.monotonic()
    if seen.value != "2":
        from rlm_local.wasm.guest import BUILD_HINT

        raise GuestTrapped(f"the guest says that 1 + 1 is {seen.value}", hint=BUILD_HINT)
    return (
        f"started in {format_seconds(ready - began)}, "
        f"forked and added 1 + 1 in {format_seconds(done - ready)}"
    )


def import_failures(modules: Sequence[str]) -> dict[str, str]:
    """Which of `modules` cannot be imported in the sandbox, each with the reason.

    Raises SandboxError.
    """
    failures = {}
    with contextlib.closing(runtime.start_sandbox()) as sandbox:
        for module in modules:
            # Each in a Python of its own: an import may leave half a package behind.
            with _fork(sandbox) as repl:
                seen = repl.execute(
                    f"import {module}", deadline=time.monotonic() + 60, cell_seconds=30
                )
            if seen.error is not None:
                failures[module] = f"{seen.error.type}: {seen.error.message}"
    return failures


@contextlib.contextmanager
def _fork(sandbox: Sandbox) -> Iterator[Repl]:
    from rlm_local.prompt import prompt_from_text

    limits = Limits()
    with (
        prompt_from_text("doctor") as prompt,
        sandbox.repl(
            prompt,
            question="",
            host=_refuse,
            functions=(),
            memory_bytes=limits.guest_memory_bytes,
            output_chars=limits.output_chars,
        ) as repl,
    ):
        yield repl


def _wall() -> str:
    """What the kernel refuses a process that runs guests, tried out in one."""
    from rlm_local.confine.trial import try_out

    trial = try_out()
    if trial is None:
        raise SandboxError("a confined process did not start", hint=f"set {VARIABLE}=off")
    if not trial.usable:
        raise SandboxError("a confined process cannot use its own folder")
    if trial.wall.whole and trial.allowed:
        raise SandboxError(f"{trial.wall} hold, and do not refuse {', '.join(trial.allowed)}")
    state = "on" if trial.wall.whole else "in part" if trial.refused else "off"
    refused = f"; refused: {', '.join(trial.refused)}" if trial.refused else ""
    return f"{state} ({trial.wall}){refused}"


def _model(name: str) -> str:
    """Load the model and have it write a few tokens."""
    began = time.monotonic()
    model = runtime.load_model(name, memory_bytes=Limits().model_memory_bytes)
    try:
        loaded = time.monotonic()
        request = Request(messages=(Message("user", "Hello"),), max_tokens=8)
        [completion] = model.complete([request], deadline=loaded + 60, token_limit=100_000)
        info = model.info
        what = _server(model) if is_url(name) else format_bytes(info.file_bytes)
    finally:
        model.close()
    if completion.completion_tokens == 0:
        raise ModelError(f"{name} wrote nothing", hint="`rlm-local models verify` checks its file")
    return (
        f"{what}, window {info.context_tokens:,} tokens, loaded in "
        f"{format_seconds(loaded - began)}, wrote {completion.completion_tokens} tokens in "
        f"{format_seconds(completion.seconds)}"
    )


def _server(model: Model) -> str:
    """What the server of a model says, and does not say, of itself."""
    from rlm_local.remote.model import RemoteModel

    if not isinstance(model, RemoteModel):
        return "a server"
    server = model.server
    kind = server.kind or "a server of a kind not known to us"
    return "; ".join([f"{kind} with {server.model}", *server.remarks])


def _folder(folder: Path) -> str:
    return f"{format_bytes(size_of(folder, on_disk=True))} in {folder}"


def _disk() -> str:
    """Room for spools, in the cache, and for run records, in the data."""
    found = []
    for folder in (cache_folder("spool"), data_folder("runs")):
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise RlmError(
                f"{folder} has only {format_bytes(free)} left",
                hint="free some space, or name another folder with RLM_LOCAL_CACHE "
                "and RLM_LOCAL_DATA",
            )
        found.append(f"{format_bytes(free)} free for {folder.name}")
    return ", ".join(found)


def _refuse(name: str, arguments: list[object]) -> object:
    raise RlmError(f"the guest called {name!r} with {len(arguments)} arguments")
