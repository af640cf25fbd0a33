"""The plainest host there can be: what CONTRACT.md says, and none of the package's care.

So a failure here is the guest's. Calls run on a thread with a stack for
`max_wasm_stack`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import wasmtime
from wasmtime import FuncType, ValType

from rlm_local.wasm.guest import Guest
from rlm_local.wasm.thread import GuestThread

_I32, _I64 = ValType.i32(), ValType.i64()
_UNSIGNED = 0xFFFFFFFF
PAGE = 1 << 16


class Box(NamedTuple):
    """The mailbox, in the contract's order."""

    version: int
    in_ptr: int
    in_cap: int
    result_ptr: int
    result_len: int
    out_ptr: int
    out_len: int
    out_cap: int
    out_chars: int
    err_ptr: int
    err_len: int
    err_cap: int
    reserved: int
    err_chars: int
    sigint_tripped: int
    is_tripped: int
    eval_breaker: int
    signals_pending_bit: int
    unicode_type: int


BOX = struct.Struct("<8IQ4IQ5I")


class Ran(NamedTuple):
    """What one cell gave: the status, its result, and the bytes of stdout and stderr."""

    status: int
    result: dict[str, Any]
    out: bytes
    err: bytes

    @property
    def error(self) -> str | None:
        """The type of the exception, or None."""
        error = self.result["error"]
        return str(error["type"]) if error else None


class BareGuest:
    """One instance. `host` answers host calls: request to reply; None to end the cell."""

    def __init__(
        self,
        compiled: Guest,
        *,
        host: Callable[[bytes], bytes | None] = lambda request: b'{"ok": null}',
        memory_bytes: int = 1 << 30,
        random_byte: int = 1,
    ) -> None:
        self.host = host
        self.random_byte = random_byte
        self.now_ns = 10**18
        self._pending = b""
        self._thread = GuestThread()
        self._store = wasmtime.Store(compiled.engine)
        self._store.set_limits(memory_size=memory_bytes)
        self._store.set_epoch_deadline(1 << 40)
        linker = wasmtime.Linker(compiled.engine)
        for module, name, parameters, function in self._imports():
            linker.define_func(module, name, FuncType(parameters, [_I32]), function)
        self._exports = linker.instantiate(self._store, compiled.module).exports(self._store)
        self.memory: wasmtime.Memory = self._exports["memory"]
        self.call("_initialize")
        self.status = self.call("rlm_init")
        self.mailbox = self.call("rlm_mailbox")

    def close(self) -> None:
        self._thread.close()
        self._store.close()

    # ------------------------------------------------------------------- exports

    def call(self, name: str, *arguments: int) -> Any:
        return self._thread.call(lambda: self._exports[name](self._store, *arguments))

    def put(self, data: bytes) -> int:
        """Into the input buffer; the length."""
        address = self.call("rlm_buffer", len(data)) & _UNSIGNED
        assert address
        self.write(address, data)
        return len(data)

    def setup(self, **fields: object) -> dict[str, Any] | None:
        """None, or the result of a setup that failed."""
        message = {
            "texts": [],
            "single": False,
            "names": [],
            "question": "",
            "seed": 0,
            "functions": [],
            "output_chars": 4000,
        }
        length = self.put(json.dumps(message | fields).encode())
        if self.call("rlm_setup", length) == 0:
            return None
        return self.result()

    def run(self, source: str | bytes) -> Ran:
        """One cell."""
        if isinstance(source, str):
            source = source.encode("utf-8", "surrogatepass")
        status = self.call("rlm_exec", self.put(source))
        box = self.box()
        return Ran(
            status,
            self.result(),
            self.read(box.out_ptr, box.out_len),
            self.read(box.err_ptr, box.err_len),
        )

    def value(self, source: str) -> str:
        """The shown value of a cell that must not fail."""
        ran = self.run(source)
        assert ran.result["error"] is None, ran.result["error"]["traceback"]
        return str(ran.result["value"])

    # -------------------------------------------------------------------- memory

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.memory.read(self._store, address, address + length))

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(self._store, data, address)

    @property
    def size(self) -> int:
        """Bytes of linear memory."""
        return int(self.memory.size(self._store)) * PAGE

    def grow(self, pages: int) -> int:
        """Make room at the end, as for a mapped prompt; its address."""
        return int(self.memory.grow(self._store, pages)) * PAGE

    def box(self) -> Box:
        return Box._make(BOX.unpack(self.read(self.mailbox, BOX.size)))

    def write_box(self, offset: int, value: int) -> None:
        self.write(self.mailbox + offset, struct.pack("<I", value))

    def result(self) -> dict[str, Any]:
        box = self.box()
        return json.loads(self.read(box.result_ptr, box.result_len))  # type: ignore[no-any-return]

    def interrupt(self) -> None:
        """What the host does for a soft interrupt."""
        box = self.box()
        self.write(box.sigint_tripped, struct.pack("<I", 1))
        self.write(box.is_tripped, struct.pack("<I", 1))
        (bits,) = struct.unpack("<I", self.read(box.eval_breaker, 4))
        self.write(box.eval_breaker, struct.pack("<I", bits | box.signals_pending_bit))

    def forget_interrupt(self) -> None:
        """What the host does before a cell."""
        box = self.box()
        self.write(box.sigint_tripped, struct.pack("<I", 0))
        self.write(box.is_tripped, struct.pack("<I", 0))

    # ------------------------------------------------------------------- imports

    def _imports(
        self,
    ) -> list[tuple[str, str, Sequence[ValType], Callable[..., int]]]:
        wasi = "wasi_snapshot_preview1"
        return [
            ("rlm", "call", [_I32] * 4, self._call),
            ("rlm", "reply", [_I32] * 2, self._reply),
            (wasi, "clock_time_get", [_I32, _I64, _I32], self._clock_time_get),
            (wasi, "random_get", [_I32] * 2, self._random_get),
            (wasi, "poll_oneoff", [_I32] * 4, self._poll_oneoff),
        ]

    def _call(self, request: int, length: int, reply: int, cap: int) -> int:
        answer = self.host(self.read(request & _UNSIGNED, length & _UNSIGNED))
        if answer is None:
            return -1
        if len(answer) <= cap:
            self.write(reply, answer)
        self._pending = answer
        return len(answer)

    def _reply(self, address: int, cap: int) -> int:
        self.write(address & _UNSIGNED, self._pending[:cap])
        return len(self._pending)

    def _clock_time_get(self, clock: int, precision: int, place: int) -> int:
        self.now_ns += 1000
        self.write(place, struct.pack("<Q", self.now_ns))
        return 0

    def _random_get(self, place: int, length: int) -> int:
        self.write(place, bytes([self.random_byte]) * length)
        return 0

    def _poll_oneoff(self, subscriptions: int, events: int, count: int, happened: int) -> int:
        for i in range(count):
            userdata, kind, _, nanoseconds, flags = struct.unpack_from(
                "<QB7xI4xQ8xH", self.read(subscriptions + 48 * i, 48)
            )
            is_absolute = flags & 1
            self.now_ns = max(self.now_ns, nanoseconds + (0 if is_absolute else self.now_ns))
            self.write(events + 32 * i, struct.pack("<QHB21x", userdata, 0, kind))
        self.write(happened, struct.pack("<I", count))
        return 0
