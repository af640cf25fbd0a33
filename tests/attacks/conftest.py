"""A world of folders to attack, and one sandbox a module, whose caches are in that world."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rlm_local.sandbox import HostFunctions
from rlm_local.wasm import WasmRepl, WasmSandbox, guest
from tests.attacks.suite import SECRET, Forks, World
from tests.sandbox_wasm.conftest import guest_path  # noqa: F401 - a fixture
from tests.wasm.conftest import Guest
from tests.wasm.prompts import TextPrompt

#: Little, so that bombs go off soon, but enough for expat to come to its own bounds.
MEMORY_BYTES = 80 << 20


@pytest.fixture(scope="session")
def planted(guest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:  # noqa: F811
    """The world, with the compiled guest in its cache: compiling takes ten seconds."""
    from rlm_local.paths import cache_folder

    digest = guest.load(guest_path).digest
    world = World(tmp_path_factory.mktemp("world"))
    compiled = world.root / "cache" / "compiled"
    compiled.mkdir(parents=True, mode=0o700)
    for path in cache_folder("compiled").glob(f"{digest[:32]}*"):
        shutil.copy(path, compiled)
    return world


@pytest.fixture(scope="module")
def world(planted: World) -> Iterator[World]:
    """The world as the place where this process lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(planted.root / "home"))
        patch.setenv("RLM_LOCAL_CACHE", str(planted.root / "cache"))
        patch.setenv("RLM_LOCAL_DATA", str(planted.root / "data"))
        patch.setenv("API_KEY", SECRET)
        patch.chdir(planted.root / "work")
        yield planted


@pytest.fixture(scope="module")
def sandbox(world: World, guest_path: Path) -> Iterator[WasmSandbox]:  # noqa: F811
    with WasmSandbox(guest_path) as made:
        made.prepare()
        yield made


@pytest.fixture
def fork(sandbox: WasmSandbox, world: World) -> Iterator[Forks]:
    """Forks a guest whose context is the given texts. The spool lies in the world."""
    guests: list[Guest] = []

    def fork(
        *texts: str,
        prompt: object = None,
        host: HostFunctions | None = None,
        functions: Sequence[str] = ("llm_query", "llm_query_batched"),
        memory_bytes: int = MEMORY_BYTES,
        output_chars: int = 2000,
    ) -> Guest:
        if prompt is None:
            prompt = TextPrompt(world.spool / f"{len(guests)}", texts or ["text"])

        def make(answer: HostFunctions) -> WasmRepl:
            return sandbox.repl(
                prompt,  # type: ignore[arg-type] # it has what a sandbox reads
                question="what?",
                host=answer,
                functions=functions,
                memory_bytes=memory_bytes,
                output_chars=output_chars,
            )

        guests.append(Guest(make, host))
        return guests[-1]

    yield fork
    for one in guests:
        one.repl.close()
