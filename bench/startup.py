"""What the command line adds to a question: start-up, and writing the run record.

The commands run as processes, beside a Python that does nothing; `ask` with a
scripted model, so that all its time is ours, over a prompt of 40 MB whose spool is
there. The record's appends are timed beside the same writes without a sync.

    python -m bench.startup [--runs N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report import report
from rlm_local import jsontext
from rlm_local.demo import write_demo
from rlm_local.records import Completion, Replied
from rlm_local.runs import RunStore

TURNS = '["```repl\\nprint(len(context))\\n```", "```repl\\nFINAL(len(context))\\n```"]'
APPENDS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs of each command")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RLM_LOCAL_DATA"] = folder
        prompt = Path(folder) / "prompt.txt"
        write_demo(prompt, size=40_000_000, seed=1)
        ask = [
            "-m",
            "tests.scripted_cli",
            "--wasm",
            TURNS,
            "ask",
            "-q",
            "--mode",
            "rlm",
            "How long?",
        ]
        commands = {
            "python -c pass": ["-c", "pass"],
            "rlm-local --help": ["-m", "rlm_local", "--help"],
            "rlm-local runs list": ["-m", "rlm_local", "runs", "list"],
            "ask, scripted model, 40 MB": [*ask, str(prompt)],
        }
        rows = [_row(name, runs, _process(command)) for name, command in commands.items()]
        rows += _appends(Path(folder))
    report("startup", rows)


def _row(name: str, runs: int, do: Callable[[], None]) -> dict[str, object]:
    do()  # what is to be cached is cached
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return {
        "what": name,
        "runs": runs,
        "ms_median": 1e3 * statistics.median(times),
        "ms_max": 1e3 * max(times),
    }


def _process(command: Sequence[str]) -> Callable[[], None]:
    def do() -> None:
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)

    return do


def _appends(folder: Path) -> list[dict[str, object]]:
    """A turn of 2,000 characters: recorded, and only encoded and written."""
    completion = Completion(
        text="x" * 2_000, finish="stop", prompt_tokens=900, cached_tokens=800,
        completion_tokens=500, seconds=1.0,
    )  # fmt: skip
    event = Replied(turn=1, text="x" * 2_000, code="x" * 1_500, completion=completion)
    with RunStore(folder / "appended").new() as run, (folder / "written").open("wb") as file:

        def write() -> None:
            file.write(jsontext.encode(event) + b"\n")
            file.flush()

        return [
            _row("append an event, on disk", APPENDS, lambda: run.append(event)),
            _row("write it, not synced", APPENDS, write),
        ]


if __name__ == "__main__":
    main()
