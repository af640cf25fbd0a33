"""Records as JSON text, both ways, for any string that Python can hold.

A guest may print a lone surrogate, which UTF-8 cannot carry and msgspec refuses.
Such rare texts take the slower way through the standard library, which writes
and reads the surrogate as an escape; what comes back equals what went in.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def encode(value: object) -> bytes:
    """`value` (records, containers, scalars) as one line of JSON, without a newline."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value)
        return json.dumps(plain, separators=(",", ":")).encode("ascii")


def decode(data: bytes, kind: type[T]) -> T:
    """The value of type `kind` in `data`. Raises ValueError on anything else.

    (msgspec's DecodeError and ValidationError, and UnicodeDecodeError, are ValueErrors.)
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(data), type=kind)
