"""The sandbox's host side: CPython in WebAssembly under wasmtime. The only importer of it.

`WasmSandbox` forks `WasmRepl`s. Below them: `guest` finds and compiles the module,
`snapshot` keeps a started Python as a file, `instance` is one running guest,
`mapping` puts the prompt into its `memory`, `calls` and `preview1` answer what it
asks, `cell` and `watch` stop it in time, `thread` gives it a stack, `capi` is what
wasmtime-py lacks.
"""

from rlm_local.wasm.repl import WasmRepl
from rlm_local.wasm.sandbox import WasmSandbox

__all__ = ["WasmRepl", "WasmSandbox"]
