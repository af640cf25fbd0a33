"""Where a prompt lies in the guest's memory: all of it at once, if it fits.

Each region follows a free page of WebAssembly's own size, 64 KiB: the header of
the `str` whose text starts a region is written there. After a region at least
`TAIL_BYTES` zero bytes follow, which Python's string functions rely on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rlm_local.errors import AddressSpaceError, SandboxError
from rlm_local.prompt import Document, Prompt, Region
from rlm_local.records import Record
from rlm_local.wasm.memory import ADDRESS_SPACE, WASM_PAGE, GuestMemory

TAIL_BYTES = 16
#: What the guest must have beside the prompt to be of any use.
LEAST_HEAP_BYTES = 32 << 20


class Piece(Record, frozen=True):
    """`length` bytes of a region from `offset` on, that were mapped at `address` on demand.

    `number` tells it from the same piece mapped again: that one has none of what the
    guest has written.
    """

    number: int
    region: int
    offset: int
    length: int
    address: int


class PromptMapping(Protocol):
    """How a prompt is in a guest's memory. Of one instance at a time."""

    #: Where in memory the prompt ends. It begins after the snapshot.
    end: int
    #: Host calls that the guest needs for it, by name.
    functions: Mapping[str, Callable[[list[object]], object]]

    @property
    def setup(self) -> dict[str, object]:
        """What the guest is told of it (CONTRACT.md, "Setup")."""
        ...

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What is mapped now beyond what `begin` maps."""
        ...

    def identity(self) -> str:
        """What tells it from any other: the prompt, and the places in memory."""
        ...

    def begin(self, memory: GuestMemory) -> None:
        """Map what is to be there from the start into a fresh memory, which is long enough.

        Raises SandboxError.
        """
        ...

    def put_back(self, piece: Piece) -> None:
        """Map a piece that was mapped when the guest's state was saved. Raises SandboxError."""
        ...


class AllAtOnce:
    """Every text at its place from the beginning."""

    functions: Mapping[str, Callable[[list[object]], object]] = {}
    pieces: tuple[Piece, ...] = ()

    def __init__(self, prompt: Prompt, start: int) -> None:
        """The prompt is put into what follows the address `start`. Raises AddressSpaceError."""
        self._regions = tuple(prompt.regions)
        self._addresses, self.end = layout(self._regions, start)
        check_fits(self.end, sum(region.length for region in self._regions))
        self._documents = list(prompt.documents)
        self._single = prompt.single
        self._content = prompt.identity

    @property
    def setup(self) -> dict[str, object]:
        """See PromptMapping."""
        return {
            "texts": places(self._documents, self._addresses),
            "single": self._single,
            "names": [document.name for document in self._documents],
        }

    def identity(self) -> str:
        """See PromptMapping."""
        return f"{self._content} {self._addresses}"

    def begin(self, memory: GuestMemory) -> None:
        """See PromptMapping."""
        for region, address in zip(self._regions, self._addresses, strict=True):
            map_region(memory, address, region, 0, region.length)

    def put_back(self, piece: Piece) -> None:
        """See PromptMapping."""
        raise SandboxError(f"a piece of the prompt at {piece.address:,} does not belong there")


def layout(regions: Sequence[Region], start: int) -> tuple[list[int], int]:
    """The address of each region, the first after `start`, and where the last one ends."""
    addresses = []
    end = whole_pages(start)
    for region in regions:
        addresses.append(end + WASM_PAGE)
        end = whole_pages(end + WASM_PAGE + region.length + TAIL_BYTES)
    return addresses, end


def check_fits(end: int, text_bytes: int) -> None:
    """Raise AddressSpaceError if regions up to `end` leave no room to work in."""
    excess = end + LEAST_HEAP_BYTES - ADDRESS_SPACE
    if excess > 0:
        raise AddressSpaceError(
            f"the prompt takes {text_bytes:,} bytes in memory, and at most "
            f"{text_bytes - excess:,} fit the guest's 4 GiB address space",
            hint="ask about a part of it; text outside latin-1 takes 2 or 4 bytes a character",
        )


def map_region(memory: GuestMemory, address: int, region: Region, offset: int, length: int) -> None:
    """Map `length` bytes of a region from `offset` on. The memory is long enough.

    Raises SandboxError.
    """
    try:
        file = os.open(region.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(
            f"the spooled prompt {region.path} cannot be opened: {error.strerror}",
            hint="remove it, and it is made again",
        ) from error
    try:
        memory.map_file(address, file, region.offset + offset, length)
    finally:
        os.close(file)


def places(
    documents: Sequence[Document], addresses: Sequence[int]
) -> list[tuple[int, int, int, bool]]:
    """For each document: its address, characters, kind, and whether it is ASCII."""
    return [
        (addresses[document.region] + document.start, document.chars, document.kind, document.ascii)
        for document in documents
    ]


def whole_pages(address: int) -> int:
    """The end of the page of WebAssembly that `address` lies in, or is the end of."""
    return -(-address // WASM_PAGE) * WASM_PAGE
