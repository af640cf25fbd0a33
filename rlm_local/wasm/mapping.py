"""Where a prompt's regions lie in the guest's memory.

Each region follows a free page of WebAssembly's own size, 64 KiB: the header of
the `str` whose text starts a region is written there. After a region at least
`TAIL_BYTES` zero bytes follow, which Python's string functions rely on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from rlm_local.errors import AddressSpaceError, SandboxError
from rlm_local.prompt import Document, Region
from rlm_local.wasm.memory import ADDRESS_SPACE, WASM_PAGE, GuestMemory

TAIL_BYTES = 16
#: What the guest must have beside the prompt to be of any use.
LEAST_HEAP_BYTES = 32 << 20


def layout(regions: Sequence[Region], start: int) -> tuple[list[int], int]:
    """The address of each region, the first after `start`, and where the last one ends."""
    addresses = []
    end = _round_up(start)
    for region in regions:
        addresses.append(end + WASM_PAGE)
        end = _round_up(end + WASM_PAGE + region.length + TAIL_BYTES)
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


def map_regions(memory: GuestMemory, regions: Sequence[Region], addresses: Sequence[int]) -> None:
    """Map every region at its address. The memory is long enough. Raises SandboxError."""
    for region, address in zip(regions, addresses, strict=True):
        try:
            file = os.open(region.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SandboxError(
                f"the spooled prompt {region.path} cannot be opened: {error.strerror}",
                hint="remove it, and it is made again",
            ) from error
        try:
            memory.map_file(address, file, region.offset, region.length)
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


def _round_up(address: int) -> int:
    return -(-address // WASM_PAGE) * WASM_PAGE
