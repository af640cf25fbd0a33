"""Which pages of a guest's memory it has written to, as the kernel tells.

A fork's memory is private mappings of files: the snapshot, the prompt, a
checkpoint. A page of those stays a page of the file until it is written to; then
the process has an anonymous copy of its own. `/proc/self/pagemap` says which of
the two each page is, so nothing is compared and nothing is read.
"""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple, TypeAlias

import numpy as np

PAGE_BYTES = mmap.PAGESIZE

_PAGEMAP = "/proc/self/pagemap"
_ENTRY_BYTES = 8
#: Bits 63, 62 and 61 of an entry: present, swapped out, a page of a file.
_FLAGS_AT = np.uint64(61)
_OF_FILE = np.uint64(1)

#: Numbers of pages, ascending.
Pages: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


class Extent(NamedTuple):
    """`pages` of them from page `first` on."""

    first: int
    pages: int


class PageMap:
    """The kernel's table of this process's pages."""

    def __init__(self) -> None:
        """Raises OSError where there is none: outside Linux, or if /proc is not mounted."""
        self._file = os.open(_PAGEMAP, os.O_RDONLY | os.O_CLOEXEC)

    def written(self, address: int, length: int) -> Pages:
        """The pages among `length` bytes from `address` on that are no longer a file's.

        Both are multiples of the page size; page 0 is at `address`. A page that was
        written to is always among them; one that was only read may be.
        """
        wanted = length // PAGE_BYTES * _ENTRY_BYTES
        start = address // PAGE_BYTES * _ENTRY_BYTES
        table = bytearray()
        while len(table) < wanted:
            piece = os.pread(self._file, wanted - len(table), start + len(table))
            if not piece:
                raise OSError(f"{_PAGEMAP} ends at {start + len(table):,}")
            table += piece
        flags = np.frombuffer(table, np.uint64) >> _FLAGS_AT
        return np.flatnonzero((flags & _OF_FILE == 0) & (flags != 0))

    def close(self) -> None:
        """Close it. Closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def extents(pages: Pages, gap: int) -> list[Extent]:
    """`pages` as extents; pages at most `gap` apart share one, with what lies between them."""
    if not len(pages):
        return []
    breaks = np.flatnonzero(np.diff(pages) > gap + 1)
    firsts = pages[np.concatenate(([0], breaks + 1))].tolist()
    lasts = pages[np.concatenate((breaks, [len(pages) - 1]))].tolist()
    return [Extent(first, last - first + 1) for first, last in zip(firsts, lasts, strict=True)]
