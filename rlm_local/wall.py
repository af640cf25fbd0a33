"""Puts up the second wall around a run: what that run reads and writes, and no more.

`confine` knows the kernel; this knows the program. The command line puts the wall up
before it starts anything, since it holds for threads and children that come later.
A program that embeds the package decides for itself: the wall is for its whole
process, and cannot be taken down.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlm_local import catalog
from rlm_local.confine import Wall, confine_process, places
from rlm_local.errors import RlmError
from rlm_local.paths import cache_folder, data_folder
from rlm_local.records import Adapter
from rlm_local.remote import RemoteAddress, is_url, look_up, parse_url
from rlm_local.spool.sources import STDIN, expand

#: The caches that a run adds to. That of compiled guests is none of them: what lies there
#: runs as native code, the next time without the wall that it was written behind.
CACHES = ("spool", "snapshot", "prefixes", "digests", "replies", "demo")
#: What a run only reads.
READ_CACHES = ("guest", "compiled")
READ_DATA = ("packages",)


def put_up(
    prompts: Iterable[Path] = (),
    *,
    models: Iterable[str | Path] = (),
    adapters: Iterable[Adapter] = (),
) -> Wall:
    """Confine this process to a run over `prompts` with `models` and `adapters`, for good.

    The names of servers are looked up now, since they cannot be later, and connections to
    their ports stay possible.

    What the kernel lacks is told by what it returns, and what is wrong with the paths
    by whoever uses them. Raises ConfigError if our own folders cannot be used.
    """
    # numpy, which the sandbox loads, would start threads that the wall could not reach.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    models = tuple(models)
    readable = [*_prompt_files(prompts), *catalog.folders(), *_model_files(models)]
    readable += [Path(adapter.path) for adapter in adapters]
    readable += [cache_folder(name) for name in READ_CACHES]
    readable += [data_folder(name) for name in READ_DATA]
    writable = [*(cache_folder(name) for name in CACHES), data_folder("runs")]
    guest = _guest_file()
    if guest is not None:
        readable.append(guest)
        if not _is_compiled(guest):
            writable.append(cache_folder("compiled"))
    servers = list(_servers(models))
    if any(server.secure for server in servers):
        readable += _certificates()
    return confine_process(
        readable=readable,
        writable=writable,
        ports={server.port for server in servers},
        drivers=may_use_gpu(models),
    )


def may_use_gpu(models: Iterable[str | Path]) -> bool:
    """Whether one of `models` may be computed on a GPU of this machine."""
    if all(is_url(model) for model in models):
        return False
    from rlm_local.llama import devices  # not needed where no model is, or a server's

    return devices.built_for_gpu()


def hides_gpu(wall: Wall, models: Iterable[str | Path]) -> bool:
    """Whether behind `wall` a GPU for one of `models` may not start: CUDA's does not for root."""
    return wall.landlock > 0 and not places.proc_is_harmless() and may_use_gpu(models)


def _prompt_files(prompts: Iterable[Path]) -> Iterator[Path]:
    """The paths, and what links in folders lead to."""
    for path in prompts:
        if str(path) == STDIN:
            continue
        yield path
        if path.is_dir():
            try:
                sources = expand([path]).sources
            except (RlmError, OSError):
                continue
            yield from (Path(source.path) for source in sources if os.path.islink(source.path))


def _model_files(models: Iterable[str | Path]) -> Iterator[Path]:
    for model in models:
        if is_url(model):
            continue
        with contextlib.suppress(RlmError):
            yield catalog.find(model).path


def _servers(models: Iterable[str | Path]) -> Iterator[RemoteAddress]:
    """The servers that the run will speak to, their names looked up."""
    for model in models:
        if is_url(model):
            with contextlib.suppress(RlmError):
                address = parse_url(str(model))
                look_up(address.host, address.port)
                yield address


def _certificates() -> Iterator[Path]:
    """Those of the authorities that servers' certificates are checked with."""
    known = ssl.get_default_verify_paths()
    yield from (Path(path) for path in (known.cafile, known.capath) if path)


def _guest_file() -> Path | None:
    from rlm_local.wasm import guest

    try:
        return guest.find()
    except RlmError:
        return None


def _is_compiled(path: Path) -> bool:
    from rlm_local.wasm import guest

    try:
        return guest.compiled_path(guest.digest_of(path)).is_file()
    except RlmError:
        return True
