"""Held-out tasks of all families through the whole runtime, by family and length.

    python -m models.nano.families.evaluate --families tables chains --runs 100

Beside each rate stands its 95 % Wilson interval, and the chance of being right without
reading. Pairs are scored by F1, all else is right or wrong. A task with labels counts only
if the sub-prompts name all of its labels. `needle` is the evaluation of the needles alone
(`models.nano.evaluate`), unchanged; `workers` are the sub-calls on their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from models.nano.evaluate import LENGTHS as NEEDLE_LENGTHS
from models.nano.evaluate import SEED, finished, is_python, wilson
from models.nano.evaluate import run as run_needle
from models.nano.families import catalog, needles
from models.nano.families.task import Task, score
from models.nano.families.workers import ROLES, worker
from models.nano.folders import WEIGHTS, WORK
from models.nano.lexicon import Split
from models.nano.tasks import needle_task
from models.nano.underway import UnderWay
from rlm_local import dialogue
from rlm_local.limits import Limits
from rlm_local.model import Model
from rlm_local.records import Event, Ran, Replied, Request, SubCalled
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime

#: 8K, 128K, 1M, 10M and 40M characters.
LENGTHS = (8_000, 128_000, 1_000_000, 10_000_000, 40_000_000)
LIMITS = Limits(wall_seconds=600.0, turns=8, depth=3, sub_calls=20_000, tokens=100_000_000)


@dataclass(frozen=True)
class Result:
    """One run, or one sub-call. `score`: from 0 to 1; `seconds`: from question to answer."""

    family: str
    chars: int
    kind: str
    seed: int
    score: float
    chance: float
    question: str
    gold: str
    answer: str
    stop: str
    turns: int = 1
    turns_with_valid_code: int = 0
    turns_with_error: int = 0
    sub_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


def run(runtime: Runtime, task: Task, chars: int) -> Result:
    """Ask the runtime, and score what it answers."""
    events: list[Event] = []
    context = task.texts[0] if task.single else list(task.texts)
    with runtime.open(context) as prompt:
        began = time.monotonic()
        answer = finished(runtime.ask(task.question, prompt, mode="rlm", on_event=events.append))
        seconds = time.monotonic() - began
    replies = [event for event in events if isinstance(event, Replied)]
    return Result(
        family=task.family,
        chars=chars,
        kind=task.kind,
        seed=task.seed,
        score=score(answer.text, task.gold, task.match) if counts(task, events) else 0.0,
        chance=task.chance,
        question=task.question,
        gold=task.gold[:200],
        answer=answer.text[:200],
        stop=answer.stop.value,
        turns=len(replies),
        turns_with_valid_code=sum(is_python(reply.code) for reply in replies),
        turns_with_error=sum(e.observation.error is not None for e in events if isinstance(e, Ran)),
        sub_calls=answer.usage.sub_calls,
        tokens=answer.usage.work_tokens,
        seconds=round(seconds, 3),
    )


def counts(task: Task, events: Iterable[Event]) -> bool:
    """Whether a run's answer counts: to a task with labels, one that was asked for with all of
    them. Any other was guessed."""
    prompts = [prompt for e in events if isinstance(e, SubCalled) for prompt in e.prompts]
    named = all(label in prompt for prompt in prompts for label in task.labels)
    return named and (bool(prompts) or not task.labels)


def run_worker(model: Model, seed: int, split: Split, role: str) -> Result:
    """One sub-call, alone."""
    asked = worker(seed, split, role)
    began = time.monotonic()
    (completion,) = model.complete(
        [Request(messages=dialogue.sub_call(asked.prompt), max_tokens=32)],
        deadline=time.monotonic() + 60,
        token_limit=100_000,
    )
    return Result(
        family="workers",
        chars=0,
        kind=role,
        seed=seed,
        score=score(completion.text, asked.reply, "exact"),
        chance=asked.chance,
        question=asked.prompt,
        gold=asked.reply,
        answer=completion.text[:200],
        stop=completion.finish,
        tokens=completion.work_tokens,
        seconds=round(time.monotonic() - began, 3),
    )


def evaluate(
    runtime: Runtime,
    families: Sequence[str],
    lengths: Sequence[int],
    runs: int,
    split: Split = "held",
    once: Callable[[str, Callable[[], Result]], Result] = lambda _, make: make(),
) -> list[Result]:
    """All runs, each of which `once` is given by a name. No `lengths` means those of the family."""
    plan: list[tuple[str, str, int, int]] = []
    for family in families:
        if family == "workers":
            plan += [(family, role, 0, SEED + n) for role in ROLES for n in range(runs)]
            continue
        usual = NEEDLE_LENGTHS if family == "needle" else LENGTHS
        plan += [
            (family, "", chars, SEED + chars + n) for chars in lengths or usual for n in range(runs)
        ]

    def made(family: str, role: str, chars: int, seed: int) -> Result:
        if family == "workers":
            return run_worker(runtime.model, seed, split, role)
        if family == "needle":
            return _needle(runtime, seed, split, chars)
        return run(runtime, catalog.task(family, seed, split, chars), chars)

    return [once(f"{split} {' '.join(map(str, one))}", partial(made, *one)) for one in plan]


def _needle(runtime: Runtime, seed: int, split: Split, chars: int) -> Result:
    found = run_needle(runtime, needle_task(seed, split, chars, unique_chars=8_000_000))
    return Result(
        family="needle",
        chars=chars,
        kind=found.kind,
        seed=seed,
        score=float(found.right),
        chance=needles.GUESS_ONE,
        question=found.question,
        gold=found.gold,
        answer=found.answer,
        stop=found.stop,
        turns=found.turns,
        turns_with_valid_code=found.turns_with_valid_code,
        turns_with_error=found.turns_with_error,
        sub_calls=found.sub_calls,
        tokens=found.tokens,
        seconds=found.seconds,
    )


def summary(results: Sequence[Result]) -> dict[str, object]:
    """The figures of a cell of the table."""
    total = sum(result.score for result in results)
    turns = sum(result.turns for result in results)
    low, high = wilson(round(total), len(results))
    return {
        "runs": len(results),
        "score": round(total / len(results), 3),
        "wilson95": f"{low:.2f}-{high:.2f}",
        "chance": round(statistics.mean(result.chance for result in results), 2),
        "valid code": round(sum(r.turns_with_valid_code for r in results) / max(1, turns), 3),
        "turns": statistics.median(result.turns for result in results),
        "sub-calls": statistics.median(result.sub_calls for result in results),
        "tokens": statistics.median(result.tokens for result in results),
        "median s": round(statistics.median(result.seconds for result in results), 2),
        "most s": round(max(result.seconds for result in results), 2),
    }


def cells(results: Sequence[Result]) -> dict[str, dict[str, object]]:
    """The table: a cell for each family and length, and for each role of the workers."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        rest = result.kind if result.family == "workers" else f"{result.chars:,}"
        grouped.setdefault(f"{result.family} {rest}", []).append(result)
    return {label: summary(part) for label, part in grouped.items()}


def table(found: dict[str, dict[str, object]]) -> str:
    """The cells as lines of text."""
    names = list(next(iter(found.values()), {}))
    lines = [f"{'':>22}" + "".join(f"{name:>11}" for name in names)]
    lines += [
        f"{label:>22}" + "".join(f"{cell[name]!s:>11}" for name in names)
        for label, cell in found.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--families", nargs="+", default=["needle", *sorted(catalog.FAMILIES), "workers"]
    )
    parser.add_argument("--lengths", type=int, nargs="*", default=[], metavar="CHARS")
    parser.add_argument("--runs", type=int, default=100, help="runs at each length")
    parser.add_argument("--split", choices=("train", "held"), default="held")
    parser.add_argument("--out", type=Path, default=WORK / "evaluation-families.json")
    arguments = parser.parse_args()
    split: Split = arguments.split

    under_way = UnderWay(arguments.out, arguments.model, Result)

    def told(key: str, make: Callable[[], Result]) -> Result:
        result = under_way.once(key, make)
        if result.score < 1:
            print(
                f"{result.family} {result.kind}: {result.question!r}: {result.answer!r} for "
                f"{result.gold!r} ({result.stop}, seed {result.seed})",
                flush=True,
            )
        return result

    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(model=arguments.model, limits=LIMITS, store=RunStore(Path(folder))) as runtime,
    ):
        results = evaluate(
            runtime, arguments.families, arguments.lengths, arguments.runs, split, told
        )
    found = cells(results)
    print(table(found))
    arguments.out.write_text(
        json.dumps({"cells": found, "results": [asdict(r) for r in results]}, indent=1)
    )
    under_way.end()


if __name__ == "__main__":
    main()
