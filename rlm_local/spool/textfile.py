"""A text in a file of its own, in the storage of its widest character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rlm_local.spool import files
from rlm_local.spool.files import SpoolFile, copied
from rlm_local.spool.utf8 import Storage, Utf8Reader

_UNITS = {1: "<u1", 2: "<u2", 4: "<u4"}  # by kind


class TextFile:
    """A text that is written piece by piece. `storage` and `chars` are of what it holds.

    It is written in the narrowest storage that holds it so far, and rewritten
    when a wider character comes: twice at most, and mostly early on.
    """

    def __init__(self, path: Path) -> None:
        self.storage = Storage.ASCII
        self.chars = 0
        self.file = SpoolFile(path)

    def copy(self, source: BinaryIO, reader: Utf8Reader) -> Iterator[int]:
        """Take the text of the regular file `source`, as long as it is ASCII, in its very bytes.

        The copy may be a reflink, and is what `reader` checks. Yields the bytes
        done. Afterwards `source` is where the text goes on that is to be read.
        """
        place = 0
        for block in copied(source, self.file):
            place += len(block)
            text = reader.decode(block)
            if reader.storage is not Storage.ASCII or reader.chars != place:
                # Not just ASCII, or a byte order mark, or a character that is cut.
                self.file.truncate(self.chars)
                self.append(text, reader.storage)
                yield len(block)
                break
            self.chars = place
            yield len(block)
        source.seek(place)  # a reflink does not move it

    def append(self, text: str, storage: Storage) -> None:
        """Add `text`, which `storage` holds."""
        if storage > self.storage:
            if storage.kind > self.storage.kind:
                self._widen(storage)
            self.storage = storage
        self.file.write(text.encode(self.storage.codec))
        self.chars += len(text)

    def _widen(self, storage: Storage) -> None:
        path = self.file.path
        wide = SpoolFile(path.with_name(f"{path.name}.wide"))
        try:
            for block in self.file.read_blocks():
                units = np.frombuffer(block, _UNITS[self.storage.kind])
                wide.write(units.astype(_UNITS[storage.kind]).tobytes())
            wide.rename(path)
        except BaseException:
            wide.close()
            raise
        self.file.close()
        self.file = wide

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self.file.close()

    def pieces(self) -> Iterator[str]:
        """The text again, in pieces."""
        return (block.decode(self.storage.codec) for block in self.file.read_blocks())


def split(pieces: Iterable[str], chars: int, most: int) -> Iterator[tuple[str, bool]]:
    """Split a text of `chars` characters into parts of at most `most`.

    `pieces` are the text; they come out again, some of them cut, each with
    whether a part ends with it (the last part's end is not told). A part ends
    at the end of a line if there is one shortly before the limit.
    """
    near = min(files.BLOCK_BYTES, most // 4)
    left, room = chars, most
    for whole in pieces:
        piece = whole
        while left > room and len(piece) > room - near:
            cut = piece.rfind("\n", max(0, room - 2 * near), room) + 1
            if not cut:
                if len(piece) < room:
                    break
                cut = room
            yield piece[:cut], True
            piece = piece[cut:]
            left -= cut
            room = most
        if piece:
            yield piece, False
            left -= len(piece)
            room -= len(piece)
