"""What a JSONL file holds: documents, or records as of a table or a log.

Loads no numpy: it is asked before the second wall is up, and numpy starts threads.
"""

from __future__ import annotations

import codecs
import json
from typing import BinaryIO

TEXT_KEYS = ("text", "content")
_LOOKED_AT = 1 << 20


def holds_records(file: BinaryIO) -> bool:
    """Whether the first line is an object without a text: then the file is no list of documents,
    but one text. It is looked at in its first megabyte."""
    head = file.read(_LOOKED_AT).lstrip(codecs.BOM_UTF8 + b" \t\r\n")
    try:
        value = json.loads(head.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and first(value, TEXT_KEYS) is None


def first(value: dict[str, object], keys: tuple[str, ...]) -> object:
    """What stands under the first of the keys that has something; None if none has."""
    return next((value[key] for key in keys if value.get(key) is not None), None)
