"""Which model gives a reply, and what a stored state belongs to.

A state is of no use, and dangerous, to any other model than the one that made it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from rlm_local.records import Adapter

_HEAD_BYTES = 1 << 20
_SAMPLES = 256
_SAMPLE_BYTES = 4_096
_PACKAGE = Path(__file__).parent.parent
_REPLY_CODE = ("llama/*.py", "forms/*.py", "fences.py", "thoughts.py")


def identity(model: Path, adapters: Iterable[Adapter] = (), libraries: Path | None = None) -> str:
    """A name for what this model computes with these adapters and the llama.cpp in `libraries`
    (by default the one that is installed); '' if a file cannot be read.

    Hashing all weights would take as long as loading them. The file's header, size,
    time of change and samples from all over it tell models apart that were not made
    to be mistaken for each other.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        _add_file(digest, model)
        for adapter in adapters:
            digest.update(f"adapter {adapter.scale!r}".encode())
            _add_file(digest, Path(adapter.path))
        for library in sorted((libraries or installed_libraries()).iterdir()):
            built = library.stat()
            digest.update(f"{library.name} {built.st_size} {built.st_mtime_ns}".encode())
    except OSError:
        return ""
    return digest.hexdigest()


def reply_identity(identity: str, *, kv_type: str, flash: bool, gpu_layers: int) -> str:
    """A name for what the model of that identity replies when it is computed so; '' for ''.

    Other KV types, other kernels and other processors round in other places, and our own code
    makes prompts of messages, grammars of schemas and text of tokens.
    """
    if not identity:
        return ""
    how = f"{identity} {kv_type} flash={flash} gpu_layers={gpu_layers} {code_digest()}"
    return hashlib.blake2b(how.encode(), digest_size=16).hexdigest()


def code_digest(package: Path = _PACKAGE) -> str:
    """A name for the code of ours that lies between a request and its reply."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _REPLY_CODE:
        for path in sorted(package.glob(part)):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def state_key(identity: str, cells: str) -> str:
    """A name for the states of the model of that identity with cells of this kind."""
    return hashlib.blake2b(f"{identity} {cells}".encode(), digest_size=16).hexdigest()


def _add_file(digest: hashlib.blake2b, path: Path) -> None:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
        digest.update(file.read(_HEAD_BYTES))
        for number in range(_SAMPLES):
            file.seek(found.st_size * number // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))


def installed_libraries() -> Path:
    """Where the installed llama.cpp lies: it is not imported into this process.

    Raises FileNotFoundError if it is not there.
    """
    spec = PathFinder.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("llama-cpp-python is not installed")
    return Path(spec.submodule_search_locations[0]) / "lib"
