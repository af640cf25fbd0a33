"""Whether a model file can be used, by using it."""

from __future__ import annotations

from pathlib import Path

from rlm_local.llama.memory import SMALLEST_CONTEXT_TOKENS, plan
from rlm_local.llama.model import physical_bytes, start_worker
from rlm_local.llama.modelfile import ModelFile, inspect


def verify(path: Path, *, memory_bytes: int) -> ModelFile:
    """Check the file's structure, then every weight, by loading it in a worker.

    Raises ModelFileError, ModelMemoryError, ModelError, WorkerDied.
    """
    file = inspect(path)
    smallest = plan(
        file,
        memory_bytes=min(memory_bytes, physical_bytes()),
        context_tokens=min(SMALLEST_CONTEXT_TOKENS, file.context_tokens),
    )
    start_worker(file, smallest, threads=1, check=True).close()
    return file
