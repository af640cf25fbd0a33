"""Host calls: the guest's JSON requests, answered by the functions it was given."""

from __future__ import annotations

import time

import msgspec

from rlm_local.sandbox import GuestRaise, HostFunctions
from rlm_local.wasm.cell import Cell
from rlm_local.wasm.instance import GuestFault

FINAL = "final"
#: A prompt for a model is far shorter than this.
MAX_REQUEST_BYTES = 64 << 20
_TOO_LONG = f"a host call may have {MAX_REQUEST_BYTES:,} bytes, not {{:,}}; split the text"
#: A final text comes in pieces; this bounds what the host gathers for one.
MAX_FINAL_CHARS = 256 << 20


class Request(msgspec.Struct):
    """`name(*arguments)`, wanted by the guest."""

    name: str
    arguments: list[object]


class HostCalls:
    """Answers the requests of one REPL."""

    def __init__(self, host: HostFunctions, functions: frozenset[str]) -> None:
        self._host = host
        self._functions = functions
        self._pieces: list[str] = []
        self._decode = msgspec.json.Decoder(Request).decode
        self._encode = msgspec.json.Encoder().encode
        self.cell: Cell | None = None

    def begin(self, cell: Cell | None) -> None:
        """The next requests are `cell`'s."""
        self.cell = cell
        self._pieces = []

    def answer(self, message: bytes) -> bytes:
        """The reply to one request. Whatever but GuestRaise the host raises, it raises."""
        cell = self.cell
        if cell is None:
            raise GuestFault("it called the host outside of a cell")
        if len(message) > MAX_REQUEST_BYTES:
            return self._encode({"error": ["ValueError", _TOO_LONG.format(len(message))]})
        started = time.monotonic()
        try:
            request = self._decode(message)
            reply = {"ok": self._result(request)}
        except GuestRaise as error:
            reply = {"error": [error.kind, error.message]}
        except msgspec.MsgspecError as error:
            reply = {"error": ["ValueError", f"this is no host call: {error}"]}
        finally:
            cell.host_seconds += time.monotonic() - started
        if cell.killed:
            raise GuestFault("it was interrupted from outside")
        return self._encode(reply)

    def _result(self, request: Request) -> object:
        if request.name == FINAL:
            return self._final(request.arguments)
        if request.name not in self._functions:
            raise GuestRaise("NameError", f"the host has no function {request.name!r}")
        return self._host(request.name, request.arguments)

    def _final(self, arguments: list[object]) -> object:
        """Gather the pieces of a final text; the last one hands it over."""
        piece, more = (*arguments, None, None)[:2]
        if not isinstance(piece, str):
            raise GuestRaise("TypeError", "a final text comes as [piece, whether more follow]")
        gathered = sum(map(len, self._pieces)) + len(piece)
        if gathered > MAX_FINAL_CHARS:
            self._pieces = []
            raise GuestRaise(
                "ValueError", f"an answer may have {MAX_FINAL_CHARS:,} characters, not {gathered:,}"
            )
        self._pieces.append(piece)
        if more:
            return None
        text, self._pieces = "".join(self._pieces), []
        return self._host(FINAL, [text])
