"""The documents of a spooled prompt: a manifest, and a table in mmap-ninja's format.

The table is an int64 array with one row a document, `names` an mmap-ninja
`StringsMmap`. Both are read through mmap-ninja. They are written with plain
writes of our own: the library writes through a memory map of a sparse file, and
there a full disk kills the process instead of raising an error.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

from mmap_ninja import numpy as ninja
from mmap_ninja.string import StringsMmap

from rlm_local.records import Record
from rlm_local.spool import files
from rlm_local.spool.files import SpoolFile, spool_errors
from rlm_local.spool.utf8 import Storage

#: Changed whenever the spool's layout is: older spools are not reused.
FORMAT = 2

_COLUMNS = 6  # of the table: the fields of Document after `name`
_ROWS_AT_ONCE = 1024


class Region(NamedTuple):
    """`length` bytes of the spool file `path` from `offset`, to be mapped as one piece.

    Both are multiples of 64 KiB. At least 4 zero bytes follow the last text.
    """

    path: Path
    offset: int
    length: int


class Document(NamedTuple):
    """One text: `chars` characters of `kind` bytes each at byte `start` of region `region`.

    `kind` and `ascii` are those of the `str` (PEP 393): 1, 2 or 4, little-endian.
    `start` is a multiple of 16. Where it is 0, the text begins its region;
    elsewhere the 32 bytes before it are free. At least 4 zero bytes follow the
    text. `first_char` counts the characters of all documents before this one.
    """

    name: str
    region: int
    start: int
    chars: int
    kind: int
    ascii: bool
    first_char: int = 0


class RegionFile(Record, frozen=True):
    """A region, as the manifest keeps it: `file` is relative to the spool's folder."""

    file: str
    length: int


class Manifest(Record, frozen=True):
    """What a spool holds. `bytes` is the size of its texts in UTF-8, `identity` tells its
    content from any other's (see `rlm_local.spool.identity`)."""

    format: int
    single: bool
    regions: tuple[RegionFile, ...]
    documents: int
    chars: int
    bytes: int
    kind: int
    skipped: tuple[str, ...]
    identity: str


class IndexWriter:
    """Writes the documents of a prompt into the spool `folder` as they come, so that its
    memory does not grow with their number. `chars` and `kind` are of all so far."""

    def __init__(self, folder: Path) -> None:
        self.chars = 0
        self.kind = 1
        self._folder = folder
        self._count = 0
        self._rows = array("q")
        self._names = bytearray()
        self._starts = array("q")
        self._ends = array("q")
        self._end = 0  # of the last name
        self._files: dict[str, SpoolFile] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, name: bytes, region: int, start: int, chars: int, storage: Storage) -> None:
        """Enter the next document, with its name in UTF-8; see `Document`. Raises PromptError."""
        is_ascii = storage is Storage.ASCII
        self._rows.extend((region, start, chars, storage.kind, is_ascii, self.chars))
        self._names += name
        self._starts.append(self._end)
        self._end += len(name)
        self._ends.append(self._end)
        self._count += 1
        self.chars += chars
        self.kind = max(self.kind, storage.kind)
        if len(self._ends) >= _ROWS_AT_ONCE or len(self._names) >= files.BLOCK_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what is left, and what describes the arrays. Raises PromptError."""
        self._flush()
        if not self._end:  # names without a single character: an empty file cannot be mapped
            self._append("names", b"\0")
        self.close()
        _describe(self._folder / "table", (self._count, _COLUMNS))
        _write(self._folder / "names" / "type.ninja", b"string")
        _describe(self._folder / "names" / "starts", (self._count,))
        _describe(self._folder / "names" / "ends", (self._count,))

    def close(self) -> None:
        """Close what is open. Closing twice is harmless."""
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        self._append("table", self._rows.tobytes())
        self._append("names", self._names)
        self._append("names/starts", self._starts.tobytes())
        self._append("names/ends", self._ends.tobytes())
        for kept in (self._rows, self._names, self._starts, self._ends):
            del kept[:]

    def _append(self, name: str, data: bytes | bytearray) -> None:
        """Append to the data of the array `name`."""
        if name not in self._files:
            _make_folder(self._folder / name)
            self._files[name] = SpoolFile(self._folder / name / "data.ninja")
        self._files[name].write(data)


def _describe(folder: Path, shape: tuple[int, ...]) -> None:
    """What mmap-ninja wants to know of an array of int64."""
    _write(folder / "type.ninja", b"numpy")
    _write(folder / "dtype.ninja", b"int64")
    _write(folder / "order.ninja", b"C")
    _write(folder / "shape.ninja", struct.pack(f"<{len(shape)}Q", *shape))


def _make_folder(folder: Path) -> None:
    with spool_errors(folder):
        folder.mkdir(mode=0o700)


def _write(path: Path, data: bytes | bytearray) -> None:
    with SpoolFile(path) as file:
        file.write(data)


class Documents(Sequence[Document]):
    """The documents of a spool, read from the mapped table when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Open the index in `folder`. Raises OSError, ValueError if it is damaged."""
        self._table = ninja.open_existing(folder / "table", mode="r")
        self._names = StringsMmap(folder / "names", mode="rb")
        names_bytes = len(self._names.buffer)
        if len(self._table) != len(self._names) or max(1, self._names.ends[-1]) != names_bytes:
            self.close()
            raise ValueError(f"the index in {folder} is damaged")

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Document: ...

    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...

    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            places = range(len(self))[index]
            if places.step == 1:
                return self._block(places.start, places.stop)
            return [self[place] for place in places]
        if not -len(self) <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        return _document(self._names[index], self._table[index].tolist())

    def __iter__(self) -> Iterator[Document]:
        for first in range(0, len(self), _ROWS_AT_ONCE):
            yield from self._block(first, first + _ROWS_AT_ONCE)

    def _block(self, first: int, stop: int) -> list[Document]:
        """Many times as fast as asking for each of them."""
        rows = self._table[first:stop].tolist()
        starts = self._names.starts[first:stop].tolist()
        ends = self._names.ends[first:stop].tolist()
        name = self._names.buffer
        return [
            _document(name[start:end].decode(), row)
            for row, start, end in zip(rows, starts, ends, strict=True)
        ]

    def close(self) -> None:
        """Unmap the table. Closing twice is harmless."""
        self._names.close()


def _document(name: str, row: list[int]) -> Document:
    region, start, chars, kind, is_ascii, first_char = row
    return Document(name, region, start, chars, kind, bool(is_ascii), first_char)
