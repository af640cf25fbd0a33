"""Bytecode for the guest, made by the build Python (this runs under it, as a script).

`freeze.py stdlib LIB FOLDER` writes FOLDER/stdlib.bin, the marshalled code of
all modules end to end, and FOLDER/stdlib_modules.inc, a C line for each.
`freeze.py module SOURCE NAME FILE` writes the marshalled code of one module.
"""

from __future__ import annotations

import marshal
import sys
from pathlib import Path

#: What needs a screen, the network, another process or a C extension that the guest lacks
#: even to be imported, and CPython's own tests.
LEFT_OUT = frozenset(
    [
        "__hello__",
        "__phello__",
        "ctypes",
        "curses",
        "dbm",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pip",
        "site-packages",
        "sqlite3",
        "test",
        "tkinter",
        "turtle",
        "turtledemo",
        "venv",
    ]
)

#: What a build would have written into the library: `sysconfig` must find it, and the
#: paths and flags of this build are nobody's business.
WRITTEN = {"_sysconfigdata__wasi_wasm32-wasi": b"build_time_vars = {}\n"}


def code_of(source: bytes, name: str) -> bytes:
    """The marshalled code of the module `name`."""
    return marshal.dumps(compile(source, f"<frozen {name}>", "exec", dont_inherit=True))


def modules(lib: Path) -> list[tuple[str, bytes, bool]]:
    """(name, source, whether it is a package) of each module under `lib`, by name."""
    found = [(name, source, False) for name, source in WRITTEN.items()]
    for path in lib.rglob("*.py"):
        parts = path.relative_to(lib).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts) and all(part.isidentifier() for part in parts):
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found.append((name, path.read_bytes(), is_package))
    return sorted(found)


def freeze_stdlib(lib: Path, folder: Path) -> None:
    offset = 0
    with (
        open(folder / "stdlib.bin", "wb") as blob,
        open(folder / "stdlib_modules.inc", "w") as table,
    ):
        for name, source, is_package in modules(lib):
            code = code_of(source, name)
            blob.write(code)
            table.write(f'FROZEN("{name}", {offset}, {len(code)}, {int(is_package)})\n')
            offset += len(code)


def main(arguments: list[str]) -> None:
    match arguments:
        case ["stdlib", lib, folder]:
            freeze_stdlib(Path(lib), Path(folder))
        case ["module", source, name, target]:
            Path(target).write_bytes(code_of(Path(source).read_bytes(), name))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
