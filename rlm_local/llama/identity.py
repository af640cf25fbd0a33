"""Which model gives a reply, and what a stored state belongs to.

A run goes on only with the weights that it was begun with, wherever they lie by then. A
state is of no use, and dangerous, to any other model than the one that made it.
"""

from __future__ import annotations

import hashlib
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from rlm_local.llama.gguf import Gguf

if TYPE_CHECKING:
    from rlm_local.llama.modelfile import ModelFile

_BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 4_096
_PACKAGE = Path(__file__).parent.parent
_REPLY_CODE = ("llama/*.py", "forms/*.py", "fences.py", "thoughts.py")


def content(header: Gguf) -> str:
    """A name for what is in a GGUF file, wherever it lies; '' if it cannot be read.

    Hashing all weights would take as long as loading them. The whole header, with the
    tokenizer and the chat template, the file's size, and a sample from the middle of every
    tensor tell files apart that were not made to be mistaken for each other.
    """
    digest = hashlib.blake2b(b"%d " % header.file_bytes, digest_size=16)
    try:
        with header.path.open("rb", buffering=0) as file:
            while block := file.read(min(_BLOCK_BYTES, header.data_offset - file.tell())):
                digest.update(block)
            for tensor in header.tensors.values():
                middle = max(0, tensor.size - _SAMPLE_BYTES) // 2
                file.seek(header.data_offset + tensor.offset + middle)
                digest.update(file.read(min(tensor.size, _SAMPLE_BYTES)))
    except OSError:
        return ""
    return digest.hexdigest()


def weights(file: ModelFile) -> str:
    """A name for the weights of a model with its adapters; '' if a file could not be read."""
    if not file.adapters or not file.content:
        return file.content
    if not all(adapter.content for adapter in file.adapters):
        return ""
    parts = [file.content, *(f"{each.content} {each.scale!r}" for each in file.adapters)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def identity(file: ModelFile, libraries: Path | None = None) -> str:
    """A name for what this model computes with its adapters and the llama.cpp in `libraries`
    (by default the one that is installed); '' if a file cannot be read.

    With the files' times of change, so that what is stored for it is not taken for another's.
    """
    if not (named := weights(file)):
        return ""
    digest = hashlib.blake2b(named.encode(), digest_size=16)
    try:
        for path in (file.path, *(adapter.path for adapter in file.adapters)):
            digest.update(f"{Path(path).stat().st_mtime_ns}".encode())
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


def installed_libraries() -> Path:
    """Where the installed llama.cpp lies: it is not imported into this process.

    Raises FileNotFoundError if it is not there.
    """
    spec = PathFinder.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("llama-cpp-python is not installed")
    return Path(spec.submodule_search_locations[0]) / "lib"
