"""Some of a prompt's documents as a prompt of its own: what a child is given of a large one.

Nothing is copied or written: it has the pages of the spool that they lie in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from rlm_local.errors import PromptError
from rlm_local.prompt import Prompt
from rlm_local.spool.files import PAGE_BYTES, ZERO_BYTES
from rlm_local.spool.index import Document, Region
from rlm_local.spool.writer import HEADER_BYTES


class Part(Prompt):
    """The documents `start` to `stop` of `whole`, which must stay open as long.

    `bytes` is an estimate, from the number of characters.
    """

    def __init__(self, whole: Prompt, start: int, stop: int) -> None:
        """Raises PromptError if there is no text in them."""
        count = len(whole.documents)
        if not 0 <= start < stop <= count:
            raise PromptError(f"there are no documents {start:,} to {stop:,} among {count:,}")
        first, last = whole.documents[start], whole.documents[stop - 1]
        self.chars = last.first_char + last.chars - first.first_char
        if not self.chars:
            raise PromptError(
                f"the prompt is empty: there is no text in {stop - start:,} documents"
            )
        spans = _spans(whole.documents, start, stop)
        self.regions = tuple(
            Region(whole.regions[number].path, whole.regions[number].offset + begin, end - begin)
            for number, (begin, end) in spans.items()
        )
        moved = {number: (at, begin) for at, (number, (begin, _)) in enumerate(spans.items())}
        self.documents = _Documents(whole.documents, start, stop, moved)
        self.single = False
        self.bytes = max(1, whole.bytes * self.chars // whole.chars)
        self.skipped = ()
        self.identity = f"{whole.identity}[{start}:{stop}]"
        self.bad_bytes = whole.bad_bytes
        self.reused = True
        self.spools = whole.spools
        self.sources = ()
        self._sources = ()
        self._folder = whole._folder
        self._kind = whole._kind
        self._whole = whole

    @property
    def closed(self) -> bool:
        return self._whole.closed

    def close(self) -> None:
        """It has nothing of its own to give up."""


def _spans(documents: Sequence[Document], start: int, stop: int) -> dict[int, tuple[int, int]]:
    """For each region with text of these documents, in order, the pages that it takes."""
    spans: dict[int, tuple[int, int]] = {}
    for first in range(start, stop, 1024):
        for document in documents[first : min(first + 1024, stop)]:
            begin = max(0, document.start - HEADER_BYTES) // PAGE_BYTES * PAGE_BYTES
            end = document.start + document.chars * document.kind + ZERO_BYTES
            end = -(-end // PAGE_BYTES) * PAGE_BYTES
            least, most = spans.get(document.region, (begin, end))
            spans[document.region] = min(least, begin), max(most, end)
    return spans


class _Documents(Sequence[Document]):
    """Some documents of a table, where they lie in a part. `moved`: for each region its new
    number, and how many bytes were left out before it."""

    def __init__(
        self,
        whole: Sequence[Document],
        start: int,
        stop: int,
        moved: dict[int, tuple[int, int]],
    ) -> None:
        self._whole, self._start, self._stop = whole, start, stop
        self._moved = moved
        self._first_char = whole[start].first_char

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> Document: ...

    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...

    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        places = range(self._start, self._stop)[index]
        if isinstance(places, int):
            return self._of(self._whole[places])
        if places.step == 1:
            return [self._of(each) for each in self._whole[places.start : places.stop]]
        return [self._of(self._whole[place]) for place in places]

    def _of(self, document: Document) -> Document:
        region, left_out = self._moved[document.region]
        return document._replace(
            region=region,
            start=document.start - left_out,
            first_char=document.first_char - self._first_char,
        )
