"""Fuzzing the border: any argument of any import, any bytes as a request or as a result.

Whatever comes, the host either answers or stops the guest; nothing else is raised, and
nothing outside of what the guest has named is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlm_local.errors import SandboxError
from rlm_local.prompt import Document, Region
from rlm_local.sandbox import GuestRaise, GuestText
from rlm_local.wasm import capi
from rlm_local.wasm.calls import HostCalls
from rlm_local.wasm.cell import Cell
from rlm_local.wasm.instance import GuestFault, Instance
from rlm_local.wasm.mailbox import Mailbox
from rlm_local.wasm.mapping import whole_pages
from rlm_local.wasm.ondemand import OnDemand
from rlm_local.wasm.repl import CellResult
from tests.attacks.boundary import IMPORTS, MOST_PAGES, SIZE, Boundary

FUNCTIONS = frozenset({"llm_query", "llm_query_batched"})
EDGES = [0, 1, 1024, SIZE - 1, SIZE, SIZE + 1, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1]
words = st.sampled_from(EDGES) | st.integers(0, 2**32 - 1) | st.integers(0, SIZE)

_boundary = Boundary()


def host(name: str, arguments: list[object]) -> object:
    """Reads what it is given, as a host function may."""
    return [each.read()[:100] if isinstance(each, GuestText) else repr(each) for each in arguments]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    made = _boundary.instance(cell=Cell(time.monotonic() + 1e6, 1e6))
    calls = HostCalls(host, FUNCTIONS)
    calls.memory = made.memory
    calls.begin(made.cell)
    made.answer = calls.answer
    yield made
    made.close()


def call(instance: Instance, name: str, arguments: list[int]) -> int | None:
    """What the import answers; None if the guest was stopped."""
    try:
        return instance.call(name, *arguments)
    except (GuestFault, capi.Trapped):
        return None


@settings(max_examples=500)
@given(
    st.sampled_from(sorted(name for _, name in IMPORTS)),
    st.lists(words, min_size=4, max_size=4),
)
def test_any_arguments_of_any_import(instance: Instance, name: str, arguments: list[int]) -> None:
    kinds = next(kinds for (_, known), kinds in IMPORTS.items() if known == name)
    answer = call(instance, name, [ctypes.c_int32(a).value for a in arguments[: len(kinds)]])
    assert answer is None or answer >= -1


REQUEST = b'{"name":"llm_query","arguments":["' + b"x" * 300 + b'"]}'


@settings(max_examples=300)
@given(reply=words, room=words, second=words)
@example(reply=SIZE - 10, room=2**32 - 1, second=0)
@example(reply=2**32 - 1, room=2**32 - 1, second=2**32 - 1)
def test_a_reply_is_written_where_it_fits_or_not_at_all(
    instance: Instance, reply: int, room: int, second: int
) -> None:
    """The guest names where; bytes before and after it, and other memory, stay."""
    memory = instance.memory
    memory.write(0, bytes(SIZE))
    memory.write(0, REQUEST)
    length = call(instance, "call", [0, len(REQUEST), reply, room])
    if length is not None and length <= room:
        assert reply + length <= memory.size
        assert memory.read(reply, 7) == b'{"ok":['
    untouched = memory.read(0, SIZE)
    written = range(reply, reply + length) if length and length <= room else range(0)
    for at in range(len(REQUEST), SIZE, 4097):
        assert at in written or untouched[at] == 0
    call(instance, "reply", [second, room])


def test_growing_between_two_calls(instance: Instance) -> None:
    """A size seen before is still true, and the new end is known at once."""
    grown = _boundary.instance(cell=Cell(time.monotonic() + 1e6, 1e6))
    assert call(grown, "random_get", [SIZE - 8, 16]) == 21  # EFAULT
    assert call(grown, "grow", [1]) == SIZE >> 16
    assert call(grown, "random_get", [SIZE - 8, 16]) == 0
    assert call(grown, "grow", [MOST_PAGES]) == -1
    grown.close()


def answered(message: bytes) -> dict[str, object]:
    calls = HostCalls(host, FUNCTIONS)
    calls.begin(Cell(time.monotonic() + 1e6, 1e6))
    reply: dict[str, object] = json.loads(calls.answer(len(message), lambda: message))
    return reply


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_request(message: bytes) -> None:
    assert set(answered(message)) <= {"ok", "error"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
marks = st.sampled_from(["$text", "$context", "$", "name", "arguments"])
marked = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(marks, inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.sampled_from(["llm_query", "final", "", "open"]), st.lists(marked, max_size=3))
def test_any_json_as_a_request(name: str, arguments: list[object]) -> None:
    message = json.dumps({"name": name, "arguments": arguments}).encode()
    reply = answered(message)
    if name not in {*FUNCTIONS, "final"}:
        assert "error" in reply


@given(st.binary(max_size=300).map(lambda b: b.ljust(84, b"\0")[:84]))
def test_any_bytes_as_a_mailbox(instance: Instance, box: bytes) -> None:
    instance.memory.write(0, b"\1\0\0\0" + box[4:])
    read = Mailbox.read(instance.memory, 0)
    for part in (
        lambda: read.result(instance.memory),
        lambda: read.stdout(instance.memory, 1000),
        lambda: read.stderr(instance.memory, 1000),
        lambda: read.interrupt(instance.memory),
    ):
        with contextlib.suppress(SandboxError):
            part()


@given(st.binary(max_size=200) | marked.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_a_result(data: bytes) -> None:
    # What the REPL takes for a damaged guest.
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        msgspec.json.decode(data, type=CellResult)


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(0, 2**32), st.integers(0, 5))
def test_texts_at_any_place(
    instance: Instance, pieces: list[bytes], address: int, kind: int
) -> None:
    calls = HostCalls(host, FUNCTIONS)
    calls.memory = instance.memory
    instance.memory.write(0, b"".join(pieces).ljust(200, b"\xd8"))
    place = {"$text": [address, 40, kind, 0]}
    calls.begin(Cell(time.monotonic() + 1e6, 1e6))
    message = json.dumps({"name": "llm_query", "arguments": [place]}).encode()
    try:
        reply = json.loads(calls.answer(len(message), lambda: message))
    except UnicodeEncodeError:  # a lone surrogate, which this host function sends back
        return
    assert set(reply) <= {"ok", "error"}


def test_guest_raise_is_data() -> None:
    def refuse(name: str, arguments: list[object]) -> object:
        raise GuestRaise("ValueError", "no")

    calls = HostCalls(refuse, FUNCTIONS)
    calls.begin(Cell(time.monotonic() + 1e6, 1e6))
    message = b'{"name":"llm_query","arguments":[]}'
    assert json.loads(calls.answer(len(message), lambda: message)) == {
        "error": ["ValueError", "no"]
    }


numbers = (
    st.sampled_from([0, 1, -1, 2**16, 3 * 2**16, 2**31, 2**32, 2**63, 2**64, -(2**16), True])
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 9).map(lambda pages: pages << 16)
)


class Piled:
    """Files of one to three pages, each of one byte's value."""

    single = False
    identity = "piled"

    def __init__(self, folder: Path) -> None:
        self.regions = []
        for number in range(3):
            path = folder / f"{number}"
            path.write_bytes(bytes([number + 1]) * ((number + 1) << 16))
            self.regions.append(Region(path, 0, (number + 1) << 16))
        self.documents = [Document(f"{n}", n, 0, 9, 1, True) for n in range(3)]


@pytest.fixture(scope="module")
def on_demand(tmp_path_factory: pytest.TempPathFactory) -> OnDemand:
    """A window of five pages, from the third on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlm_local.wasm.ondemand.LEAST_WINDOW_BYTES", 5 << 16)
        prompt: Any = Piled(tmp_path_factory.mktemp("spool"))
        return OnDemand(prompt, 2 << 16, 1 << 32)


@settings(max_examples=200)
@given(st.lists(st.lists(numbers | st.text(max_size=3), max_size=5), min_size=1, max_size=12))
@example([[2, 0, 3 << 16, 2 << 16], [0, 0, 1, 3 << 16], [1, 1 << 16, 2**70, 6 << 16]])
@example([[2, 0, 3 << 16, 4 << 16], [2, 0, 3 << 16, 3 << 16], [2, 0, 3 << 16, 5 << 16]])
def test_any_wish_for_a_document(on_demand: OnDemand, wishes: list[list[object]]) -> None:
    """What is mapped is what was wished for; all else of the memory is as it was."""
    instance = _boundary.instance(cell=Cell(time.monotonic() + 1e6, 1e6))
    try:
        memory = instance.memory
        memory.grow_to(MOST_PAGES << 16)
        memory.write(0, b"\xff" * (MOST_PAGES << 16))
        on_demand.begin(memory)
        memory.map_zeros(2 << 16, 5 << 16)
        for wish in wishes:
            calls = [on_demand.functions["map_text"], on_demand.functions["documents"]]
            for function in calls:
                with contextlib.suppress(GuestRaise):
                    function(wish)
        expected = bytearray(b"\xff" * (MOST_PAGES << 16))
        expected[2 << 16 : 7 << 16] = bytes(5 << 16)
        for piece in on_demand.pieces:
            span = slice(piece.address, whole_pages(piece.address + piece.length))
            assert not any(expected[span]), "two pieces overlap"
            assert 2 << 16 <= span.start < span.stop <= 7 << 16
            # The kernel maps whole pages of its own, and a file ends with one of these.
            mapped = -(-piece.length // 4096) * 4096
            expected[piece.address : piece.address + mapped] = bytes([piece.region + 1]) * mapped
        assert memory.read(0, MOST_PAGES << 16) == bytes(expected)
    finally:
        instance.close()
