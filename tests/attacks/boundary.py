"""A stand-in for the guest whose code calls every import with whatever it is given.

It is linked to the very host functions that guests are linked to, so what a fuzzer
passes goes through all that stands between WebAssembly and the host.
"""

from __future__ import annotations

import hashlib

import wasmtime

from rlm_local.wasm import preview1
from rlm_local.wasm.cell import Cell
from rlm_local.wasm.guest import Guest, _configuration
from rlm_local.wasm.instance import Host, Instance

#: Pages of its memory, and how many it may grow to.
PAGES, MOST_PAGES = 2, 8
SIZE = PAGES << 16

_I32, _I64 = "i32", "i64"
IMPORTS = {
    ("rlm", "call"): (_I32,) * 4,
    ("rlm", "reply"): (_I32,) * 2,
    ("wasi_snapshot_preview1", "clock_time_get"): (_I32, _I64, _I32),
    ("wasi_snapshot_preview1", "random_get"): (_I32, _I32),
    ("wasi_snapshot_preview1", "poll_oneoff"): (_I32,) * 4,
}


def _module() -> str:
    imports, functions = [], []
    for (module, name), kinds in IMPORTS.items():
        parameters = f"(param {' '.join(kinds)}) (result i32)"
        imports.append(f'(import "{module}" "{name}" (func ${name} {parameters}))')
        values = " ".join(f"(local.get {n})" for n in range(len(kinds)))
        functions.append(f'(func (export "{name}") {parameters} (call ${name} {values}))')
    return f"""(module {" ".join(imports)}
        (memory (export "memory") {PAGES})
        (global (export "__stack_pointer") (mut i32) (i32.const 1024))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        {" ".join(functions)})"""


class Boundary:
    """One instance of it. `calls` is what reached the host's functions."""

    def __init__(self) -> None:
        engine = wasmtime.Engine(_configuration())
        wasm = wasmtime.wat2wasm(_module())
        module = wasmtime.Module(engine, wasm)
        self.host = Host(Guest(engine, module, hashlib.sha256(wasm).hexdigest()))

    def instance(self, *, cell: Cell) -> Instance:
        made = self.host.instance(preview1.World(0), memory_bytes=MOST_PAGES << 16)
        made.cell = cell
        return made
