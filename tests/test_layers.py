"""Dependencies point down, and each heavy library has one importer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rlm_local

PACKAGE = Path(rlm_local.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Parts from the bottom up. A part may import what stands on a lower line, or its own.
LAYERS = [
    {"records", "fences", "thoughts", "jsontext", "helpers", "closing", "interrupts", "clock"},
    {"errors"},
    {"paths", "units", "confine", "starting", "forms", "options", "endings"},
    {"limits", "spool", "packages", "catalog"},
    {"budget"},
    {"prompt", "past", "eventfile", "replies"},
    {"model", "sandbox", "dialogue", "runs", "demo", "views", "outline", "part", "asked"},
    {"journal", "memo", "syntax", "training"},
    {"fork", "replay"},
    {"queries", "tree", "outcomes", "wasm", "llama", "remote", "live"},
    {"plaincalls", "submissions"},
    {"subcalls"},
    {"node"},
    {"controller", "config", "engines"},
    {"runtime", "wall"},
    {"rerun"},
    {"doctor"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
ADAPTERS = {
    "wasmtime": "wasm",
    "llama_cpp": "llama",
    "mmap_ninja": "spool",
    "xxhash": "spool",
    "httpx": "remote",
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that `path` imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module == "rlm_local":
                found |= {f"rlm_local.{alias.name}" for alias in node.names}
            else:
                found.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            found |= {str(name.value) for name in node.args if isinstance(name, ast.Constant)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = part_of(path)
    for module in imports(path):
        if module.startswith("rlm_local."):
            there = module.split(".")[1]
            assert there == here or LEVEL[there] < LEVEL[here], f"{here} imports {there}"


@pytest.mark.parametrize("library", ADAPTERS)
def test_each_engine_has_one_importer(library: str) -> None:
    importers = {
        part_of(path)
        for path in MODULES
        if any(module.split(".")[0] == library for module in imports(path))
    }
    assert importers == {ADAPTERS[library]}
