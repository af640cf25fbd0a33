"""GPUs that llama.cpp can compute on, with the memory that is free there.

Only llama.cpp knows them, and asking it starts their drivers. So it is asked in a
process of its own (`probe`), and not at all where its build has nothing but the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from rlm_local.errors import ModelError
from rlm_local.llama.identity import installed_libraries
from rlm_local.records import Record

_SECONDS = 60.0  # a driver's first start may take long
#: Of ggml's libraries, those that compute on no GPU.
_NO_GPU = ("base", "cpu", "blas", "rpc")


class Device(Record, frozen=True):
    """A GPU. `shared`: its memory is the machine's own, so the limit is for it too."""

    name: str
    description: str
    free_bytes: int
    total_bytes: int
    shared: bool = False

    def share(self, part: float) -> Device:
        """A `part` of it, 0 to 1, as a GPU of its own."""
        return replace(
            self,
            free_bytes=int(part * self.free_bytes),
            total_bytes=int(part * self.total_bytes),
        )


def find() -> tuple[Device, ...]:
    """The GPUs, as llama.cpp would use them; none if its build is for the CPU.

    Raises ModelError if they cannot be asked for.
    """
    if not built_for_gpu():
        return ()
    command = [sys.executable, "-P", "-m", "rlm_local.llama.probe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=tuple[Device, ...])
    except subprocess.CalledProcessError as error:
        reason = f"code {error.returncode}: {_last_line(error.stderr)}"
    except (subprocess.TimeoutExpired, msgspec.DecodeError, OSError) as error:
        reason = str(error)
    raise ModelError(
        f"llama.cpp cannot say which GPUs there are ({reason})",
        hint="check the driver, or compute without one: --gpu-layers 0",
    )


def built_for_gpu() -> bool:
    """Whether the installed llama.cpp can compute on GPUs. None of it is loaded."""
    return can_use_gpu(_libraries())


def can_use_gpu(names: Sequence[str]) -> bool:
    """Whether one of these files of llama.cpp computes on GPUs (`libggml-cuda.so`, …)."""
    kinds = {name.partition("ggml-")[2].partition(".")[0] for name in names if "ggml-" in name}
    return any(not kind.startswith(_NO_GPU) for kind in kinds)


def _libraries() -> list[str]:
    """The names of llama.cpp's files, without loading any."""
    try:
        return os.listdir(installed_libraries())
    except OSError:
        return []


def _last_line(raw: bytes) -> str:
    lines = raw.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "it wrote nothing"
