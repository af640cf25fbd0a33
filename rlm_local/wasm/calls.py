"""Host calls: the guest's JSON requests, answered by the functions it was given."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

import msgspec

from rlm_local import jsontext
from rlm_local.sandbox import GuestRaise, GuestText, HostFunctions, PartOfContext, WholeContext
from rlm_local.wasm.cell import Cell
from rlm_local.wasm.instance import GuestFault
from rlm_local.wasm.memory import GuestMemory

FINAL = "final"
#: A prompt for a model is far shorter than this.
MAX_REQUEST_BYTES = 64 << 20
#: Values, or bytes outside of strings, that one request may have: each value costs the
#: host far more memory than the guest's one or two characters, `[]` thirty times as much.
MAX_REQUEST_VALUES = 1 << 20
#: Levels that lists and objects of a request may nest: what goes on with it, a record, a
#: `repr`, goes down with them, and Python ends that with a RecursionError at some 1,000.
MAX_NESTED = 256
#: Bytes of the guest's memory that one request may name, or all of that memory if it is
#: larger: the same text named many times would be copied as often.
MAX_NAMED_BYTES = 1 << 30
#: Characters that are copied at a time, of a text that is handed over by its place.
PIECE_CHARS = 1 << 20
#: Of `answer["content"]`; the bootstrap hands over no more, unless the cell has changed it.
MOST_PARTIAL_CHARS = 1 << 20
#: A final text comes in pieces; this bounds what the host gathers for one.
MAX_FINAL_CHARS = 256 << 20

#: A JSON string. It cannot backtrack, so that no text makes the search slow.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


class Request(msgspec.Struct):
    """`name(*arguments)`, wanted by the guest. `partial`: its answer so far, if that is new."""

    name: str
    arguments: list[object]
    partial: str = ""


class MemoryText(GuestText):
    """A str of the guest, by its place in the guest's memory: all of it the guest's word."""

    _CODECS: ClassVar[dict[int, str]] = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}

    def __init__(self, memory: GuestMemory, address: int, chars: int, kind: int) -> None:
        self.chars = chars
        self.bytes = chars * kind
        self._memory = memory
        self._address = address
        self._kind = kind

    @classmethod
    def at(cls, memory: GuestMemory | None, place: object) -> MemoryText:
        """The text at `place`, [ptr, chars, kind, ascii]. Raises GuestRaise."""
        match place:
            case [int() as address, int() as chars, 1 | 2 | 4 as kind, _] if memory is not None:
                if memory.holds(address, chars * kind):
                    return cls(memory, address, chars, kind)
        raise GuestRaise("ValueError", "there is no text at that place")

    def read(self) -> str:
        """See GuestText.read."""
        return self._part(0, self.chars)

    def pieces(self) -> Iterator[str]:
        """See GuestText.pieces."""
        for start in range(0, self.chars, PIECE_CHARS):
            yield self._part(start, min(PIECE_CHARS, self.chars - start))

    def _part(self, start: int, chars: int) -> str:
        data = self._memory.read(self._address + start * self._kind, chars * self._kind)
        try:
            return data.decode(self._CODECS[self._kind], "surrogatepass")
        except UnicodeDecodeError as error:
            raise GuestRaise("ValueError", f"this is no text: {error.reason}") from error


class HostCalls:
    """Answers the requests of one REPL."""

    def __init__(
        self,
        host: HostFunctions,
        functions: frozenset[str],
        own: Mapping[str, Callable[[list[object]], object]] = MappingProxyType({}),
        documents: int = 0,
    ) -> None:
        """`own` are those that this package answers itself; they may raise as `host` may.
        `documents`: how many the guest's context has."""
        self._host = host
        self._functions = functions
        self._own = own
        self._documents = documents
        self._pieces: list[str] = []
        self._final_chars = 0
        self._named_bytes = 0
        self._decode = msgspec.json.Decoder(Request).decode
        self.cell: Cell | None = None
        self.memory: GuestMemory | None = None  # of the guest that calls
        self.partial = ""  # what the cell has told of its answer so far

    def begin(self, cell: Cell | None) -> None:
        """The next requests are `cell`'s."""
        self.cell = cell
        if cell is not None:
            self.partial = ""
        self._forget_pieces()

    def _forget_pieces(self) -> None:
        self._pieces = []
        self._final_chars = 0

    def answer(self, length: int, read: Callable[[], bytes]) -> bytes:
        """The reply to one request of `length` bytes, which `read` gives.

        Whatever but GuestRaise the host raises, it raises.
        """
        cell = self.cell
        if cell is None:
            raise GuestFault("it called the host outside of a cell")
        started = time.monotonic()
        try:
            request = self._request(length, read)
            self.partial = request.partial[:MOST_PARTIAL_CHARS] or self.partial
            reply = {"ok": self._result(request)}
        except GuestRaise as error:
            reply = {"error": [error.kind, error.message]}
        finally:
            cell.host_seconds += time.monotonic() - started
        if cell.killed:
            raise GuestFault("it was interrupted from outside")
        return jsontext.encode(reply)

    def _request(self, length: int, read: Callable[[], bytes]) -> Request:
        if length > MAX_REQUEST_BYTES:  # not even copied: a prompt may be mapped there
            raise GuestRaise(
                "ValueError",
                f"a host call may have {MAX_REQUEST_BYTES:,} bytes, not {length:,}; split the text",
            )
        message = read()
        if _has_too_many_values(message):
            raise GuestRaise(
                "ValueError", f"a host call may have {MAX_REQUEST_VALUES:,} values; join some"
            )
        try:
            request = self._decode(message)
            if _nests_too_deep(message, request.arguments):
                raise GuestRaise(
                    "ValueError", f"a host call may nest {MAX_NESTED} levels; flatten the value"
                )
            if b'"$' in message:
                self._named_bytes = 0
                request.arguments = [self._resolved(each) for each in request.arguments]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise GuestRaise("ValueError", f"this is no host call: {error}") from error
        return request

    def _resolved(self, value: object) -> object:
        """`value` with what it says of the guest's memory in place of how it says it."""
        match value:
            case {"$text": place, **rest} if not rest:
                text = MemoryText.at(self.memory, place)
                self._count(text)
                return text
            case {"$context": None, **rest} if not rest:
                return WholeContext()
            case {"$documents": [int() as start, int() as stop], **rest} if not rest:
                if not 0 <= start < stop <= self._documents:
                    raise GuestRaise("ValueError", "there are no such documents")
                return PartOfContext(start, stop)
            case dict():
                return {key: self._resolved(each) for key, each in value.items()}
            case list():
                return [self._resolved(each) for each in value]
        return value

    def _count(self, text: MemoryText) -> None:
        """Raise GuestRaise if one request has named too much of the memory."""
        self._named_bytes += text.bytes
        most = max(MAX_NAMED_BYTES, self.memory.size if self.memory is not None else 0)
        if self._named_bytes > most:
            raise GuestRaise(
                "ValueError",
                f"one call may hand over texts of {most:,} bytes in all; make several calls",
            )

    def _result(self, request: Request) -> object:
        if request.name == FINAL:
            return self._final(request.arguments)
        if request.name in self._own:
            return self._own[request.name](request.arguments)
        if request.name not in self._functions:
            raise GuestRaise("NameError", f"the host has no function {request.name[:100]!r}")
        return self._host(request.name, request.arguments)

    def _final(self, arguments: list[object]) -> object:
        """Gather the pieces of a final text; the last one hands it over."""
        piece, more, first = (*arguments, None, None, None)[:3]
        if not isinstance(piece, str):
            raise GuestRaise("TypeError", "a final text comes as [piece, whether more follow]")
        if first:  # what was broken off before is no part of it
            self._forget_pieces()
        self._final_chars += len(piece)
        if self._final_chars > MAX_FINAL_CHARS:
            chars = self._final_chars
            self._forget_pieces()
            raise GuestRaise(
                "ValueError", f"an answer may have {MAX_FINAL_CHARS:,} characters, not {chars:,}"
            )
        self._pieces.append(piece)
        if more:
            return None
        text = "".join(self._pieces)
        self._forget_pieces()
        return self._host(FINAL, [text])


def _has_too_many_values(message: bytes) -> bool:
    """Whether decoding it would cost much more memory than it has itself."""
    if len(message) <= MAX_REQUEST_VALUES:
        return False
    outside = len(message)
    for count, string in enumerate(_STRING.finditer(message)):
        outside -= string.end() - string.start()
        if count >= MAX_REQUEST_VALUES:
            return True
    return outside > MAX_REQUEST_VALUES


def _nests_too_deep(message: bytes, value: object) -> bool:
    """Whether lists and objects of `value`, which `message` says, nest beyond MAX_NESTED."""
    if message.count(b"[") + message.count(b"{") <= MAX_NESTED:
        return False
    level = [value]
    for _ in range(MAX_NESTED):
        below: list[object] = []
        for each in level:
            if isinstance(each, list):
                below += each
            elif isinstance(each, dict):
                below += each.values()
        level = below
        if not level:
            return False
    return True
