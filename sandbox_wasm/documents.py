"""`context` where the prompt is larger than the address space: documents mapped on demand.

A window of the guest's memory holds pieces of the prompt's files (CONTRACT.md, "Documents").
A long document has a piece of its own and is a `str` in place, whose header keeps count of
who refers to it. Short ones are copied out of larger pieces, so that these are never
written to.

A piece makes room for another when it was not used for the longest time and nobody
refers to the document in it: variables, matches and iterators that do are safe.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn, overload

import _rlm  # type: ignore[import-not-found] # the glue
from _rlm_calls import ask_host  # type: ignore[import-not-found] # calls.py

#: Where pieces begin in memory and in files.
PAGE_BYTES = 1 << 16
#: Documents from this size on are not copied.
LONG_BYTES = 256 << 10
#: Short documents are copied out of pieces of this size, unless they lie across two.
PIECE_BYTES = 16 << 20
#: The room for a header that each text has before it, but for one that begins its file.
HEADER_BYTES = 32
#: A `str` ends in a zero of its width.
ZERO_BYTES = 4
#: Beyond this much, or this many, pieces go when nobody needs them, though there is more room:
#: it bounds what the process has of the files in its memory.
EASY_BYTES, EASY_PIECES = 256 << 20, 256
#: Rows of the index that are fetched at once, and how many such blocks are kept.
BLOCK_ROWS, BLOCKS_KEPT = 256, 16

_SHOWN = 4  # documents in a repr


def on_demand(count: int, address: int, size: int) -> tuple[Documents, Names]:
    """`context` and `context_names` for a prompt of `count` documents, with `size` bytes of
    memory from `address` on to map them in."""
    index = Index(count)
    window = Window(address, size)
    return Documents(index, window, range(count)), Names(index, range(count))


class Row(NamedTuple):
    """Where a document lies: from byte `start` of the file number `region`."""

    name: str
    region: int
    start: int
    chars: int
    kind: int
    ascii: bool


class Index:
    """The table of all documents, which the host has; a few blocks of it are kept here."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._blocks: dict[int, list[list[object]]] = {}

    def __getitem__(self, number: int) -> Row:
        first = number - number % BLOCK_ROWS
        block = self._blocks.pop(first, None)
        if block is None:
            block = ask_host("documents", [first, BLOCK_ROWS])
            while len(self._blocks) >= BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[first] = block  # last, since it was used last
        return Row(*block[number - first])  # type: ignore[arg-type] # as the contract says


class Piece:
    """`size` bytes of the window from `address` on. `held`: the document in it, if it has one."""

    __slots__ = ("address", "held", "size", "used")

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size = address, size
        self.held: list[str] = []
        self.used = 0


class Window:
    """What is mapped now. A KeyboardInterrupt may come between any two lines of it: what is
    referred to must be in the table at each of them."""

    def __init__(self, address: int, size: int) -> None:
        self._start, self._end = address, address + size
        self._pieces: dict[tuple[int, int, bool], Piece] = {}
        self._uses = 0
        self._busy = False

    # There is one: a copy would map its pieces over those of this.
    def __deepcopy__(self, copied: object) -> Window:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("documents that are mapped on demand cannot be pickled; pickle their texts")

    def document(self, row: Row) -> str:
        """The text of a document. Raises MemoryError if others leave no room for it."""
        if self._busy:  # a finalizer, in the middle of it
            raise RuntimeError("a document cannot be fetched while another one is")
        try:
            self._busy = True
            end = row.start + row.chars * row.kind
            first = row.start - row.start % PIECE_BYTES
            if row.start and end - row.start < LONG_BYTES and end <= first + PIECE_BYTES:
                with suppress(MemoryError):  # then a piece of its own, which is smaller
                    return self._copied(row, first)
            return self._in_place(row, end)
        finally:
            self._busy = False

    def _copied(self, row: Row, first: int) -> str:
        piece = self._piece(row, False, first, PIECE_BYTES, 0)
        text: str = _rlm.copy(piece.address + row.start - first, row.chars, row.kind)
        return text

    def _in_place(self, row: Row, end: int) -> str:
        first = max(0, row.start - HEADER_BYTES) // PAGE_BYTES * PAGE_BYTES
        before = 0 if row.start else PAGE_BYTES
        piece = self._piece(row, True, first, end + ZERO_BYTES - first, before)
        if not piece.held:
            address = piece.address + before + row.start - first
            piece.held.append(_rlm.text(address, row.chars, row.kind, row.ascii, True))
        return piece.held[0]

    def _piece(self, row: Row, alone: bool, offset: int, length: int, before: int) -> Piece:
        """`length` bytes of the row's file from `offset` on, mapped `before` bytes after the
        piece's address; for that document alone, or for all that lie there."""
        key = (row.region, row.start if alone else offset, alone)
        piece = self._pieces.get(key)
        if piece is None:
            size = before + -(-length // PAGE_BYTES) * PAGE_BYTES
            piece = Piece(self._room(size, row), size)
            ask_host("map_text", [row.region, offset, size - before, piece.address + before])
            self._pieces[key] = piece
        self._uses += 1
        piece.used = self._uses
        return piece

    def _room(self, size: int, row: Row) -> int:
        """Where `size` bytes are free, after what had to go for that."""
        mapped = sum(piece.size for piece in self._pieces.values())
        self._let_go(mapped + size - EASY_BYTES, len(self._pieces) + 1 - EASY_PIECES)
        address = self._gap(size)
        if address is None:
            gc.collect()
        while address is None:
            if not self._let_go(1, 0):
                taken = sum(piece.size for piece in self._pieces.values())
                raise MemoryError(
                    f"the document {row.name!r} needs {size:,} bytes of address space, and "
                    f"{taken:,} of {self._end - self._start:,} are taken by documents that "
                    "variables refer to: delete those that are no longer needed, or keep "
                    "slices, which are copies"
                )
            address = self._gap(size)
        return address

    def _gap(self, size: int) -> int | None:
        """The first place with `size` free bytes."""
        end = self._start
        for address, taken in sorted((p.address, p.size) for p in self._pieces.values()):
            if address - end >= size:
                break
            end = address + taken
        return end if end + size <= self._end else None

    def _let_go(self, size: int, count: int) -> bool:
        """Forget pieces that nobody needs, least recently used first, until they are `size`
        bytes and `count` in all; whether there was one."""
        gone = False
        if size > 0 or count > 0:
            for key, piece in sorted(self._pieces.items(), key=lambda item: item[1].used):
                if not piece.held or _rlm.release(piece.held):
                    del self._pieces[key]
                    size -= piece.size
                    count -= 1
                    gone = True
                    if size <= 0 and count <= 0:
                        break
        return gone


class Documents(Sequence[str]):
    """The documents of the prompt, as a list would have them; each is mapped when it is asked
    for. A slice is of the same kind, and costs nothing. `places`: which of the prompt's."""

    def __init__(self, index: Index, window: Window, places: range) -> None:
        self._index, self._window = index, window
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Documents: ...
    def __getitem__(self, number: int | slice) -> str | Documents:
        if isinstance(number, slice):
            return Documents(self._index, self._window, self.places[number])
        row = self._index[_place(self.places, number)]
        return self._window.document(row) if row.chars else ""

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self.places)))

    def __repr__(self) -> str:
        rows = [self._index[place] for place in self.places[:_SHOWN]]
        parts = [f"{row.name!r} ({row.chars:,} characters)" for row in rows]
        if len(self) > _SHOWN:
            parts.append(f"... {len(self) - _SHOWN:,} more")
        return f"<{len(self):,} documents, mapped on demand: {', '.join(parts) or 'none'}>"


class Names(Sequence[str]):
    """The documents' names, fetched when they are asked for."""

    def __init__(self, index: Index, places: range) -> None:
        self._index, self._places = index, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Names: ...
    def __getitem__(self, number: int | slice) -> str | Names:
        if isinstance(number, slice):
            return Names(self._index, self._places[number])
        return self._index[_place(self._places, number)].name

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self._places)))

    def __repr__(self) -> str:
        shown = [repr(name) for name in self[:_SHOWN]]
        if len(self) > _SHOWN:
            shown.append(f"... {len(self) - _SHOWN:,} more")
        return f"<{len(self):,} names: {', '.join(shown) or 'none'}>"


def _place(places: range, number: int) -> int:
    try:
        return places[number]
    except IndexError:
        raise IndexError(f"there are {len(places):,} documents, and no number {number}") from None
