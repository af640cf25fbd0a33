"""Texts cut to what a model's window holds, by its own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: Tokens of a text, as a model counts them.
Count = Callable[[str], int]

#: Stands where a text was cut out.
GAP = "\n[…]\n"
_CHARS_PER_TOKEN = 8  # a first guess; more than any text has for long


def pieces(text: str, room: int, count: Count) -> Iterator[str]:
    """`text` in pieces of at most `room` tokens, cut behind a line or a word where they can be."""
    start, size = 0, room * _CHARS_PER_TOKEN
    while start < len(text):
        end = min(len(text), start + size)
        while (tokens := count(text[start:end])) > room and end - start > 1:
            end = start + max(1, int((end - start) * room / tokens))
        size = max(1, (end - start) * room // max(1, tokens))
        if end < len(text):
            end = _boundary(text, start, end)
        yield text[start:end]
        start = end


def head_and_tail(text: str, room: int, count: Count) -> str:
    """`text` if it has at most `room` tokens, else its beginning and its end, as much of each."""
    size = min(len(text), room * _CHARS_PER_TOKEN)
    shown = text if size == len(text) else _ends(text, size)
    while (tokens := count(shown)) > room and size > 1:
        size = int(size * room / tokens)
        shown = _ends(text, size)
    return shown


def _ends(text: str, size: int) -> str:
    head = (size + 1) // 2
    return text[:head] + GAP + text[len(text) - size // 2 :]


def _boundary(text: str, start: int, end: int) -> int:
    """The last place up to `end` behind a line end or space, if it is in the second half."""
    for mark in ("\n", " "):
        at = text.rfind(mark, start + (end - start) // 2, end)
        if at >= 0:
            return at + 1
    return end
