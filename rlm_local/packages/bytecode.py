"""Bytecode for the guest, where pyodide-build is installed under the guest's own Python.

`pyodide py-compile` makes bytecode of the interpreter that runs it. Without it the
guest compiles a package itself, when it takes its snapshot.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rlm_local.packages.wheel import PYTHON, Wheel

COMMAND = "pyodide"
_SECONDS = 300
#: What bytecode of CPython 3.13 begins with.
MAGIC = (3571).to_bytes(2, "little") + b"\r\n"


def compiled(wheel: Wheel, command: str | None) -> dict[str, bytes]:
    """The bytecode of the wheel's modules by path, `name.pyc` for `name.py`.

    `command` is the pyodide to run. Empty if there is none, if it runs under
    another Python than the guest's, or if a module does not compile.
    """
    if command is None:
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / f"package-1-py{PYTHON[0]}-none-any.whl"
        with zipfile.ZipFile(source, "w") as archive:
            for path, data in wheel.files.items():
                if path.endswith(".py"):
                    archive.writestr(path, data)
        try:
            subprocess.run(
                [command, "py-compile", "--silent", "--compression-level", "0", str(source)],
                cwd=folder,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        made = folder / f"package-1-cp{PYTHON[0]}{PYTHON[1]}-none-any.whl"
        if not made.is_file():
            return {}
        with zipfile.ZipFile(made) as archive:
            found = {path: archive.read(path) for path in archive.namelist()}
    whole = all(data.startswith(MAGIC) for data in found.values())
    return found if whole else {}


def find_command() -> str | None:
    """pyodide-build's command, beside this Python or on the path."""
    beside = Path(sys.executable).with_name(COMMAND)
    return str(beside) if beside.is_file() else shutil.which(COMMAND)
