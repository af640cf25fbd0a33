"""The sandbox: one compiled guest and its snapshot, from which REPLs are forked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from rlm_local.closing import Closing
from rlm_local.errors import SandboxError
from rlm_local.packages.image import NO_PACKAGES, Packages
from rlm_local.prompt import Prompt
from rlm_local.sandbox import HostFunctions
from rlm_local.wasm import guest, snapshot
from rlm_local.wasm.instance import Host
from rlm_local.wasm.repl import WasmRepl
from rlm_local.wasm.thread import GuestThread


class WasmSandbox(Closing):
    """A `Sandbox` (see rlm_local.sandbox). One serves a whole process, from any thread.

    `path` is the guest module, found by `guest.find` if it is not given. It is
    compiled, started and snapshot at the first REPL, or by `prepare`; `notice`
    is told of what takes long. `packages` can be imported in every REPL. Raises
    GuestMissing, SandboxError, PackageError.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        packages: Packages = NO_PACKAGES,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._packages = packages
        self._notice = notice
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._snapshot: snapshot.Snapshot | None = None
        self._closed = False

    def prepare(self) -> None:
        """Do now what the first REPL would do: compile, start, snapshot."""
        self._ready()

    def repl(
        self,
        prompt: Prompt,
        *,
        question: str,
        host: HostFunctions,
        functions: Sequence[str],
        memory_bytes: int,
        output_chars: int,
        seed: int = 0,
    ) -> WasmRepl:
        """Fork a Python; see `Sandbox.repl`."""
        shared, image = self._ready()
        return WasmRepl(
            shared,
            image,
            prompt,
            question=question,
            host=host,
            functions=functions,
            memory_bytes=memory_bytes,
            output_chars=output_chars,
            seed=seed,
        )

    def close(self) -> None:
        """Release what is shared; REPLs that are open go on. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            if self._snapshot is not None:
                self._snapshot.close()
            if self._host is not None:
                self._host.close()

    def _ready(self) -> tuple[Host, snapshot.Snapshot]:
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            if self._host is None:
                self._host = Host(guest.load(self._path or guest.find(), notice=self._notice))
            if self._snapshot is None:
                self._snapshot = _on_guest_thread(self._host, self._packages)
            return self._host, self._snapshot


def _on_guest_thread(host: Host, packages: Packages) -> snapshot.Snapshot:
    thread = GuestThread()
    try:
        return thread.call(lambda: snapshot.open_or_make(host, packages))
    finally:
        thread.close()
