"""UTF-8 in blocks, against Python's own decoder."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import zipfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlm_local.errors import PromptError
from rlm_local.spool.utf8 import HEAD_BYTES, NotTextError, Storage, Utf8Reader, storage_of_utf8
from tests.spool.contract import width

TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(max_codepoint=0x7F)),
    st.text(st.characters(max_codepoint=0xFF)),
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])),
)
# Bytes that are nearly UTF-8: pieces of text, lone lead and continuation bytes, any bytes.
NEARLY = st.lists(
    st.one_of(
        st.text(max_size=4).map(str.encode),
        st.sampled_from([b"\x80", b"\xbf", b"\xc0\x80", b"\xc3", b"\xe0\x80", b"\xe2\x82"]),
        st.sampled_from([b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xff"]),
        st.binary(max_size=6),
    ),
    max_size=12,
).map(b"".join)


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def read(data: bytes, size: int, bad_bytes: str = "error") -> tuple[str, Utf8Reader]:
    reader = Utf8Reader("notes.txt", bad_bytes)  # type: ignore[arg-type]
    text = "".join(reader.decode(block) for block in blocks(data, size))
    return text + reader.decode(b"", final=True), reader


@settings(deadline=None)
@given(TEXTS, st.integers(1, 9))
@example("\ufeffabc", 1)
@example("\ufeff\ufeff", 2)
@example("é" * 3 + "€" * 3 + "😀" * 3, 1)
def test_valid_text_comes_back(text: str, size: int) -> None:
    if "\0" in text:
        text = text.replace("\0", "0")
    got, reader = read(text.encode(), size)
    assert got == text.removeprefix("\ufeff")
    assert reader.chars == len(got)
    assert reader.bytes == len(got.encode())
    assert reader.has_bom == text.startswith("\ufeff")
    assert (reader.storage.kind, reader.storage is Storage.ASCII) == width(got)


@settings(deadline=None)
@given(NEARLY, st.integers(1, 9))
@example(b"abc\xe2\x82", 3)
@example(b"\xef\xbb", 1)
@example(b"\xf0\x9f\x98\x80\xff", 2)
def test_the_same_bytes_are_refused_at_the_same_offset(data: bytes, size: int) -> None:
    data = b"...." + data.replace(b"\0", b"0")  # no byte order mark, no NUL
    try:
        expected = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(PromptError, match=rf"at offset {error.start:,} \({error.reason}\)"):
            read(data, size)
    else:
        assert read(data, size)[0] == expected


@settings(deadline=None)
@given(NEARLY, st.integers(1, 9))
@example(b"\xf0\x9f\x98", 1)
def test_bad_bytes_are_replaced_as_python_does(data: bytes, size: int) -> None:
    data = b"...." + data.replace(b"\0", b"0")
    got, reader = read(data, size, "replace")
    assert got == data.decode(errors="replace")
    assert (reader.bytes, reader.offset) == (len(got.encode()), len(data))
    assert (reader.storage.kind, reader.storage is Storage.ASCII) == width(got)


@settings(deadline=None)
@given(TEXTS)
@example("\x7f")
@example("\x80")
@example("\xff")
@example("\u0100")
@example("\uffff")
@example("\U00010000")
@example("\U0010ffff")
def test_storage_is_told_by_the_highest_byte(text: str) -> None:
    storage = storage_of_utf8(text.encode())
    assert (storage.kind, storage is Storage.ASCII) == width(text)
    assert len(text.encode(storage.codec)) == len(text) * storage.kind


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("size", [1, 2, 1 << 20])
@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32-le", "UTF-32"),
        ("utf-32-be", "UTF-32"),
    ],
)
def test_other_encodings_are_named(codec: str, name: str, size: int) -> None:
    with pytest.raises(NotTextError, match=f"is {name}, and only UTF-8") as caught:
        read("\ufeffhello".encode(codec), size)
    assert f"iconv -f {name}" in caught.value.hint


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_from_binary(codec: str, size: int) -> None:
    name = codec.upper().replace("-LE", "LE").replace("-BE", "BE")
    with pytest.raises(NotTextError, match=f"is {name}, and only UTF-8") as caught:
        read("the café, mostly Latin €".encode(codec), size)
    assert f"iconv -f {name} " in caught.value.hint
    with pytest.raises(NotTextError, match="is a binary file"):
        read(bytes(24), size)


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "what", "hint"),
    [
        (b"%PDF-1.4\n%\xe2\xe3", "a PDF file", "pdftotext"),
        (zipped("word/document.xml", b"<w/>"), "a ZIP archive", "pandoc"),
        (gzip.compress(b"text"), "compressed by gzip", "gunzip"),
        (lzma.compress(b"text"), "compressed by xz", "unxz"),
        (b"\x28\xb5\x2f\xfd\x20\x01\x09", "compressed by zstd", "unzstd"),
    ],
)
def test_what_text_comes_packed_in_is_named(data: bytes, what: str, hint: str, size: int) -> None:
    with pytest.raises(NotTextError, match=f"is {what}.*, and only text") as caught:
        read(data, size)
    assert hint in caught.value.hint


def test_a_text_that_begins_like_a_packed_one() -> None:
    for text in ("%PD", "%PDF", "PK", "BZh", "("):
        assert read(text.encode(), 1)[0] == text


@pytest.mark.parametrize("size", [5, 1 << 20])
@pytest.mark.parametrize("place", [0, 9, HEAD_BYTES - 1])
def test_a_nul_near_the_start_means_binary(place: int, size: int) -> None:
    data = b"x" * place + b"\0" + b"x" * 9
    with pytest.raises(NotTextError, match=f"NUL byte at offset {place:,}$"):
        read(data, size)


@pytest.mark.parametrize("size", [1000, 4096, 1 << 20])
@pytest.mark.parametrize("bad_bytes", ["error", "replace"])
def test_a_nul_far_from_the_start_is_a_character(bad_bytes: str, size: int) -> None:
    text = "x" * HEAD_BYTES + "\0y"
    assert read(text.encode(), size, bad_bytes)[0] == text


def test_an_offset_counts_the_byte_order_mark() -> None:
    with pytest.raises(PromptError, match=re.escape("byte 0xff at offset 5 ")):
        read(b"\xef\xbb\xbfab\xff", 1)
