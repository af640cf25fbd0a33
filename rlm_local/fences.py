"""Code fences in a model's text: the one place that knows what a block looks like.

Used by `dialogue` to find the code and by the engine to stop generating once a
block is closed and to see that there is one, so that both agree.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Fences whose content runs. Others (```json, ```text) are prose to us.
RUNNABLE = ("repl", "python")
#: A line with which a run can end without a block, for models that were trained on that.
TEXT_FINAL = re.compile(r"^[ \t>*`]*(FINAL|FINAL_VAR)\(", re.MULTILINE)
#: What opens a block at the beginning of a line, and what closes it.
OPENING, CLOSING = "```repl\n", "```"

_OPEN = re.compile(r"^ {0,3}```[ \t]*(repl|python)[ \t]*\r?\n", re.MULTILINE)
_CLOSE = re.compile(r"^ {0,3}```[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}```([^\n]*)(\n?)", re.MULTILINE)
_INFO = re.compile(r"[ \t]*(repl|python)[ \t]*\r?")
_FENCE_CHARS = 6  # within which the backticks of a fence come on their line


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
    return OPENING + code.strip("\n") + "\n" + CLOSING


def end_of_block(text: str) -> int | None:
    """Where the first runnable block of `text` ends, its closing fence included, or None."""
    for block in blocks(text):
        return block.end if block.closed else None
    return None


def in_its_place(text: str, piece: str, *, ends: bool = False) -> str:
    """What is to be written in place of `piece`, with which a model goes on after `text`, if
    the whole is to be prose and one runnable block; '' where `piece` itself will do.

    `ends`: the model wants to end there. Before it has written a block, one is opened
    for it; one that it left open is closed; a text that ends the run needs none. A fence
    of another language becomes that of a runnable block.
    """
    line = text.rfind("\n") + 1
    if not ends and "`" not in piece and "`" not in text[line : line + _FENCE_CHARS]:
        return ""
    if found := blocks(text):
        return _on_a_line(text, CLOSING) if ends and not found[0].closed else ""
    if not ends:
        return _runnable(text[line:], piece)
    return "" if TEXT_FINAL.search(text) else opened(text)


def opened(text: str) -> str:
    """What opens a block after `text`, which may have begun to do so."""
    line = text.rpartition("\n")[2]
    fence = _FENCE.search(line)
    return _on_a_line(text, OPENING) if fence is None else _rest_of_name(fence[1])


def _on_a_line(text: str, fence: str) -> str:
    return fence if not text or text.endswith("\n") else f"\n{fence}"


def _runnable(line: str, piece: str) -> str:
    """In place of a `piece` that opens, in its line or below, a block that would not run."""
    whole = line + piece
    fence = _FENCE.search(whole)
    if fence is None:
        return ""
    info, complete = fence[1], bool(fence[2])
    if _INFO.fullmatch(info) or (not complete and _begins_one(info)):
        return ""
    start = fence.start(1)
    return whole[len(line) : start] + _rest_of_name(line[start:])


def _begins_one(info: str) -> bool:
    return any(name.startswith(info.lstrip(" \t")) for name in RUNNABLE)


def _rest_of_name(begun: str) -> str:
    """What is missing behind the backticks and the beginning of a name, or all of it."""
    begun = begun.strip()
    name = next(name for name in RUNNABLE if name.startswith(begun))
    return name[len(begun) :] + "\n"
