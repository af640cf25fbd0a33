"""One instance of the guest, and what all instances of a process share.

`Host` links the module to our functions once; an `Instance` is then made in a
millisecond. Callbacks come in on the instance's own thread and find it by the
number that its store carries.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable

import wasmtime

from rlm_local.errors import SandboxError
from rlm_local.wasm import capi, preview1
from rlm_local.wasm.cell import Cell, Verdict
from rlm_local.wasm.guest import BUILD_HINT, Guest
from rlm_local.wasm.memory import GuestMemory
from rlm_local.wasm.watch import Watch


class GuestFault(Exception):
    """Raised in a callback to stop the guest for good, for a reason that is the guest's."""


class Instance:
    """One running guest. Its functions may be called from one thread at a time."""

    def __init__(self, host: Host, number: int, world: preview1.World, memory_bytes: int) -> None:
        self.number = number
        self.world = world
        self.host = host
        #: Answers a host call: the request's length, and what reads it, to the reply's bytes.
        self.answer: Callable[[int, Callable[[], bytes]], bytes] = _no_host_calls
        self.reply = b""
        #: What a callback raised: the reason why the guest was stopped.
        self.raised: BaseException | None = None
        self.cell: Cell | None = None
        #: Makes the guest's Python raise KeyboardInterrupt soon.
        self.interrupt: Callable[[], None] = lambda: None
        self.forget_interrupt: Callable[[], None] = lambda: None
        self._store = wasmtime.Store(host.guest.engine)
        self._store.set_limits(memory_size=memory_bytes, instances=1, memories=1, tables=1)
        host.epochs.watch(self._store, number)
        try:
            instance = host.prepared.instantiate(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self._store.close()
            raise SandboxError(
                f"the guest cannot start in {memory_bytes:,} bytes of memory: "
                f"{str(error).splitlines()[0]}",
                hint="raise guest_memory_bytes",
            ) from error
        self._exports = instance.exports(self._store)
        self.memory = GuestMemory(self._store, self._exports["memory"])
        self._stack_pointer = self._exports["__stack_pointer"]
        self._functions: dict[str, capi.GuestFunction] = {}

    def call(self, name: str, *arguments: int) -> int:
        """Call an export; its i32 result, unsigned for addresses and -1 for a failure as it is.

        Raises what a callback raised, or capi.Trapped.
        """
        function = self._functions.get(name)
        if function is None:
            function = capi.GuestFunction(self._store, self._exports[name], len(arguments))
            self._functions[name] = function
        self.raised = None
        try:
            return function(*arguments)
        except capi.Trapped:
            if self.raised is not None:
                raise self.raised from None
            raise

    @property
    def stack_pointer(self) -> int:
        """The guest's `__stack_pointer`."""
        return int(self._stack_pointer.value(self._store))

    @stack_pointer.setter
    def stack_pointer(self, value: int) -> None:
        self._stack_pointer.set_value(self._store, value)

    def close(self) -> None:
        """Free the memory. Not while a function of it runs."""
        self._exports = {}
        self._functions = {}
        self._store.close()


def _no_host_calls(length: int, read: Callable[[], bytes]) -> bytes:
    raise SandboxError("the guest called the host while it was being set up")


class Host:
    """The module linked to the functions that it imports."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.watch = Watch(guest.engine.increment_epoch)
        self.epochs = capi.EpochCallback(self._decide)
        self._instances: weakref.WeakValueDictionary[int, Instance] = weakref.WeakValueDictionary()
        self._numbers = itertools.count(1)
        self._linker = wasmtime.Linker(guest.engine)
        self._callbacks = [self._define(wanted) for wanted in guest.module.imports]
        self.prepared = self._linker.instantiate_pre(guest.module)

    def instance(self, world: preview1.World, *, memory_bytes: int) -> Instance:
        """A fresh instance whose linear memory may have `memory_bytes`. Raises SandboxError."""
        number = next(self._numbers)
        instance = Instance(self, number, world, memory_bytes)
        self._instances[number] = instance
        return instance

    def move_epoch(self) -> None:
        """Make every running guest ask for its verdict."""
        self.guest.engine.increment_epoch()

    def close(self) -> None:
        """Let the watch's thread end."""
        self.watch.close()

    def _define(self, wanted: wasmtime.ImportType) -> capi.HostFunction:
        kind = wanted.type
        function = _IMPORTS.get((wanted.module, wanted.name))
        if function is None or not isinstance(kind, wasmtime.FuncType):
            raise SandboxError(
                f"the guest wants {wanted.module}.{wanted.name}, which this version does not have",
                hint=BUILD_HINT,
            )
        defined = capi.HostFunction(
            function,
            [str(parameter) for parameter in kind.params],
            owner_of=self._instances.__getitem__,
            on_error=_keep,
        )
        defined.define(self._linker, wanted.module, wanted.name, kind)
        return defined

    def _decide(self, number: int) -> str | None:
        instance = self._instances.get(number)
        cell = instance.cell if instance is not None else None
        if instance is None or cell is None:
            return None
        verdict = cell.verdict()
        if verdict is Verdict.STOP:
            return "stopped by the host"
        if verdict is Verdict.INTERRUPT:
            instance.interrupt()
        self.watch.arm(number, cell.due)
        return None


def _keep(instance: Instance | None, error: BaseException) -> None:
    if instance is not None:
        instance.raised = error


def _call(instance: Instance, request: int, length: int, reply: int, room: int) -> int:
    def read() -> bytes:
        try:
            return instance.memory.read(request, length)
        except SandboxError as error:
            raise GuestFault(str(error)) from error

    instance.reply = instance.answer(length, read)
    return _reply(instance, reply, room) if len(instance.reply) <= room else len(instance.reply)


def _reply(instance: Instance, address: int, room: int) -> int:
    if len(instance.reply) > room:
        return -1
    try:
        instance.memory.write(address, instance.reply)
    except SandboxError as error:
        raise GuestFault(str(error)) from error
    return len(instance.reply)


def _of_world(answer: Callable[..., int]) -> Callable[..., int]:
    return lambda instance, *arguments: answer(instance.world, instance.memory, *arguments)


#: All that a guest can reach (CONTRACT.md, "Imports").
_IMPORTS: dict[tuple[str, str], Callable[..., int]] = {
    ("rlm", "call"): _call,
    ("rlm", "reply"): _reply,
    **{
        ("wasi_snapshot_preview1", name): _of_world(answer)
        for name, answer in preview1.FUNCTIONS.items()
    },
}
