"""CONTRACT.md against the built module: all that crosses the border, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable

import wasmtime

from rlm_local.wasm.guest import Guest
from tests.sandbox_wasm.bare import BOX, BareGuest, Box
from tests.sandbox_wasm.conftest import SANDBOX

CONTRACT = (SANDBOX / "CONTRACT.md").read_text()


def section(title: str) -> str:
    """The text of one section of the page."""
    return CONTRACT.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def signature(written: str) -> tuple[list[str], list[str]]:
    """A type as the page writes it: `(size, precision: i64) -> i32`; i32 unless it says so."""
    match = re.fullmatch(r"`\(([^)]*)\) -> (\(\)|i32|i64)`", written)
    assert match, written
    parameters = [part.strip() for part in match[1].split(",") if part.strip()]
    kinds = [part.partition(":")[2].strip() or "i32" for part in parameters]
    return kinds, [] if match[2] == "()" else [match[2]]


def kind(found: object) -> tuple[list[str], list[str]]:
    assert isinstance(found, wasmtime.FuncType)
    return [str(p) for p in found.params], [str(r) for r in found.results]


def test_the_exports_are_those_listed(compiled: Guest) -> None:
    listed = {name.strip("`"): written for name, written, _ in rows(section("Exports"))}
    found = {export.name: export.type for export in compiled.module.exports}
    assert found.keys() == listed.keys()
    for name, written in listed.items():
        if name == "memory":
            assert isinstance(found[name], wasmtime.MemoryType)
        elif name == "__stack_pointer":
            pointer = found[name]
            assert isinstance(pointer, wasmtime.GlobalType)
            assert (pointer.mutable, str(pointer.content)) == (True, "i32")
        else:
            assert kind(found[name]) == signature(written), name


def test_the_imports_are_those_listed(compiled: Guest) -> None:
    listed = {}
    for part in section("Imports").split("From module `")[1:]:
        module = part.partition("`")[0]
        for name, written, _ in rows(part):
            listed[module, name.strip("`")] = signature(written)
    found = {(i.module, i.name): kind(i.type) for i in compiled.module.imports}
    assert found == listed


def test_the_mailbox_is_the_struct_that_the_glue_declares() -> None:
    header = (SANDBOX / "glue" / "mailbox.h").read_text()
    body = header.split("struct mailbox {")[1].split("}")[0]
    offset, declared = 0, []
    for size, name in re.findall(r"uint(32|64)_t (\w+);", body):
        declared.append((offset, f"{name}: u{size}"))
        offset += int(size) // 8
    listed = [(int(at), field.strip("`")) for at, field, _ in rows(section("The mailbox"))]
    assert [at for at, _ in declared] == [at for at, _ in listed]
    for (_, ours), (_, theirs) in zip(declared, listed, strict=True):
        assert ours.startswith(theirs)  # the page leaves out types that repeat
    assert offset == BOX.size


def test_the_mailbox_points_into_the_memory(start: Callable[..., BareGuest]) -> None:
    guest = start()
    box = guest.box()
    assert box.version == 1
    assert box.reserved == 0
    pointers = ("out_ptr", "err_ptr", "sigint_tripped", "is_tripped", "eval_breaker")
    for name in (*pointers, "unicode_type"):
        assert 0 < getattr(box, name) < guest.size, name
    assert box.signals_pending_bit.bit_count() == 1
    assert len(Box._fields) == len(rows(section("The mailbox")))


def test_a_str_has_the_unicode_type_that_the_mailbox_names(bare: BareGuest) -> None:
    assert bare.value("id(str)") == str(bare.box().unicode_type)
