"""What it brings that llama.cpp's working memory begins at a cache line.

    python -m bench.alignment [--rounds N] [--models MODEL …]

Bare batches with flash attention, in a process of its own for each, with the aligned `operator
new[]` and without, in turns. Median milliseconds of wall time; results go to
bench/out/alignment.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import median

from bench import models
from bench.report import report
from rlm_local.llama import alignment
from rlm_local.llama.threads import usable_cores

NEW_TOKENS = 200
HISTORIES = (0, 1_000, 3_000)
SEQUENCES, STEPS, SHARED = 16, 31, 500

Figures = dict[str, float]


def measured(name: str, *, aligned: bool) -> Figures:
    """In this process, which has not loaded llama.cpp yet."""
    if aligned:
        alignment.load()
    from bench.rivals import BareDecode

    bare = BareDecode(models.make(name), threads=usable_cores(), flash=True, mapped=True)
    figures = {}
    for history in HISTORIES:
        bare.clear(1)
        if history:
            bare.prefill(0, history)
        took = []
        for _ in range(5):
            took.append(bare.prefill(0, NEW_TOKENS, history))
            bare.cut(0, history)
        figures[f"{NEW_TOKENS} tokens behind {history:,}, ms"] = 1000 * median(took)
    steps = bare.generate(sequences=SEQUENCES, prefix=SHARED, steps=STEPS)
    figures[f"a token for {SEQUENCES} behind {SHARED}, ms"] = 1000 * steps.wall / STEPS
    return figures


def in_a_process(name: str, *, aligned: bool) -> Figures:
    command = [sys.executable, "-m", "bench.alignment", "--models", name]
    written = subprocess.run(
        [*command, "--alone", "aligned" if aligned else "as it comes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout
    figures: Figures = json.loads(written)
    return figures


def compared(name: str, rounds: int) -> list[dict[str, object]]:
    """A row a figure."""
    pairs = [
        (in_a_process(name, aligned=False), in_a_process(name, aligned=True)) for _ in range(rounds)
    ]
    return [
        {
            "model": name,
            "figure": figure,
            "as it comes": median(before[figure] for before, _ in pairs),
            "aligned": median(after[figure] for _, after in pairs),
            "x": median(before[figure] / after[figure] for before, after in pairs),
        }
        for figure in pairs[0][0]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["50m", "500m"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", choices=("aligned", "as it comes"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measured(asked.models[0], aligned=asked.alone == "aligned")))
        return
    if alignment.find() is None:
        sys.exit("the aligned operator was not built: see rlm_local/llama/alignment.py")
    for name in asked.models:
        models.make(name)
    report("alignment", [row for name in asked.models for row in compared(name, asked.rounds)])


if __name__ == "__main__":
    main()
