"""What tells one prompt's content from another's, at a price that does not grow with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rlm_local.spool.index import Document, Region

#: Of a prompt up to this many bytes all is looked at; of a longer one, as much in samples.
WHOLE_BYTES = 8 << 20
_SAMPLE_BYTES = 64 << 10
_DOCUMENTS = 1000
#: Of more regions so many are looked into, both ends of each.
_REGIONS = WHOLE_BYTES // (2 * _SAMPLE_BYTES)


def identity(regions: Sequence[Region], documents: Sequence[Document], *, single: bool) -> str:
    """A digest of a spooled prompt, 32 hexadecimal digits.

    It covers the number of documents, the names and places of the first and last
    thousand, and the text: all of it up to `WHOLE_BYTES`, else 64 KiB at a time,
    evenly spread, both ends included; of very many files those that are evenly spread
    among them. Raises OSError if a file cannot be read.
    """
    digest = hashlib.sha256(b"%d %d\n" % (single, len(documents)))
    for document in (*documents[:_DOCUMENTS], *documents[-_DOCUMENTS:]):
        name, *place = document
        digest.update(f"{place} {name}\n".encode("utf-8", "surrogatepass"))
    total = sum(region.length for region in regions)
    if total > WHOLE_BYTES and len(regions) > _REGIONS:
        digest.update(b"%d regions, %d bytes\n" % (len(regions), total))
        last = len(regions) - 1
        regions = [regions[last * number // (_REGIONS - 1)] for number in range(_REGIONS)]
    for region in regions:
        with region.path.open("rb") as file:
            for start, length in _samples(region.length, total):
                file.seek(region.offset + start)
                digest.update(file.read(length))
    return digest.hexdigest()[:32]


def _samples(length: int, total: int) -> list[tuple[int, int]]:
    """Where to look in a region of `length` bytes, of `total` in all: starts and lengths."""
    if total <= WHOLE_BYTES:
        return [(0, length)]
    count = max(2, WHOLE_BYTES * length // total // _SAMPLE_BYTES)
    last = max(0, length - _SAMPLE_BYTES)
    starts = sorted({last * number // (count - 1) for number in range(count)})
    return [(start, min(_SAMPLE_BYTES, length - start)) for start in starts]
