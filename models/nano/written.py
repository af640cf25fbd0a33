"""The written wordings of training: sentences by hand in `wordings/*.txt`, a section a kind.

Beside the composed ones of `phrasing` they bring what a grammar does not think of. Whoever
wrote them had not seen the held-out ones. A line is a template as in `phrasing`; `[name]` begins
a section.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "wordings"
_HEAD = re.compile(r"\[([\w-]+)\]")


def section(file: str, name: str) -> tuple[str, ...]:
    """The templates of a section of `wordings/FILE.txt`. KeyError if it has no such section."""
    return sections(file)[name]


@cache
def sections(file: str) -> dict[str, tuple[str, ...]]:
    """All sections of `wordings/FILE.txt`, in their order."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (FOLDER / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if head := _HEAD.fullmatch(line):
            lines = found.setdefault(head[1], [])
        elif line.strip():
            lines.append(line)
    return {name: tuple(templates) for name, templates in found.items()}
