"""What the controller asks of a sandbox: Pythons that run the model's code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from rlm_local.prompt import Prompt
from rlm_local.records import Observation


class GuestRaise(Exception):
    """Raised by a host function to make the guest's call raise, as ordinary Python.

    `kind` is the name of a builtin exception type (ValueError, TypeError, …).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class GuestText(ABC):
    """A long str that the guest hands over: still in its memory, not copied yet.

    It can be read, from any thread, until the host call that brought it returns.
    """

    chars: int

    @abstractmethod
    def read(self) -> str:
        """The text. Raises GuestRaise if the guest's memory does not hold one there."""

    @abstractmethod
    def pieces(self) -> Iterator[str]:
        """The text in pieces: for one that is too long to be copied at once."""


class WholeContext:
    """Stands for the REPL's own `context` where the guest hands over just that."""


class PartOfContext(NamedTuple):
    """Stands for the documents `start` to `stop` of the REPL's own `context`, not empty."""

    start: int
    stop: int


class HostFunctions(Protocol):
    """What the guest can call. Runs on the guest's thread while the guest waits."""

    def __call__(self, name: str, arguments: list[object]) -> object:
        """Answer the call `name(*arguments)`; both sides are JSON values.

        Within the arguments, a long str comes as a GuestText, and `context` itself
        as a WholeContext, or some of its documents as a PartOfContext.

        Raise GuestRaise to raise in the guest. Any other exception (a limit, a
        dead worker) ends the guest's cell at once, uncatchably, and comes out
        of `Repl.execute` unchanged.
        """
        ...


class Sandbox(Protocol):
    """Makes Pythons. One serves a whole process; forks are independent."""

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
    ) -> Repl:
        """Fork a Python with `prompt` mapped as `context`.

        `functions` are the names that the guest gets as host functions.
        `memory_bytes` bounds what the guest may use beside the mapped prompt, its
        Python of some 30 MB included; `output_chars` what is kept of stdout, of
        stderr and of a shown value. `seed` is where its randomness starts.
        Raises AddressSpaceError, GuestMissing, SandboxError.
        """
        ...

    def close(self) -> None: ...


class Repl(Protocol):
    """One Python with its own variables. Not for two threads at once.

    `on_demand`: the documents of its context do not fit its memory together.
    """

    on_demand: bool

    def execute(self, code: str, *, deadline: float, cell_seconds: float) -> Observation:
        """Run one cell and say what it gave.

        An exception of the code is data in the `Observation`. After
        `cell_seconds`, host calls not counted, the code gets a KeyboardInterrupt
        and its variables survive; if it goes on all the same, the guest is
        stopped for good and a fresh one takes its place (`Observation.restarted`).
        At `deadline` (`time.monotonic`) likewise. An exception that a host
        function raised comes out as it is.
        """
        ...

    def unfinished(self) -> Observation:
        """What a cell had given until `execute` raised: its stdout and its partial answer."""
        ...

    def save(self, folder: Path, turn: int, note: bytes = b"") -> object | None:
        """Keep its state, as that after `turn`, in a folder of its own, with a note.

        Not while a cell runs. None where that cannot be: the disk is full, or this
        sandbox keeps no states. What was kept before stays good then; else it may
        be removed.
        """
        ...

    def restore(self, folder: Path, most_turn: int) -> tuple[int, bytes] | None:
        """Go back to the newest state of `folder` up to `most_turn`: its turn and note.

        None if there is none that is whole, and of the same guest and prompt; the
        REPL is then as it was. Raises SandboxError.
        """
        ...

    def interrupt(self) -> None:
        """From another thread: end the running cell now, for good, as a trap would."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
