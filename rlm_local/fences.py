"""Code fences in a model's text: the one place that knows what a block looks like.

Used by `dialogue` to find the code and by the engine to stop generating once a
block is closed, so that both agree.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Fences whose content runs. Others (```json, ```text) are prose to us.
RUNNABLE = ("repl", "python")

_OPEN = re.compile(r"^ {0,3}```[ \t]*(repl|python)[ \t]*\r?\n", re.MULTILINE)
_CLOSE = re.compile(r"^ {0,3}```[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


class Block(NamedTuple):
    """A runnable block: its code, where it starts, where it ends, whether it was closed."""

    code: str
    start: int
    end: int
    closed: bool


def blocks(text: str) -> list[Block]:
    """All runnable blocks of `text`, in order. Only the last can be unclosed."""
    found = []
    position = 0
    while (opening := _OPEN.search(text, position)) is not None:
        closing = _CLOSE.search(text, opening.end())
        code_end = closing.start() if closing else len(text)
        position = closing.end() if closing else len(text)
        code = text[opening.end() : code_end]
        found.append(Block(code, opening.start(), position, closing is not None))
    return found


def as_block(code: str) -> str:
    """`code` as a runnable block."""
    return f"```repl\n{code.strip(chr(10))}\n```"


def end_of_block(text: str) -> int | None:
    """Where the first runnable block of `text` ends, its closing fence included, or None."""
    for block in blocks(text):
        return block.end if block.closed else None
    return None
