"""What a stored state belongs to: it is of no use, and dangerous, to anything else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_HEAD_BYTES = 1 << 20
_SAMPLES = 256
_SAMPLE_BYTES = 4_096


def state_key(model: Path, cells: str, libraries: Path) -> str:
    """A name for the states of this model, the llama.cpp in `libraries` and cells of this kind.

    Hashing all weights would take as long as loading them. The file's header, size,
    time of change and samples from all over it tell models apart that were not made
    to be mistaken for each other. Raises OSError.
    """
    digest = hashlib.blake2b(cells.encode(), digest_size=16)
    with model.open("rb") as file:
        found = os.fstat(file.fileno())
        digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
        digest.update(file.read(_HEAD_BYTES))
        for number in range(_SAMPLES):
            file.seek(found.st_size * number // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))
    for library in sorted(libraries.iterdir()):
        built = library.stat()
        digest.update(f"{library.name} {built.st_size} {built.st_mtime_ns}".encode())
    return digest.hexdigest()
