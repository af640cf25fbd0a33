"""One sandbox for all tests here, and forks of it by the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rlm_local.records import Observation
from rlm_local.sandbox import HostFunctions
from rlm_local.wasm import WasmRepl, WasmSandbox
from tests.sandbox_wasm.conftest import guest_path  # noqa: F401 - a fixture
from tests.wasm.prompts import TextPrompt

MEMORY_BYTES = 256 << 20


@pytest.fixture(scope="session")
def sandbox(guest_path: Path) -> Iterator[WasmSandbox]:  # noqa: F811
    with WasmSandbox(guest_path) as made:
        yield made


class Guest:
    """A REPL and what it has asked of the host."""

    def __init__(self, fork: Callable[..., WasmRepl], host: HostFunctions | None) -> None:
        self.calls: list[tuple[str, list[object]]] = []
        self.host = host
        self.repl = fork(self._answer)

    def _answer(self, name: str, arguments: list[object]) -> object:
        self.calls.append((name, arguments))
        return None if self.host is None else self.host(name, arguments)

    def run(
        self, code: str, *, cell_seconds: float = 20.0, wall_seconds: float = 60.0
    ) -> Observation:
        return self.repl.execute(
            code, deadline=time.monotonic() + wall_seconds, cell_seconds=cell_seconds
        )

    def value(self, code: str) -> str | None:
        """The value of code that must not fail."""
        ran = self.run(code)
        assert ran.error is None, ran.error
        return ran.value


Fork = Callable[..., Guest]


@pytest.fixture
def fork(sandbox: WasmSandbox, tmp_path: Path) -> Iterator[Fork]:
    """Forks a guest whose context is the given texts, or the given prompt."""
    guests: list[Guest] = []

    def fork(
        *texts: str,
        prompt: object = None,
        host: HostFunctions | None = None,
        functions: Sequence[str] = ("llm_query", "llm_query_batched"),
        memory_bytes: int = MEMORY_BYTES,
        output_chars: int = 2000,
        question: str = "what?",
        seed: int = 0,
        **layout: bool,
    ) -> Guest:
        if prompt is None:
            prompt = TextPrompt(tmp_path / f"spool-{len(guests)}", texts or ["text"], **layout)

        def make(answer: HostFunctions) -> WasmRepl:
            return sandbox.repl(
                prompt,  # type: ignore[arg-type] # it has what a sandbox reads
                question=question,
                host=answer,
                functions=functions,
                memory_bytes=memory_bytes,
                output_chars=output_chars,
                seed=seed,
            )

        guests.append(Guest(make, host))
        return guests[-1]

    yield fork
    for guest in guests:
        guest.repl.close()


@pytest.fixture
def guest(fork: Fork) -> Guest:
    """A guest over a short text."""
    return fork("the quick brown fox jumps over the lazy dog\n" * 100)
