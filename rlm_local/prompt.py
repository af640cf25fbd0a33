"""Prompts of any length as memory-mappable files.

(interface sketch)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Region(NamedTuple):
    """`length` bytes of the spool file `path` from `offset` (a multiple of the page size),
    to be mapped as one piece."""

    path: Path
    offset: int
    length: int


class Document(NamedTuple):
    """One text: `chars` characters of `kind` bytes each at byte `start` of region `region`."""

    name: str
    region: int
    start: int
    chars: int
    kind: int
    ascii: bool


class Prompt:
    """A spooled prompt. `single`: the guest sees one `str`, otherwise a list of `str`."""

    regions: Sequence[Region]
    documents: Sequence[Document]
    single: bool
