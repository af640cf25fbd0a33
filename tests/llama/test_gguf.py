"""Reading GGUF headers: sound ones, and every kind of damage."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import ModelFileError
from rlm_local.llama import gguf
from tests.llama import build

SOUND = build.gguf()


def test_reads_what_is_there(tmp_path: Path) -> None:
    header = gguf.read(build.written(tmp_path, SOUND))
    assert header.version == 3
    assert header.metadata["llama.block_count"] == 1
    assert header.metadata["tokenizer.ggml.tokens"] == build.TOKENS
    assert header.array_types == {
        "tokenizer.ggml.tokens": "s",
        "tokenizer.ggml.token_type": "i",
        "tokenizer.ggml.merges": "s",
    }
    embedding = header.tensors["token_embd.weight"]
    assert embedding.shape == (build.WIDTH, len(build.TOKENS))
    assert embedding.size == 4 * build.WIDTH * len(build.TOKENS)
    assert header.parameters == sum(size // 4 for *_, size in build.tensors())
    assert header.file_bytes == len(SOUND)


def test_reads_every_value_type(tmp_path: Path) -> None:
    entries: list[build.Entry] = [
        ("a.u8", build.U8, 255),
        ("a.i8", build.I8, -1),
        ("a.u16", build.U16, 65_535),
        ("a.i16", build.I16, -2),
        ("a.u32", build.U32, 1 << 31),
        ("a.i32", build.I32, -3),
        ("a.f32", build.F32, 0.5),
        ("a.bool", build.BOOL, True),
        ("a.u64", build.U64, 1 << 63),
        ("a.text", build.STRING, "später"),
        ("a.list", build.ARRAY, (build.F32, [1.0, 2.0])),
        ("a.none", build.ARRAY, (build.STRING, [])),
    ]
    header = gguf.read(build.written(tmp_path, build.gguf(entries, [])))
    assert list(header.metadata.values()) == [
        *(255, -1, 65_535, -2, 1 << 31, -3, 0.5, True, 1 << 63, "später", [1.0, 2.0], [])
    ]


def test_a_header_longer_than_one_read(tmp_path: Path) -> None:
    many = [f"token {number}" for number in range(400_000)]
    entries: list[build.Entry] = [("many", build.ARRAY, (build.STRING, many))]
    header = gguf.read(build.written(tmp_path, build.gguf(entries, [])))
    assert header.metadata["many"] == many


def with_tensor(**changes: object) -> bytes:
    fields = {"name": "x", "shape": (32,), "type": 0, "offset": 0, "size": 128, **changes}
    return build.gguf([], [tuple(fields.values())])  # type: ignore[list-item]


def with_entries(*entries: build.Entry) -> bytes:
    return build.gguf(list(entries), [])


DAMAGE = {
    "empty": (b"", "is empty"),
    "text": (b"GG and then some text that is no model", "not a GGUF file"),
    "another file": (b"PK\3\4" + bytes(100), "not a GGUF file"),
    "nothing after the magic": (b"GGUF", "not a GGUF file"),
    "version 1": (build.gguf(version=1), "version 1"),
    "big-endian": (build.gguf(version=3 << 24), "version"),
    "too many tensors": (build.gguf(tensor_count=1 << 40), "1,099,511,627,776 tensors"),
    "too many keys": (build.gguf(entry_count=1 << 40), "1,099,511,627,776 metadata keys"),
    "more tensors than there are": (build.gguf(tensor_count=12), "damaged"),
    "more keys than there are": (build.gguf(entry_count=14), "damaged"),
    "key twice": (with_entries(("a", 4, 1), ("a", 4, 1)), "'a' occurs twice"),
    "alignment 3": (with_entries(("general.alignment", 4, 3)), "alignment is 3"),
    "alignment 0": (with_entries(("general.alignment", 4, 0)), "alignment is 0"),
    "alignment of text": (with_entries(("general.alignment", 8, "x")), "alignment is 'x'"),
    "no dimensions": (with_tensor(shape=()), "0 dimensions"),
    "five dimensions": (with_tensor(shape=(32, 1, 1, 1, 1)), "5 dimensions"),
    "empty dimension": (with_tensor(shape=(32, 0)), "has the shape (32, 0)"),
    "huge dimension": (with_tensor(shape=(1 << 40, 1 << 40)), "has the shape"),
    "unknown type": (with_tensor(type=5), "unknown type 5"),
    "rows of broken blocks": (with_tensor(shape=(33,), type=8), "multiple of Q8_0's 32"),
    "a gap": (with_tensor(offset=32), "offset 32 instead of 0"),
    "no name": (with_tensor(name=""), "name has 0 characters"),
    "a long name": (with_tensor(name="x" * 64), "name has 64 characters"),
    "tensor twice": (build.gguf([], [("x", (8,), 0, 0, 32), ("x", (8,), 0, 32, 32)]), "twice"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    raw, message = DAMAGE[kind]
    with pytest.raises(ModelFileError) as caught:
        gguf.read(build.written(tmp_path, raw))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_unknown_value_types(tmp_path: Path) -> None:
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + build.string("a")
    for rest in (
        struct.pack("<I", 13),
        struct.pack("<IIQ", 9, 9, 1),
        struct.pack("<IIQ", 9, 77, 1),
    ):
        with pytest.raises(ModelFileError, match="unknown value type"):
            gguf.read(build.written(tmp_path, head + rest + bytes(64)))


def test_claims_do_not_cost_memory(tmp_path: Path) -> None:
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + build.string("a")
    huge_array = head + struct.pack("<IIQ", 9, 0, 1 << 50)
    huge_string = head + struct.pack("<IQ", 8, 1 << 50)
    for raw in (huge_array, huge_string):
        with pytest.raises(ModelFileError, match="1,125,899,906,842,624"):
            gguf.read(build.written(tmp_path, raw))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_short(tmp_path: Path, share: float) -> None:
    with pytest.raises(ModelFileError, match="cut short"):
        gguf.read(build.written(tmp_path, SOUND[: int(len(SOUND) * share)]))


def test_one_byte_short(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=f"has {len(SOUND) - 1:,} bytes"):
        gguf.read(build.written(tmp_path, SOUND[:-1]))


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no model file"):
        gguf.read(tmp_path / "nowhere.gguf")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not a regular file"):
        gguf.read(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        gguf.read(tmp_path / "pipe")


def test_not_readable(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(ModelFileError, match="cannot read"):
        gguf.read(path)


HEADER_BYTES = len(SOUND) - sum(size for *_, size in build.tensors())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, HEADER_BYTES - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(SOUND)),
)
def test_any_damage_is_a_model_file_error(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], length: int
) -> None:
    raw = bytearray(SOUND)
    for at, byte in flips:
        raw[at] = byte
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(raw if flips else raw[:length])
    try:
        header = gguf.read(path)
    except ModelFileError:
        return
    assert header.data_offset + header.tensor_bytes <= header.file_bytes
