"""Asks llama.cpp for its devices: `python -m rlm_local.llama.probe` prints them as JSON.

A process of its own: it starts drivers, which reserve memory and may fail in ways
that end a process.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from rlm_local.llama.devices import Device
from rlm_local.llama.native import uses_gpu


class Kind(IntEnum):
    """What ggml calls a device."""

    CPU = 0
    GPU = 1
    INTEGRATED = 2


def devices(*kinds: Kind) -> Iterator[Device]:
    """The devices of these kinds, in ggml's order."""
    ggml = _ggml()
    for number in range(ggml.ggml_backend_dev_count()):
        device = ctypes.c_void_p(ggml.ggml_backend_dev_get(number))
        kind = ggml.ggml_backend_dev_type(device)
        if kind not in kinds:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        name = ggml.ggml_backend_dev_name(device).decode("utf-8", "replace")
        if not total.value:  # it has none of its own to tell of: llama.cpp takes the machine's
            [host] = devices(Kind.CPU)
            yield replace(host, name=name, shared=True)
            continue
        yield Device(
            name=name,
            description=ggml.ggml_backend_dev_description(device).decode("utf-8", "replace"),
            free_bytes=free.value,
            total_bytes=total.value,
            shared=kind == Kind.INTEGRATED or name.startswith("MTL"),  # Apple's is called so
        )


def gpus() -> list[Device]:
    """Those that llama.cpp takes by itself: integrated ones only where there is no other."""
    if not uses_gpu():
        return []
    return list(devices(Kind.GPU)) or list(devices(Kind.INTEGRATED))


def _ggml() -> Any:
    """ggml's C interface, in the library that llama.cpp has loaded."""
    ggml = importlib.import_module("llama_cpp._ggml").libggml
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_dev_memory.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_size_t),
    ]
    ggml.ggml_backend_dev_memory.restype = None
    for name in ("ggml_backend_dev_name", "ggml_backend_dev_description"):
        function = getattr(ggml, name)
        function.argtypes = [ctypes.c_void_p]
        function.restype = ctypes.c_char_p
    return ggml


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(gpus()))
