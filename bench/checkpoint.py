"""What a checkpoint costs a turn, and what going back to one costs, beside the alternatives.

    python -m bench.checkpoint            prompts of 40 MB and 1 GB; needs 2 GB of disk
    python -m bench.checkpoint --quick    40 MB only

Each row is a REPL whose variables hold so much, over a prompt of that size; before
each checkpoint a cell changes a little of them, as turns do. `first_ms` is the
first checkpoint of the state, `save_ms` one of those after it, of which `cpu_ms` is
computing: on a busy machine the rest is waiting for a core. Beside them, in the
same run: `compare_ms` finds the changed pages by comparing the memory with the
snapshot (what a system without a page map does; the prompt left out), `whole_ms`
writes all memory but the prompt, and `synced_ms` is `save_ms` with a sync to disk
that waits. `restore_ms` is a fresh fork brought to the last checkpoint, and
`fork_ms` one without.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.report import report
from rlm_local.prompt import Prompt, open_prompt
from rlm_local.wasm import WasmRepl, WasmSandbox
from rlm_local.wasm.checkpoint import Saved
from rlm_local.wasm.snapshot import HEAD_BYTES, path_for

MB = 1_000_000
ROUNDS = 15
_LINE = b"%09d INFO the quick brown fox jumps over the lazy dog, and the dog sleeps on\n"
_PAGE = 4096

#: What a REPL's variables hold, and a turn's cell.
STATES = {
    "a few names": "import re, json, collections\nnames = {}",
    "10 MB of lists": "names = {}\nlines = [context[n * 80:n * 80 + 80] for n in range(80_000)]",
    "100 MB of text": "names = {}\n"
    "texts = [context[n:n + MB] + str(k) for k in range(4) for n in range(0, 25 * MB, MB)]",
}
CELL = "names[len(names)] = context.find('dog', 1000 * len(names))\nprint(names)"


def milliseconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - began)


def run(repl: WasmRepl, code: str) -> None:
    ran = repl.execute(code, deadline=time.monotonic() + 600, cell_seconds=600)
    if ran.error is not None:
        raise SystemExit(f"the cell failed: {ran.error}")


def fork(sandbox: WasmSandbox, prompt: Prompt) -> WasmRepl:
    return sandbox.repl(
        prompt,
        question="what?",
        host=lambda name, arguments: None,
        functions=(),
        memory_bytes=1 << 30,
        output_chars=4000,
    )


def own_memory(repl: WasmRepl) -> list[memoryview]:
    """All memory but the prompt."""
    instance = repl._instance
    if instance is None:
        raise SystemExit("the guest is gone")
    view = instance.memory.view(instance.memory.size)
    return [view[: repl._snapshot.head.memory_bytes], view[repl._end :]]


def compare(repl: WasmRepl, image: np.ndarray) -> int:  # type: ignore[type-arg]
    """Changed pages, found by looking at every byte."""
    first, heap = (np.frombuffer(part, np.uint64) for part in own_memory(repl))
    changed = (first != image).reshape(-1, _PAGE // 8).any(axis=1).sum()
    return int(changed + heap.reshape(-1, _PAGE // 8).any(axis=1).sum())


def write_whole(repl: WasmRepl, path: Path) -> None:
    with path.open("wb") as file:
        for part in own_memory(repl):
            file.write(part)


def sync(folder: Path, turn: int) -> None:
    file = os.open(folder / f"{turn}.pages", os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def measure(sandbox: WasmSandbox, prompt: Prompt, code: str, folder: Path) -> dict[str, object]:
    shared, _ = sandbox._ready()
    image = np.memmap(path_for(shared.guest.digest), np.uint64, "r", offset=HEAD_BYTES)
    saves: list[float] = []
    cpu: list[float] = []
    synced: list[float] = []
    found: list[Saved] = []
    compared: list[float] = []
    wholes: list[float] = []
    with fork(sandbox, prompt) as repl:
        run(repl, code.replace("MB", str(MB)))

        def save(turn: int) -> None:
            saved = repl.save(folder, turn)
            if saved is None:
                raise SystemExit("there can be no checkpoints here")
            found.append(saved)

        first = milliseconds(lambda: save(0))
        for turn in range(1, ROUNDS + 1):
            run(repl, CELL)
            began = time.process_time()
            saves.append(milliseconds(lambda turn=turn: save(turn)))  # type: ignore[misc]
            cpu.append(1e3 * (time.process_time() - began))
            synced.append(saves[-1] + milliseconds(lambda turn=turn: sync(folder, turn)))  # type: ignore[misc]
            if turn % 5 == 0:
                compared.append(milliseconds(lambda: compare(repl, image)))
                wholes.append(milliseconds(lambda: write_whole(repl, folder.parent / "whole")))
    forks, restores = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with fork(sandbox, prompt) as repl:
            made = time.perf_counter()
            if repl.restore(folder, ROUNDS) is None:
                raise SystemExit("the checkpoint is not taken")
            restores.append(1e3 * (time.perf_counter() - made))
            forks.append(1e3 * (made - began))
    return {
        "first_ms": first,
        "first_bytes": found[0].bytes,
        "save_ms": statistics.median(saves),
        "save_ms_max": max(saves),
        "cpu_ms": statistics.median(cpu),
        "save_bytes": int(statistics.median(saved.bytes for saved in found[1:])),
        "synced_ms": statistics.median(synced),
        "compare_ms": statistics.median(compared),
        "whole_ms": statistics.median(wholes),
        "restore_ms": statistics.median(restores),
        "fork_ms": statistics.median(forks),
    }


def write_prompt(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for number in range(size // 80):
            file.write(_LINE % number)


def main() -> None:
    sizes = [40 * MB] if "--quick" in sys.argv else [40 * MB, 1000 * MB]
    rows = []
    with tempfile.TemporaryDirectory() as name, WasmSandbox() as sandbox:
        folder = Path(name)
        for size in sizes:
            write_prompt(folder / "prompt.txt", size)
            with open_prompt([folder / "prompt.txt"], folder=folder / "spool") as prompt:
                for number, (state, code) in enumerate(STATES.items()):
                    place = folder / f"checkpoints-{size}-{number}"
                    figures = measure(sandbox, prompt, code, place)
                    rows.append({"prompt_bytes": size, "state": state, **figures})
    report("checkpoint", rows)


if __name__ == "__main__":
    main()
