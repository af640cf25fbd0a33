"""JSONL."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import PromptError
from rlm_local.spool import lines
from rlm_local.spool.lines import read_lines


def read(data: bytes, bad_bytes: str = "error") -> list[tuple[str, str]]:
    found = read_lines(io.BytesIO(data), "docs.jsonl", bad_bytes)  # type: ignore[arg-type]
    return [(line.name, line.text) for line in found]


@settings(deadline=None)
@given(st.lists(st.text()), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
def test_strings_come_back(texts: list[str], escape: bool, end: str) -> None:
    data = end.join(json.dumps(text, ensure_ascii=escape) for text in texts)
    assert [text for _, text in read(data.encode())] == texts


def test_texts_and_names_of_objects() -> None:
    rows = [
        {"text": "a", "id": 7, "title": "no"},
        {"content": "b", "name": "bee", "extra": [1, {"x": None}]},
        {"text": "c", "id": None, "title": "sea"},
        {"text": "d", "id": {"of": "no use"}},
        "e",
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    assert read(data) == [("7", "a"), ("bee", "b"), ("sea", "c"), ("line 4", "d"), ("line 5", "e")]


def test_sizes_sum_up_to_the_file() -> None:
    data = b'\xef\xbb\xbf"a"\n"b"\r\n"c"'
    found = list(read_lines(io.BytesIO(data), "docs.jsonl", "error"))
    assert [line.text for line in found] == ["a", "b", "c"]
    assert sum(line.size for line in found) == len(data)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "docs.jsonl, line 2 is not JSON"),
        (b'"a" "b"', "docs.jsonl, line 2 is not JSON"),
        (b"[" * 100_000, "docs.jsonl, line 2 is not JSON"),
        (b"[1]", "docs.jsonl, line 2 is neither a JSON string nor an object"),
        (b"3", "docs.jsonl, line 2 is neither"),
        (b'{"body": "x"}', "docs.jsonl, line 2 is an object without a text"),
        (b'{"text": 3}', "docs.jsonl, line 2 is an object without a text"),
        (b'"\xff"', "docs.jsonl, line 2 is not valid UTF-8: byte 0xff at offset 8 "),
    ],
)
def test_a_bad_line_is_named(line: bytes, message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        read(b'"fine"\n' + line + b"\n")
    assert ("- < FILE" in caught.value.hint) is (b"\xff" not in line)


def test_lines_in_another_encoding() -> None:
    with pytest.raises(PromptError, match=r"docs\.jsonl is UTF-16, and only UTF-8") as caught:
        read('"one"\n'.encode("utf-16"))
    assert "iconv -f UTF-16 " in caught.value.hint
    with pytest.raises(PromptError, match=r"docs\.jsonl is compressed by gzip"):
        read(gzip.compress(b'"one"\n'), "replace")


def test_bad_bytes_are_replaced_when_asked() -> None:
    assert read(b'"a\xffb"\n', "replace") == [("line 1", "a\ufffdb")]


def test_a_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 8)
    assert read(b'"12345"\n') == [("line 1", "12345")]
    with pytest.raises(PromptError, match="line 2 is longer than 8 bytes"):
        read(b'"12345"\n"123456"\n')
