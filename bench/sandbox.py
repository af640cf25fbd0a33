"""The sandbox: forks, cells, host calls and mapped prompts, beside the alternatives.

    python -m bench.sandbox            prompts of 40 MB and 1 GB; needs 2 GB of disk
    python -m bench.sandbox --quick    40 MB only

All figures of a row come from the same run, interleaved, as medians: the ways take
turns of `BLOCK` repeats, the first few of which are not counted, since a cell after
other work finds cold caches. `after other work` is the same with turns of one. Beside the
sandbox: pydantic-monty (a subset of Python in a worker process), `exec` in this
very process, which guards nothing, and a CPython subprocess that reads cells
from a pipe, which guards little. `rss` is how far this process's resident
memory rose: `fork_rss` for the whole fork, whose pages are mostly shared with all
forks, `context_rss` beyond a fork over next to no prompt.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pydantic_monty

from bench.report import report
from rlm_local.prompt import Prompt, open_prompt
from rlm_local.wasm import WasmRepl, WasmSandbox

MB = 1_000_000
BLOCK = 50
_LINE = b"%09d INFO the quick brown fox jumps over the lazy dog, and the dog sleeps on\n"

#: A subprocess that guards nothing but the caller's memory: cells in, values out, as JSON.
_WORKER = """
import json, sys
names = {}
def ask(text):
    print(json.dumps({"call": text}), flush=True)
    return json.loads(sys.stdin.readline())
names["ask"] = ask
for line in sys.stdin:
    tree = compile(json.loads(line), "cell", "exec")
    exec(tree, names)
    print(json.dumps({"done": True}), flush=True)
"""


def echo(text: str) -> str:
    return text


def host(name: str, arguments: list[object]) -> object:
    return arguments[0]


class Worker:
    """A CPython subprocess behind a pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101
        print(json.dumps(code), file=self._process.stdin, flush=True)
        while True:
            reply = json.loads(self._process.stdout.readline())
            if "done" in reply:
                return
            print(json.dumps(reply["call"]), file=self._process.stdin, flush=True)

    def close(self) -> None:
        self._process.communicate("")


def fork(sandbox: WasmSandbox, prompt: Prompt) -> WasmRepl:
    return sandbox.repl(
        prompt,
        question="what?",
        host=host,
        functions=["ask"],
        memory_bytes=512 << 20,
        output_chars=4000,
    )


def run(repl: WasmRepl, code: str) -> str | None:
    ran = repl.execute(code, deadline=time.monotonic() + 60, cell_seconds=60)
    if ran.error is not None:
        raise RuntimeError(ran.error.message)
    return ran.value


def interleaved(
    ways: dict[str, Callable[[], object]], repeats: int, block: int = 1
) -> dict[str, float]:
    """The median seconds of each way, the ways taking turns of `block` repeats."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats // block):
        for name, way in ways.items():
            for number in range(block):
                began = time.perf_counter()
                way()
                if number >= block // 10:
                    taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def starts(sandbox: WasmSandbox, prompt: Prompt, monty: pydantic_monty.Monty) -> dict[str, float]:
    """From nothing to the end of the first `1 + 1`."""

    def ours() -> None:
        with fork(sandbox, prompt) as repl:
            run(repl, "1 + 1")

    def montys() -> None:
        with monty.checkout() as session:
            session.feed_run("1 + 1")

    def subprocesses() -> None:
        worker = Worker()
        worker.run("1 + 1")
        worker.close()

    def in_process() -> None:
        eval(compile("1 + 1", "cell", "eval"), {})

    ways = {
        "rlm-local": ours,
        "monty": montys,
        "in-process exec": in_process,
        "CPython subprocess": subprocesses,
    }
    return interleaved(ways, 30)


def cells(
    sandbox: WasmSandbox,
    prompt: Prompt,
    monty: pydantic_monty.Monty,
    code: str,
    block: int = BLOCK,
) -> dict[str, float]:
    """A cell in a REPL that is warm."""
    worker = Worker()
    names = {"ask": echo}
    with fork(sandbox, prompt) as repl, monty.checkout() as session:
        lookup = {"ask": echo}
        ways: dict[str, Callable[[], object]] = {
            "rlm-local": lambda: run(repl, code),
            "monty": lambda: session.feed_run(code, external_lookup=lookup),
            "in-process exec": lambda: exec(compile(code, "cell", "exec"), names),
            "CPython subprocess": lambda: worker.run(code),
        }
        interleaved(ways, 50)
        medians = interleaved(ways, 900, block)  # a session of Monty may make 1,000 calls
    worker.close()
    return medians


def contexts(sandbox: WasmSandbox, folder: Path, sizes: list[int]) -> list[dict[str, object]]:
    """Making a prompt of each size the variable `context`, its spool warm."""
    rows: list[dict[str, object]] = []
    fork_alone = 0.0
    for size in sizes:
        source = write_text(folder / "text.txt", size)
        open_prompt([source], folder=folder / "spool").close()
        with open_prompt([source], folder=folder / "spool") as prompt:
            seconds, growth = [], []
            for _ in range(20):
                before = resident_bytes()
                began = time.perf_counter()
                repl = fork(sandbox, prompt)
                seconds.append(time.perf_counter() - began)
                growth.append(resident_bytes() - before)
                if run(repl, "len(context)") != str(size):
                    raise RuntimeError("the context is not the prompt")
                repl.close()
        fork_alone = fork_alone or statistics.median(growth)
        before = resident_bytes()
        began = time.perf_counter()
        text = source.read_text()
        reading = time.perf_counter() - began
        rows.append(
            {
                "prompt_bytes": size,
                "fork_with_context_ms": 1e3 * statistics.median(seconds),
                "fork_rss_mb": statistics.median(growth) / MB,
                "context_rss_mb": (statistics.median(growth) - fork_alone) / MB,
                "read_text_ms": 1e3 * reading,
                "read_text_rss_mb": (resident_bytes() - before) / MB,
            }
        )
        del text
        source.unlink()
    return rows


def live(sandbox: WasmSandbox, folder: Path, size: int, count: int) -> dict[str, object]:
    """Many forks over one prompt at once, each of which has run a cell."""
    source = write_text(folder / "text.txt", size)
    with open_prompt([source], folder=folder / "spool") as prompt, ExitStack() as stack:
        before = anonymous_bytes()
        for _ in range(count):
            repl = stack.enter_context(fork(sandbox, prompt))
            run(repl, "x = len(context)")
        growth = anonymous_bytes() - before
    source.unlink()
    return {"prompt_bytes": size, "live_forks": count, "anonymous_mb": growth / MB}


def write_text(path: Path, size: int) -> Path:
    block = b"".join(_LINE % number for number in range(10_000))
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])
    return path


def anonymous_bytes() -> int:
    """This process's memory that no file backs."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    sizes = [1000, 40 * MB] if "--quick" in sys.argv else [1000, 40 * MB, 1000 * MB]
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name,
        WasmSandbox(notice=print) as sandbox,
        pydantic_monty.Monty() as monty,
    ):
        sandbox.prepare()
        folder = Path(name)
        small = open_prompt([write_text(folder / "small.txt", 1000)], folder=folder / "spool")
        with small as prompt:
            timings = {
                "start to end of 1+1": starts(sandbox, prompt, monty),
                "x = 1": cells(sandbox, prompt, monty, "x = 1"),
                "1 + 1": cells(sandbox, prompt, monty, "1 + 1"),
                "x = ask('text')": cells(sandbox, prompt, monty, "x = ask('text')"),
                "x = 1, after other work": cells(sandbox, prompt, monty, "x = 1", 1),
            }
        report(
            "sandbox",
            [
                {"what": what, **{f"{way}_us": 1e6 * took for way, took in figures.items()}}
                for what, figures in timings.items()
            ],
        )
        report("sandbox_context", contexts(sandbox, folder, sizes))
        report("sandbox_live", [live(sandbox, folder, sizes[-1], 200)])


if __name__ == "__main__":
    main()
