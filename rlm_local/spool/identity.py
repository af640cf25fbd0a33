"""What tells one prompt's content from another's, of any length, to the last character.

All of a text is looked at once, when it is spooled, and so is known by its digest from
then on without being read again. XXH3 is fast enough for that: beside the check for UTF-8
it is hardly noticed, and any other digest would take as long as all the rest. It finds
whatever changes by itself; texts that somebody has made to be taken for each other are
nothing to be on guard against here, since they are that person's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
import xxhash

if TYPE_CHECKING:
    from rlm_local.spool.index import Document, Region

_BLOCK_BYTES = 1 << 18  # a multiple of every width
_CODECS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


def text_digest(data: bytes | memoryview = b"") -> xxhash.xxh3_128:
    """What digests one text: to be updated with its UTF-8 after `data`, in pieces of any size."""
    return xxhash.xxh3_128(data)


class Identity:
    """The identity of a prompt, from its documents as they come."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()

    def add(self, name: bytes, region: int, start: int, chars: int, digest: bytes) -> None:
        """Enter the next document: its name in UTF-8, its place (see `Document`), and the
        digest of its text."""
        self._digest.update(msgspec.msgpack.encode((name, region, start, chars, digest)))

    def hexdigest(self, *, single: bool) -> str:
        """32 hexadecimal digits. `single`: the guest sees one text, not a list."""
        whole = self._digest.copy()
        whole.update(b"single" if single else b"list")
        return whole.hexdigest()


def is_held(
    identity: str, regions: Sequence[Region], documents: Iterable[Document], *, single: bool
) -> bool:
    """Whether the files of a finished spool hold what has this identity: all of it is read."""
    found = Identity()
    try:
        for document in documents:
            digest = _digest_in(regions[document.region], document)
            name = document.name.encode("utf-8", "replace")
            found.add(name, document.region, document.start, document.chars, digest)
    except OSError:
        return False
    return found.hexdigest(single=single) == identity


def _digest_in(region: Region, document: Document) -> bytes:
    text, left = text_digest(), document.chars * document.kind
    with region.path.open("rb") as file:
        file.seek(region.offset + document.start)
        while block := file.read(min(_BLOCK_BYTES, left)):
            left -= len(block)
            # What is no text any more has another digest than any text.
            text.update(block.decode(_CODECS[document.kind], "replace").encode())
    return text.digest()
