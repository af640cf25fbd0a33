"""The order in which the worker loads what may bring a C++ runtime."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys

class Told:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "llama_cpp.llama_cpp"):
            print(name)

sys.meta_path.insert(0, Told())
import rlm_local.llama.worker
"""


def test_the_worker_loads_llama_cpp_before_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["llama_cpp.llama_cpp", "numpy"]
