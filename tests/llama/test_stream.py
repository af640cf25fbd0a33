"""From tokens' bytes to text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rlm_local.fences import end_of_block
from rlm_local.llama.stream import TextStream


def fed(pieces: list[bytes], **how: object) -> tuple[str, int]:
    """The text, and how many pieces were taken."""
    stream = TextStream(**{"fence": False, **how})  # type: ignore[arg-type]
    for taken, piece in enumerate(pieces, 1):
        if stream.feed(piece):
            return stream.finish(), taken
    return stream.finish(), len(pieces)


@given(st.text(), st.lists(st.integers(1, 7)))
def test_any_cut_of_the_bytes_gives_the_text(text: str, sizes: list[int]) -> None:
    raw = text.encode()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(raw[at : at + size])
        at += size
    assert fed([*pieces, raw[at:]])[0] == text


def test_half_a_character_waits() -> None:
    stream = TextStream(fence=False)
    euro = "€".encode()
    stream.feed(b"5 " + euro[:1])
    assert stream.text == "5 "
    stream.feed(euro[1:2])
    assert stream.text == "5 "
    stream.feed(euro[2:] + b"!")
    assert stream.text == "5 €!"


def test_half_a_character_at_the_end() -> None:
    assert fed([b"5 ", "€".encode()[:2]])[0] == "5 \ufffd"


def test_bytes_that_are_not_text() -> None:
    assert fed([b"a\xff\xfeb"])[0] == "a\ufffd\ufffdb"


def test_the_text_ends_with_its_first_block() -> None:
    pieces = [b"Look:\n", b"``", b"`repl\n", b"print(1)\n``", b"`", b"\nOutput: 1"]
    assert fed(pieces, fence=True) == ("Look:\n```repl\nprint(1)\n```", 5)


def test_what_comes_with_the_closing_fence_is_cut() -> None:
    pieces = [b"```python\nx\n", b"```\n\nThe answer"]
    assert fed(pieces, fence=True) == ("```python\nx\n```\n", 2)


def test_other_fences_do_not_end_it() -> None:
    pieces = [b"```json\n{}\n```\n", b"so"]
    assert fed(pieces, fence=True) == ("```json\n{}\n```\nso", 2)


def test_without_a_fence_stop_nothing_is_cut() -> None:
    pieces = [b"```repl\n1\n```\n", b"so"]
    assert fed(pieces) == ("```repl\n1\n```\nso", 2)


@given(st.lists(st.sampled_from(["```repl\n", "```", "`", "\n", "x", " ", "```json\n", "é"])))
def test_it_ends_where_the_fences_say(parts: list[str]) -> None:
    text, taken = fed([part.encode() for part in parts], fence=True)
    assert text == "".join(parts[:taken])[: len(text)]
    if (end := end_of_block(text)) is not None:
        assert len(text) == end
    else:
        assert taken == len(parts)


def test_a_stop_text_over_several_tokens() -> None:
    assert fed([b"Yes.\n#", b"## Us", b"er: no"], stops=("\n### User:",)) == ("Yes.", 3)


def test_a_stop_text_at_once() -> None:
    assert fed([b"Yes.\n### User: x"], stops=("\n### User:",)) == ("Yes.", 1)
