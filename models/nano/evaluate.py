"""Step 5: held-out tasks through the whole runtime, by length; a table and JSON.

    python -m models.nano.evaluate

Question templates, entities, sentence and record forms are the held-out ones, and
the seed is one that no training data has. A run counts if its answer is exactly
the value. Beside the rate stands its 95 % Wilson interval.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from models.nano.folders import WEIGHTS, WORK
from models.nano.lexicon import Split
from models.nano.tasks import Task, needle_task
from models.nano.underway import UnderWay
from rlm_local.errors import DiskError, ModelError
from rlm_local.limits import Limits
from rlm_local.records import Answer, Event, Ran, Replied, StopReason
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime

LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000, 40_000_000)
#: Far from the seeds of the training data, which are small multiples of 10**7.
SEED = 9 * 10**12


@dataclass(frozen=True)
class Result:
    """One run. `seconds` is from the question to the answer, the prompt already spooled."""

    seed: int
    chars: int
    kind: str
    traits: tuple[str, ...]
    question: str
    gold: str
    answer: str
    stop: str
    right: bool
    turns: int
    turns_with_code: int
    turns_with_valid_code: int
    turns_with_error: int
    sub_calls: int
    tokens: int
    seconds: float
    model_seconds: float
    guest_seconds: float


def run(runtime: Runtime, task: Task) -> Result:
    """Ask the runtime, and compare its answer with the task's."""
    events: list[Event] = []
    context = task.texts[0] if task.single else list(task.texts)
    with runtime.open(context) as prompt:
        started = time.monotonic()
        answer = finished(runtime.ask(task.question, prompt, mode="rlm", on_event=events.append))
        seconds = time.monotonic() - started
    replies = [event for event in events if isinstance(event, Replied)]
    runs = [event for event in events if isinstance(event, Ran)]
    return Result(
        seed=task.seed,
        chars=task.chars,
        kind=task.kind,
        traits=task.traits,
        question=task.question,
        gold=task.gold,
        answer=answer.text[:200],
        stop=answer.stop.value,
        right=answer.text == task.gold,
        turns=len(replies),
        turns_with_code=sum(bool(reply.code) for reply in replies),
        turns_with_valid_code=sum(is_python(reply.code) for reply in replies),
        turns_with_error=sum(ran.observation.error is not None for ran in runs),
        sub_calls=answer.usage.sub_calls,
        tokens=answer.usage.work_tokens,
        seconds=round(seconds, 3),
        model_seconds=round(sum(reply.completion.seconds for reply in replies), 3),
        guest_seconds=round(sum(ran.observation.seconds for ran in runs), 3),
    )


def finished(answer: Answer) -> Answer:
    """`answer`, if its run came to an end of its own. What Ctrl-C ended, or a model or a disk that
    failed for good, is no result, nor would those after it be: KeyboardInterrupt, ModelError,
    DiskError."""
    if answer.stop is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    if answer.stop is StopReason.MODEL:
        raise ModelError(answer.message)
    if answer.stop is StopReason.DISK:
        raise DiskError(answer.message)
    return answer


def is_python(code: str) -> bool:
    """Whether there is code, and it can be compiled."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return bool(code.strip())


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % Wilson interval of a rate."""
    if not total:
        return 0.0, 1.0
    rate, spread = right / total, z * z / total
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (rate * (1 - rate) / total + spread / (4 * total)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def summary(results: Sequence[Result]) -> dict[str, object]:
    """The figures of a cell of the table."""
    right = sum(result.right for result in results)
    turns = sum(result.turns for result in results)
    return {
        "runs": len(results),
        "right": right,
        "rate": round(right / len(results), 4),
        "wilson95": [round(bound, 3) for bound in wilson(right, len(results))],
        "valid_code": round(sum(r.turns_with_valid_code for r in results) / max(1, turns), 4),
        "turns_median": statistics.median(r.turns for r in results),
        "seconds_median": round(statistics.median(r.seconds for r in results), 2),
        "seconds_most": round(max(r.seconds for r in results), 2),
        "model_seconds_median": round(statistics.median(r.model_seconds for r in results), 2),
        "guest_seconds_median": round(statistics.median(r.guest_seconds for r in results), 2),
    }


def table(cells: dict[str, dict[str, object]]) -> str:
    """The cells as lines of text."""
    columns = (
        "runs",
        "right",
        "rate",
        "wilson95",
        "valid_code",
        "turns_median",
        "seconds_median",
        "seconds_most",
        "model_seconds_median",
        "guest_seconds_median",
    )
    lines = [f"{'':>12} " + " ".join(f"{name.replace('_', ' '):>20}" for name in columns)]
    for label, cell in cells.items():
        lines.append(f"{label:>12} " + " ".join(f"{cell[name]!s:>20}" for name in columns))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--runs", type=int, default=20, help="runs at each length")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), metavar="CHARS")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--split", choices=("train", "held"), default="held")
    parser.add_argument("--out", type=Path, default=WORK / "evaluation.json")
    arguments = parser.parse_args()
    under_way = UnderWay(arguments.out, arguments.model, Result)
    with tempfile.TemporaryDirectory() as folder:
        results = evaluate(arguments, Path(folder), under_way)
    cells = {f"{n:,}": summary(part) for n, part in results.items()}
    every = [result for part in results.values() for result in part]
    cells["all"] = summary(every)
    print(table(cells))
    kinds = Counter(trait for r in every if not r.right for trait in (r.kind, r.stop, *r.traits))
    print("wrong runs by kind:", dict(kinds.most_common()))
    arguments.out.write_text(
        json.dumps({"cells": cells, "results": [asdict(r) for r in every]}, indent=1)
    )
    under_way.end()


def evaluate(
    arguments: argparse.Namespace, folder: Path, under_way: UnderWay[Result]
) -> dict[int, list[Result]]:
    """All runs, by length."""
    split: Split = arguments.split
    results: dict[int, list[Result]] = {}
    limits = Limits(wall_seconds=120.0, turns=8)
    with Runtime(model=arguments.model, limits=limits, store=RunStore(folder)) as runtime:

        def played(seed: int, length: int) -> Result:
            return run(runtime, needle_task(seed, split, length, unique_chars=8_000_000))

        for length in arguments.lengths:
            for n in range(arguments.runs):
                seed = arguments.seed + length + n
                result = under_way.once(f"{split} {length} {seed}", partial(played, seed, length))
                results.setdefault(length, []).append(result)
                if not result.right:
                    print(
                        f"{length:,}: {result.question!r}: {result.answer!r} for {result.gold!r}",
                        f"({result.stop}, {result.traits}, seed {seed})",
                        flush=True,
                    )
    return results


if __name__ == "__main__":
    main()
