"""A prompt of more documents than fit the guest's memory: mapped on demand, piece by piece.

The guest decides what is where in a window of its memory (`sandbox_wasm/documents.py`);
this side holds its wishes against the window and the files, and maps. What a guest that
lies can spoil is its own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlm_local.errors import AddressSpaceError, SandboxError
from rlm_local.prompt import Prompt
from rlm_local.sandbox import GuestRaise
from rlm_local.spool.writer import STR_BYTES
from rlm_local.wasm.mapping import (
    AllAtOnce,
    Piece,
    PromptMapping,
    check_fits,
    map_region,
    whole_pages,
)
from rlm_local.wasm.memory import ADDRESS_SPACE, WASM_PAGE, GuestMemory

#: The most pieces at a time: each is a mapping of the process, which may have some 65,000.
MOST_PIECES = 2048
#: The most rows of the index for one call.
MOST_ROWS = 1024
#: No window is smaller; the guest maps short documents by pieces of 16 MiB.
LEAST_WINDOW_BYTES = 64 << 20


def mapping_of(prompt: Prompt, start: int, memory_bytes: int) -> PromptMapping:
    """How `prompt` is put into the memory after `start`: on demand only if it does not fit
    at once. `memory_bytes` is what the guest may have beside it.

    Raises AddressSpaceError.
    """
    try:
        return AllAtOnce(prompt, start)
    except AddressSpaceError:
        if prompt.single:
            raise
        return OnDemand(prompt, start, memory_bytes)


class OnDemand:
    """A window in which documents are mapped when the guest asks for them.

    The prompt must stay open as long as guests use it.
    """

    def __init__(self, prompt: Prompt, start: int, memory_bytes: int) -> None:
        """A window from `start` on. `memory_bytes`: see `mapping_of`. Raises AddressSpaceError."""
        self._regions = tuple(prompt.regions)
        self._documents = prompt.documents
        self._content = prompt.identity
        self._start = whole_pages(start)
        # A longer region is one of many short documents, of which pieces are mapped.
        short = (r.length for r in self._regions if r.length <= whole_pages(STR_BYTES))
        longest = max(short, default=0)
        least = max(LEAST_WINDOW_BYTES, whole_pages(longest) + 2 * WASM_PAGE)
        room = ADDRESS_SPACE - WASM_PAGE - memory_bytes
        self.end = max(self._start + least, room // WASM_PAGE * WASM_PAGE)
        check_fits(self.end, longest)
        self.functions: Mapping[str, Callable[[list[object]], object]] = {
            "documents": self._rows,
            "map_text": self._map_text,
        }
        self._memory: GuestMemory | None = None
        self._pieces: list[Piece] = []
        self._count = 0

    @property
    def setup(self) -> dict[str, object]:
        """See PromptMapping."""
        return {
            "on_demand": {
                "count": len(self._documents),
                "address": self._start,
                "size": self.end - self._start,
            }
        }

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """See PromptMapping."""
        return tuple(self._pieces)

    def identity(self) -> str:
        """See PromptMapping."""
        return f"{self._content} {self._start}-{self.end}"

    def begin(self, memory: GuestMemory) -> None:
        """See PromptMapping."""
        self._memory = memory
        self._pieces = []
        self._count = 0

    def put_back(self, piece: Piece) -> None:
        """See PromptMapping."""
        try:
            self._map(piece)
        except GuestRaise as error:
            raise SandboxError(f"a checkpoint is wrong: {error.message}") from error
        self._count = max(self._count, piece.number + 1)

    # ------------------------------------------------------------ what the guest calls

    def _rows(self, arguments: list[object]) -> object:
        """The rows of documents [first, count] of the index."""
        first, count = _numbers(arguments, 2)
        if not 0 <= first < len(self._documents) or not 0 < count <= MOST_ROWS:
            raise GuestRaise(
                "ValueError",
                f"there are no {count:,} documents from {first:,} on, of {len(self._documents):,}",
            )
        return [document[:6] for document in self._documents[first : first + count]]

    def _map_text(self, arguments: list[object]) -> object:
        """Map [region, offset, length, address]; how many bytes of the file were mapped."""
        region, offset, length, address = _numbers(arguments, 4)
        if not 0 <= region < len(self._regions):
            raise GuestRaise("ValueError", f"there is no file {region:,} of the prompt")
        left = self._regions[region].length - offset
        if offset < 0 or offset % WASM_PAGE or length <= 0 or left <= 0:
            raise GuestRaise(
                "ValueError", f"there are no {length:,} bytes from {offset:,} on in that file"
            )
        piece = Piece(
            number=self._count,
            region=region,
            offset=offset,
            length=min(length, left),
            address=address,
        )
        self._map(piece)
        self._count += 1
        return piece.length

    def _map(self, piece: Piece) -> None:
        """Map a piece, whose bytes the file has, over all that is where it goes."""
        if self._memory is None:
            raise SandboxError("a piece of the prompt was mapped before there was a guest")
        start, end = _range(piece)
        if start % WASM_PAGE or not self._start <= start < end <= self.end:
            raise GuestRaise(
                "ValueError",
                f"the bytes {start:,} to {end:,} of memory are not for documents: they go "
                f"between {self._start:,} and {self.end:,}, at multiples of {WASM_PAGE:,}",
            )
        old = [each for each in self._pieces if _overlap(_range(each), (start, end))]
        if len(self._pieces) - len(old) >= MOST_PIECES:
            raise GuestRaise(
                "ValueError", f"{MOST_PIECES:,} pieces of the prompt are mapped, which is the limit"
            )
        for each in old:
            self._pieces.remove(each)
            first, last = _range(each)
            self._memory.map_zeros(first, last - first)
        region = self._regions[piece.region]
        map_region(self._memory, start, region, piece.offset, piece.length)
        self._pieces.append(piece)


def _numbers(arguments: list[object], count: int) -> list[int]:
    """The arguments, if they are so many integers. Raises GuestRaise."""
    numbers = [each for each in arguments if type(each) is int]  # True and False are none
    if len(arguments) != count or len(numbers) != count:
        raise GuestRaise("TypeError", f"this call takes {count} integers")
    return numbers


def _range(piece: Piece) -> tuple[int, int]:
    """The pages of memory that it takes."""
    return piece.address, whole_pages(piece.address + piece.length)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
