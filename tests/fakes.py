"""A sandbox without WebAssembly, for tests of what stands above it.

Code runs in this very process, so only code that the test itself wrote may.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rlm_local.closing import Closing
from rlm_local.model import ScriptedModel
from rlm_local.prompt import Prompt
from rlm_local.records import Completion, GuestError, Observation, Request
from rlm_local.sandbox import HostFunctions

#: Runs a command: exit code, standard output, standard error.
Run = Callable[..., tuple[int, str, str]]
#: Sets what a model says.
Script = Callable[..., None]


class _Final(BaseException):
    pass


class FakeRepl(Closing):
    on_demand = False

    def __init__(
        self, prompt: Prompt, question: str, host: HostFunctions, functions: Sequence[str]
    ) -> None:
        texts = [prompt.read(index) for index in range(len(prompt.documents))]
        self._names: dict[str, object] = {
            "context": texts[0] if prompt.single else texts,
            "question": question,
            "FINAL": self._final,
            **{name: self._caller(name) for name in functions},
        }
        self._host = host
        self._written = ""

    def execute(self, code: str, *, deadline: float, cell_seconds: float) -> Observation:
        stdout = io.StringIO()
        error = None
        began = time.monotonic()
        try:
            with contextlib.redirect_stdout(stdout):
                exec(code, self._names)
        except _Final:
            pass
        except Exception as raised:
            error = GuestError(
                type=type(raised).__name__,
                message=str(raised),
                traceback="".join(traceback.format_exception_only(raised)),
            )
        self._written = text = stdout.getvalue()
        return Observation(
            stdout=text, stdout_chars=len(text), error=error, seconds=time.monotonic() - began
        )

    def save(self, folder: Path, turn: int, note: bytes = b"") -> None:
        return None

    def restore(self, folder: Path, most_turn: int) -> None:
        return None

    def unfinished(self) -> Observation:
        return Observation(stdout=self._written)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _final(self, value: object) -> None:
        self._host("final", [str(value)])
        raise _Final

    def _caller(self, name: str) -> Callable[..., object]:
        return lambda *arguments: self._host(name, list(arguments))


class FakeSandbox:
    def __init__(self) -> None:
        self.closed = False

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
    ) -> FakeRepl:
        return FakeRepl(prompt, question, host, functions)

    def close(self) -> None:
        self.closed = True


class HangingModel(ScriptedModel):
    """A scripted model that, asked for its turn `HANG`, says so and waits to be cancelled."""

    HANG = "hang"

    def __init__(self, turns: Sequence[str], hanging: Callable[[], None]) -> None:
        super().__init__(turns)
        self._hanging = hanging
        self._cancelled = threading.Event()

    def _complete(self, request: Request) -> Completion:
        completion = super()._complete(request)
        if completion.text == self.HANG:
            self._hanging()
            self._cancelled.wait(60)
        return completion

    def cancel(self, node: str = "") -> None:
        self._cancelled.set()


def cell(code: str) -> str:
    """A turn that runs `code`."""
    return f"I look.\n```repl\n{code}\n```\n"
