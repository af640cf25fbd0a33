"""Texts cut to a window: nothing is lost, and nothing is longer than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.windows import GAP, head_and_tail, pieces

TEXTS = st.text(st.sampled_from("ab é\n.✓"), max_size=400)


def count_bytes(text: str) -> int:
    """Tokens of the worst tokenizer."""
    return len(text.encode())


def count_words(text: str) -> int:
    return len(text.split())


@given(TEXTS, st.integers(3, 60))
def test_pieces_are_the_text_and_fit(text: str, room: int) -> None:
    for count in (count_bytes, count_words):
        found = list(pieces(text, room, count))
        assert "".join(found) == text
        assert all(count(piece) <= room and piece for piece in found)


def test_pieces_end_behind_a_line_or_a_word() -> None:
    text = "one two three\n" * 20
    assert all(piece.endswith("\n") for piece in pieces(text, 40, count_bytes))
    words = "four " * 30
    assert all(piece.endswith(" ") for piece in pieces(words, 13, count_bytes))


@given(TEXTS, st.integers(20, 120))
def test_what_fits_is_whole_and_what_does_not_is_cut_to_fit(text: str, room: int) -> None:
    shown = head_and_tail(text, room, count_bytes)
    if count_bytes(text) <= room:
        assert shown == text
    else:
        assert count_bytes(shown) <= room
        head, gap, tail = shown.partition(GAP)
        assert gap
        assert text.startswith(head)
        assert text.endswith(tail)
        assert abs(len(head) - len(tail)) <= 1


def test_most_of_the_room_is_used() -> None:
    text = "some words of a text\n" * 1_000
    assert count_words(head_and_tail(text, 500, count_words)) >= 450
