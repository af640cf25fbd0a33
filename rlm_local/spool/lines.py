"""JSONL: one document in each line, a JSON string or an object that has a text."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from rlm_local.errors import PromptError
from rlm_local.spool.records import TEXT_KEYS, first
from rlm_local.spool.utf8 import BAD_BYTES_HINT, BadBytes, refuse_foreign

#: The longest line, in bytes: it is held in memory.
LINE_BYTES = 256 << 20

_HINT = (
    "each line is a JSON string, or an object with 'text' or 'content'; "
    "give the file as standard input (- < FILE) to ask about it as it is"
)
_NAME_KEYS = ("id", "name", "title")


class Line(NamedTuple):
    """A document of a JSONL file, and how many bytes of the file its line took. `where`: what
    messages call it."""

    name: str
    text: str
    size: int
    where: str


def read_lines(file: BinaryIO, name: str, bad_bytes: BadBytes) -> Iterator[Line]:
    """Read documents from the JSONL `file`, called `name` in messages.

    The text of an object is its `text` or `content`, its name its `id`, `name`
    or `title`; a document without one is called "line 7". Blank lines are
    passed over. Raises PromptError with the line's number.
    """
    number = 0
    offset = 0
    while raw := file.readline(LINE_BYTES + 1):
        number += 1
        where = f"{name}, line {number:,}"
        if len(raw) > LINE_BYTES:
            raise PromptError(
                f"{where} is longer than {LINE_BYTES:,} bytes",
                hint="give a text of this size as a file of its own",
            )
        size = len(raw)
        if number == 1:
            refuse_foreign(raw, name)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            line = raw.decode("utf-8", "strict" if bad_bytes == "error" else "replace")
        except UnicodeDecodeError as error:
            raise PromptError(
                f"{where} is not valid UTF-8: byte 0x{raw[error.start]:02x} at offset "
                f"{offset + size - len(raw) + error.start:,} ({error.reason})",
                hint=BAD_BYTES_HINT,
            ) from error
        offset += size
        if line.strip():
            title, text = _document(line, where)
            yield Line(title or f"line {number}", text, size, where)


def _document(line: str, where: str) -> tuple[str, str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{where} is not JSON: {error}", hint=_HINT) from error
    if isinstance(value, str):
        return "", value
    if not isinstance(value, dict):
        raise PromptError(f"{where} is neither a JSON string nor an object", hint=_HINT)
    text = first(value, TEXT_KEYS)
    if not isinstance(text, str):
        raise PromptError(f"{where} is an object without a text", hint=_HINT)
    title = first(value, _NAME_KEYS)
    return (str(title) if isinstance(title, (str, int, float)) else ""), text
