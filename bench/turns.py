"""What the runtime itself costs: a turn's time in which neither model nor guest's code runs.

Taken from the events of real runs of the default model over prompts of three
sizes: `Ran.overhead_seconds` is the turn's time less decoding, the guest's code
and its sub-calls; writing and syncing the run record is in it.

    python -m bench.turns [--runs N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench.report import report
from rlm_local.demo import write_demo
from rlm_local.records import Event, Ran
from rlm_local.runtime import Runtime

SIZES = (100_000, 4_000_000, 40_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs for each size")
    runs: int = parser.parse_args().runs
    rows = []
    with tempfile.TemporaryDirectory() as folder, Runtime() as runtime:
        for size in SIZES:
            overheads: list[float] = []
            walls: list[float] = []
            right = 0

            def keep(event: Event, overheads: list[float] = overheads) -> None:
                if isinstance(event, Ran):
                    overheads.append(event.overhead_seconds)

            for seed in range(runs):
                path = Path(folder) / "prompt.txt"
                demo = write_demo(path, size=size, seed=seed)
                began = time.perf_counter()
                answer = runtime.ask(demo.question, path, on_event=keep)
                walls.append(time.perf_counter() - began)
                right += answer.text == demo.answer
            rows.append(
                {
                    "prompt_bytes": size,
                    "runs": runs,
                    "right": right,
                    "turns": len(overheads),
                    "overhead_ms_median": 1e3 * statistics.median(overheads),
                    "overhead_ms_max": 1e3 * max(overheads),
                    "ask_s_median": statistics.median(walls),
                }
            )
    report("turns", rows)


if __name__ == "__main__":
    main()
