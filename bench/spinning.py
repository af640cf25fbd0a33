"""What the threads' spinning brings on an idle machine, and what it costs on a busy one.

    python -m bench.spinning [--rounds N] [--models MODEL …]

64 sub-calls, and one reply alone, in a worker of its own for each setting, in turns; first on the
machine as it is, then beside a process for each core that does nothing but compute. Median
seconds of wall time; results go to bench/out/spinning.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

from bench.engine import CALLS, MEMORY, Bench, measured, request
from bench.report import report
from rlm_local.llama import LlamaModel, spinning
from rlm_local.llama.threads import usable_cores

REPLY_TOKENS = 128


class Setting(NamedTuple):
    """`spins`: 0 is OMP_WAIT_POLICY=passive alone, 300,000 OpenMP's own default."""

    threads: int
    spins: int


SETTINGS = (
    Setting(1, 0),
    *(
        Setting(usable_cores(), spins)
        for spins in (0, 400, 1_000, spinning.ROUNDS, 10_000, 300_000)
    ),
)


def figures(name: str, rounds: int) -> list[dict[str, object]]:
    """A row a setting."""
    bench = Bench(name, rounds)
    series = count()
    rows: list[dict[str, object]] = [
        {"model": bench.path.stem, "threads": each.threads, "spins": each.spins}
        for each in SETTINGS
    ]
    with ExitStack() as held:
        workers = [held.enter_context(worker(bench.path, each)) for each in SETTINGS]
        for processes, where in ((0, ""), (usable_cores(), ", busy")):
            calls: list[list[float]] = [[] for _ in workers]
            replies: list[list[float]] = [[] for _ in workers]
            with busy(processes):
                for _ in range(rounds):
                    for n, model in enumerate(workers):
                        calls[n].append(bench.ours(model, together=True).wall)
                        alone = request(f"alone {next(series)}", REPLY_TOKENS)
                        reply = measured(model, [[alone]])
                        replies[n].append(1000 * reply.wall / reply.tokens)
            for row, of_calls, of_replies in zip(rows, calls, replies, strict=True):
                row[f"{CALLS} sub-calls{where}, s"] = median(of_calls)
                row[f"a token alone{where}, ms"] = median(of_replies)
    return rows


@contextmanager
def worker(path: Path, setting: Setting) -> Iterator[LlamaModel]:
    """A model whose worker was started so, and has been asked once."""
    with mock.patch.dict(os.environ, {spinning.SETTING: str(setting.spins)}):
        model = LlamaModel(path, memory_bytes=MEMORY, threads=setting.threads)
    with model:
        measured(model, [[request("the", 2)]])
        yield model


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    endless = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in endless:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["5m", "50m"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    report("spinning", [row for name in asked.models for row in figures(name, asked.rounds)])


if __name__ == "__main__":
    main()
