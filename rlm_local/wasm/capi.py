"""The calls of wasmtime's C API that wasmtime-py does not wrap, or wraps at too high a price.

`wasmtime-py` converts every value and looks up every type on each call, some
90 µs; here a call is one C call with its arrays made beforehand. Its callbacks
keep a raised exception in a process-wide variable; ours hand it to `on_error`
and trap. The private modules are why wasmtime is pinned exactly.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from collections.abc import Callable, Sequence
from typing import Any

import wasmtime
from wasmtime import _bindings
from wasmtime import _ffi as ffi

#: Compiled modules and snapshots are good for one version.
WASMTIME_VERSION = importlib.metadata.version("wasmtime")

#: How many 64-bit words one `wasmtime_val_raw_t` takes.
_WORDS = 2
_I32_MASK = 0xFFFF_FFFF

_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_HOST_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.POINTER(ffi.wasmtime_caller_t),
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.c_size_t,
)
_EPOCH_CALLBACK = _bindings._wasmtime_store_epoch_deadline_callback.argtypes[1]
_CONTINUE = 0


class Trapped(Exception):
    """The guest was stopped: by a trap of its own, or by one of our callbacks."""

    def __init__(self, message: str, code: wasmtime.TrapCode | None) -> None:
        super().__init__(message)
        self.code = code


def set_async_stack_size(config: wasmtime.Config, size: int) -> None:
    """Set the size in bytes of stacks for async calls.

    None are made here, but wasmtime aborts the process if it is below `max_wasm_stack`.
    """
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), size)


class HostFunction:
    """A Python function that the guest can import.

    `function(owner, *integers)` gets what `owners` holds for the calling store,
    and unsigned integers; it returns an integer if the import has a result. What
    it raises goes to `on_error(owner, error)`, and the guest is trapped.
    """

    def __init__(
        self,
        function: Callable[..., int | None],
        signature: Sequence[str],
        *,
        owner_of: Callable[[int], Any],
        on_error: Callable[[Any, BaseException], None],
    ) -> None:
        masks = [_I32_MASK if kind == "i32" else _I32_MASK << 32 | _I32_MASK for kind in signature]
        places = [(number * _WORDS, mask) for number, mask in enumerate(masks)]
        get_data, get_context = ffi.wasmtime_context_get_data, ffi.wasmtime_caller_context

        def enter(_env: object, caller: object, values: Any, _count: int) -> int:
            owner = None
            try:
                owner = owner_of(get_data(get_context(caller)))
                result = function(owner, *[values[place] & mask for place, mask in places])
                if result is not None:
                    values[0] = result & _I32_MASK
            except BaseException as error:  # noqa: BLE001 - nothing may pass through C
                on_error(owner, error)
                return _trap_address("ended by the host")
            return 0

        self._callback = _HOST_CALLBACK(enter)  # kept: C does not

    def define(
        self, linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType
    ) -> None:
        """Offer it to the linker as the import `module`.`name`."""
        first, second = module.encode(), name.encode()
        callback = ctypes.cast(self._callback, ffi.wasmtime_func_unchecked_callback_t)
        _check(
            ffi.wasmtime_linker_define_func_unchecked(
                linker.ptr(),
                *(ctypes.create_string_buffer(first), len(first)),
                *(ctypes.create_string_buffer(second), len(second)),
                kind.ptr(),
                callback,
                None,
                _NO_FINALIZER,
            )
        )


class EpochCallback:
    """`decide(number)` is called on the guest's thread when the epoch has moved.

    `number` is the store's. None lets the guest go on; a text traps it.
    """

    def __init__(self, decide: Callable[[int], str | None]) -> None:
        def enter(_context: object, data: int, delta: Any, kind: Any) -> int:
            try:
                verdict = decide(data)
                delta[0], kind[0] = 1, _CONTINUE
            except BaseException as error:  # noqa: BLE001 - nothing may pass through C
                verdict = f"the host failed: {error!r}"
            return 0 if verdict is None else _error_address(verdict)

        self._callback = _EPOCH_CALLBACK(enter)  # kept: C does not

    def watch(self, store: wasmtime.Store, number: int) -> None:
        """Call it for `store`, known to all callbacks by `number` (at least 1)."""
        ffi.wasmtime_context_set_data(store._context(), number)
        ffi.wasmtime_store_epoch_deadline_callback(
            store.ptr(), self._callback, number, _NO_FINALIZER
        )
        store.set_epoch_deadline(1)


class GuestFunction:
    """An exported function of i32 parameters and at most one i32 result, ready to be called."""

    def __init__(self, store: wasmtime.Store, function: wasmtime.Func, parameters: int) -> None:
        self._store = store
        self._function = function._func
        self._count = max(parameters, 1)
        self._values = (ffi.wasmtime_val_raw_t * self._count)()
        self._words = ctypes.cast(self._values, ctypes.POINTER(ctypes.c_int32))

    def __call__(self, *arguments: int) -> int:
        """Call it; its result as a signed integer (0 if it has none). Raises Trapped."""
        for number, argument in enumerate(arguments):
            self._words[number * 2 * _WORDS] = ctypes.c_int32(argument).value
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call_unchecked(
            self._store._context(),
            ctypes.byref(self._function),
            self._values,
            self._count,
            ctypes.byref(trap),
        )
        if error:
            raise Trapped(_first_line(wasmtime.WasmtimeError._from_ptr(error)), None)
        if trap:
            caught = wasmtime.Trap._from_ptr(trap)
            raise Trapped(_first_line(caught), caught.trap_code)
        return int(self._words[0])


def _check(error: Any) -> None:
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def _trap_address(message: str) -> int:
    text = message.encode()
    return _address(ffi.wasmtime_trap_new(ctypes.create_string_buffer(text), len(text)))


def _error_address(message: str) -> int:
    return _address(ffi.wasmtime_error_new(message.encode()))


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _first_line(error: Exception) -> str:
    """The reason, without wasmtime's backtrace of nameless functions."""
    reason = re.search(r"wasm trap: (.+)", str(error))
    if reason is not None:
        return reason[1]
    return next(filter(None, map(str.strip, str(error).splitlines())), "no reason given")
