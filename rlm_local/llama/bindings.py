"""llama.cpp's library and its plain bindings; `native` is the only one to call them.

Imported before numpy, where it can be. Some compilers link the C++ runtime into each library they
build. Where numpy has loaded the system's before, such a library takes half of the one and half
of the other: seen with a build for CUDA, which died in its tokenizer's first regular expression.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

from rlm_local.errors import ModelError
from rlm_local.llama import alignment


def _bindings() -> Any:
    """The module of plain bindings, without the package's `__init__`.

    That would import the high-level interface, a chat formatter and a disk cache,
    none of which is used here: 0.1 s of a start that takes 0.2 s.
    """
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("llama-cpp-python is not installed", hint="pip install rlm-local")
    package = types.ModuleType("llama_cpp")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules.setdefault("llama_cpp", package)
    return importlib.import_module("llama_cpp.llama_cpp")


alignment.load()
llama = _bindings()
