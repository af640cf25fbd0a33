"""One Python with its own variables: a fork of the snapshot with a prompt mapped into it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import wasmtime

from rlm_local import jsontext
from rlm_local.closing import Closing
from rlm_local.errors import SandboxError
from rlm_local.prompt import Prompt
from rlm_local.records import GuestError, Observation
from rlm_local.sandbox import HostFunctions
from rlm_local.wasm import capi, preview1
from rlm_local.wasm.calls import MOST_PARTIAL_CHARS, HostCalls
from rlm_local.wasm.cell import Cell
from rlm_local.wasm.checkpoint import Checkpoints, Saved
from rlm_local.wasm.instance import GuestFault, Host, Instance
from rlm_local.wasm.mailbox import Mailbox
from rlm_local.wasm.memory import ADDRESS_SPACE, WASM_PAGE
from rlm_local.wasm.ondemand import OnDemand, mapping_of
from rlm_local.wasm.snapshot import Snapshot
from rlm_local.wasm.thread import GuestThread

#: What a guest needs beyond its snapshot to do anything at all.
LEAST_FREE_BYTES = 8 << 20
_REASONS = {
    wasmtime.TrapCode.STACK_OVERFLOW: "its stack overflowed, which a very deep recursion does",
    wasmtime.TrapCode.UNREACHABLE: "its process ended, as os.abort and os._exit do",
}
_MOST_BYTES_PER_CHAR = 4  # of UTF-8
#: How long an interrupted wait gives the guest to stop.
_STOP_SECONDS = 1.0


class CellResult(msgspec.Struct, frozen=True):
    """The guest's report on a cell (CONTRACT.md, "Result")."""

    value: str | None
    error: GuestError | None
    partial: str | None = None
    exhausted: bool = False


class WasmRepl(Closing):
    """A `Repl` (see rlm_local.sandbox) in a WebAssembly instance of its own.

    The guest runs on a thread with a large stack; `execute` waits for it. After
    a cell that had to be stopped for good the next cell gets a fresh fork.
    """

    def __init__(
        self,
        shared: Host,
        snapshot: Snapshot,
        prompt: Prompt,
        *,
        question: str,
        host: HostFunctions,
        functions: Sequence[str],
        memory_bytes: int,
        output_chars: int,
        seed: int,
    ) -> None:
        self._shared = shared
        self._snapshot = snapshot
        self._mapping = mapping_of(prompt, snapshot.head.memory_bytes, memory_bytes)
        self.on_demand = isinstance(self._mapping, OnDemand)
        least = snapshot.head.memory_bytes + LEAST_FREE_BYTES
        if memory_bytes < least:
            raise SandboxError(
                f"the guest's memory limit is {memory_bytes:,} bytes, and its Python alone "
                f"needs {least:,}",
                hint="raise guest_memory_bytes",
            )
        mapped_bytes = self._mapping.end - snapshot.head.memory_bytes
        self._memory_bytes = min(mapped_bytes + memory_bytes, ADDRESS_SPACE - WASM_PAGE)
        self._seed = seed
        self._setup = jsontext.encode(  # a question may have lone surrogates
            {
                **self._mapping.setup,
                "question": question,
                "seed": seed,
                "functions": list(functions),
                "output_chars": output_chars,
            }
        )
        self._output_chars = output_chars
        self._most_out = _MOST_BYTES_PER_CHAR * output_chars
        self._written = ""
        # The bootstrap has cut what it shows, unless the cell has changed the bootstrap.
        self._most_shown = 2 * output_chars + 1000
        self._calls = HostCalls(
            host, frozenset(functions), self._mapping.functions, len(prompt.documents)
        )
        self._decode = msgspec.json.Decoder(CellResult).decode
        self._thread = GuestThread()
        self._cell: Cell | None = None
        self._closed = False
        self._instance: Instance | None = None
        self._checkpoints: Checkpoints | None = None
        try:
            self._instance = self._thread.call(self._fork)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ on the caller's thread

    def execute(self, code: str, *, deadline: float, cell_seconds: float) -> Observation:
        """Run one cell; see `Repl.execute`. The time in host calls does not count for
        `cell_seconds`. Raises SandboxError if a fresh fork cannot be made."""
        if self._closed:
            raise SandboxError("the REPL is closed")
        if self._cell is not None:
            raise SandboxError("the REPL is running another cell")
        cell = Cell(deadline, cell_seconds)
        self._cell = cell
        job = self._thread.start(lambda: self._run(code, cell))
        try:
            return job.result()
        except KeyboardInterrupt:
            self.interrupt()
            self._wait_for(job.result)
            raise

    def unfinished(self) -> Observation:
        """See `Repl.unfinished`."""
        return Observation(
            stdout=self._written[: self._output_chars], partial=self._calls.partial or None
        )

    def interrupt(self) -> None:
        """End the running cell for good; see `Repl.interrupt`. Nothing if none runs."""
        cell = self._cell
        if cell is not None:
            cell.kill()
            self._shared.move_epoch()

    def save(self, folder: Path, turn: int, note: bytes = b"") -> Saved | None:
        """Write a checkpoint; see `Repl.save`. Not while a cell runs."""
        return self._thread.call(lambda: self._save(folder, turn, note))

    def restore(self, folder: Path, most_turn: int) -> tuple[int, bytes] | None:
        """Go back to a checkpoint; see `Repl.restore`. Raises SandboxError."""
        return self._thread.call(lambda: self._restore(folder, most_turn))

    def close(self) -> None:
        """End the guest and free its memory. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.interrupt()
        self._thread.start(self._release)
        self._thread.close(_STOP_SECONDS)

    @staticmethod
    def _wait_for(result: Callable[[float], object]) -> None:
        """Let a cell that was told to stop do so; it may be in a host call that does not."""
        with contextlib.suppress(Exception):  # the interrupt is what is raised
            result(_STOP_SECONDS)

    # ------------------------------------------------------------------- on the guest's thread

    def _fork(self, begin: Callable[[Instance], None] | None = None) -> Instance:
        """A fresh instance; `begin` gives it its state, else it is set up anew."""
        world = preview1.World(self._seed)
        instance = self._shared.instance(world, memory_bytes=self._memory_bytes)
        try:
            self._snapshot.restore(instance)
            instance.memory.grow_to(self._mapping.end)
            self._mapping.begin(instance.memory)
            instance.answer = self._calls.answer
            self._calls.memory = instance.memory
            at = self._snapshot.head.mailbox
            box = Mailbox.read(instance.memory, at)
            instance.interrupt = lambda: box.interrupt(instance.memory)
            instance.forget_interrupt = lambda: box.forget_interrupt(instance.memory)
            box.lower_caps(instance.memory, at, _MOST_BYTES_PER_CHAR * self._output_chars)
            (begin or self._set_up)(instance)
        except capi.Trapped as trap:
            instance.close()
            raise SandboxError(f"the guest was stopped during its setup: {trap}") from trap
        except BaseException:
            instance.close()
            raise
        return instance

    def _set_up(self, instance: Instance) -> None:
        if self._hand_over(instance, "rlm_setup", self._setup):
            box = Mailbox.read(instance.memory, self._snapshot.head.mailbox)
            reason = box.result(instance.memory).decode(errors="replace")
            raise SandboxError(f"the guest refused its setup: {reason}")

    def _save(self, folder: Path, turn: int, note: bytes) -> Saved | None:
        try:
            checkpoints = self._checkpoints_in(folder)
        except OSError:  # the prompt's spool is gone: there is nothing that one could fit
            return None
        return checkpoints.save(self._instance, turn, note)

    def _restore(self, folder: Path, most_turn: int) -> tuple[int, bytes] | None:
        checkpoints = self._checkpoints_in(folder)
        chain = checkpoints.read(most_turn)
        if not chain:
            return None
        self._drop()
        found = chain[-1]
        if found.memory_bytes:
            self._instance = self._fork(lambda instance: checkpoints.restore(instance, chain))
        return found.turn, found.note

    def _checkpoints_in(self, folder: Path) -> Checkpoints:
        if self._checkpoints is None:
            fits = f"{self._snapshot.identity} {self._mapping.identity()}"
            self._checkpoints = Checkpoints(folder, fits, self._mapping)
        return self._checkpoints

    def _run(self, code: str, cell: Cell) -> Observation:
        try:
            if self._instance is None:
                self._instance = self._fork()
            return self._run_in(self._instance, code, cell)
        finally:
            self._cell = None

    def _run_in(self, instance: Instance, code: str, cell: Cell) -> Observation:
        watch = self._shared.watch
        instance.forget_interrupt()
        instance.cell = cell
        self._calls.begin(cell)
        watch.arm(instance.number, cell.due)
        trapped = ""
        began = time.monotonic()
        try:
            if self._hand_over(instance, "rlm_exec", code.encode("utf-8", "surrogatepass")):
                trapped = "its Python could not report on the cell"
        except capi.Trapped as trap:
            trapped = _REASONS.get(trap.code, str(trap))
        except GuestFault as fault:
            trapped = str(fault)
        except BaseException as error:
            if error is instance.raised or not isinstance(error, SandboxError):
                with contextlib.suppress(SandboxError):
                    self._written = self._mailbox(instance).stdout(instance.memory, self._most_out)
                self._drop()
                raise  # a host function's, or worse
            trapped = f"its Python is damaged ({error})"
        finally:
            seconds = time.monotonic() - began - cell.host_seconds
            watch.disarm(instance.number)
            instance.cell = None
            self._calls.begin(None)
        return self._observe(instance, cell, trapped, max(0.0, seconds))

    def _observe(self, instance: Instance, cell: Cell, trapped: str, seconds: float) -> Observation:
        memory = instance.memory
        box, result = None, None
        try:
            box = self._mailbox(instance)
            stdout = box.stdout(memory, self._most_out)
            stderr = box.stderr(memory, self._most_out)
            if not trapped:
                result = self._decode(box.result(memory))
                if result.exhausted:
                    trapped, result = "its memory is used up", None
        except (SandboxError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as damage:
            stdout, stderr = "", ""
            trapped = trapped or f"its Python is damaged ({damage})"
        self._written = stdout
        partial = (result.partial if result else None) or self._calls.partial
        if result is None:
            failure: GuestError | None = _stopped(cell, trapped, stderr)
            self._drop()
        else:
            failure = _explained(result.error, cell, self._most_shown)
        return Observation(
            stdout=stdout[: self._output_chars],
            stderr=stderr[: self._output_chars],
            stdout_chars=box.out_chars if box else 0,
            stderr_chars=box.err_chars if box else 0,
            value=result.value[: self._most_shown] if result and result.value else None,
            error=failure,
            partial=partial[:MOST_PARTIAL_CHARS] or None,
            seconds=seconds,
            host_seconds=cell.host_seconds,
            restarted=result is None,
        )

    def _mailbox(self, instance: Instance) -> Mailbox:
        return Mailbox.read(instance.memory, self._snapshot.head.mailbox)

    def _hand_over(self, instance: Instance, function: str, data: bytes) -> int:
        """Call `function` on `data` in the guest's input buffer; what it returned."""
        box = Mailbox.read(instance.memory, self._snapshot.head.mailbox)
        address = box.in_ptr
        if len(data) > box.in_cap:
            address = instance.call("rlm_buffer", len(data)) & 0xFFFF_FFFF
            if address == 0:
                raise SandboxError(f"the guest has no room for {len(data):,} bytes of input")
        instance.memory.write(address, data)
        return instance.call(function, len(data))

    def _release(self) -> None:
        self._drop()
        if self._checkpoints is not None:
            self._checkpoints.close()

    def _drop(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None
        if self._checkpoints is not None:
            self._checkpoints.forget()


def _stopped(cell: Cell, reason: str, stderr: str) -> GuestError:
    """The error of a cell that was stopped for good. Python's own last words say the most."""
    fatal = [line for line in stderr.splitlines() if line.startswith("Fatal Python error")]
    why = cell.stopped_because or (fatal[-1] if fatal else reason)
    return GuestError(
        type="GuestTrapped",
        message=f"the Python was stopped and started anew, without its variables: {why}",
        traceback="",
    )


def _explained(error: GuestError | None, cell: Cell, most: int) -> GuestError | None:
    """The guest's error, in at most `most` characters; an interrupt of ours says why."""
    if error is None:
        return None
    message, traceback = error.message[:most], error.traceback[:most]
    if error.type == "KeyboardInterrupt" and cell.interrupted:
        message = f"the cell was interrupted: {cell.stopped_because}"
        traceback = f"{traceback}: {message}"
    return GuestError(type=error.type[:most], message=message, traceback=traceback)
