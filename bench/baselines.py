"""Accuracy against length: the same weights, with and without recursion.

    python -m bench.baselines
    python -m bench.baselines --model qwen3-8b.gguf --families needle tables --lengths 8000 1000000

Methods (`bench.methods`): direct (of a text that does not fit the window its beginning and its
end), compaction (reads window after window and keeps notes), retrieval (BM25, then one reading),
and the runtime with sub-calls down to depth 0, 1 and 2. Tasks are the held-out ones of
`models/nano`. An answer may be a sentence (`bench.judging`). Each method has the same time for a
task; what it has not answered by then is wrong, but for a partial answer that is the value itself.
Where the column `answered` is below 1, time or another limit has decided: give more `--seconds`,
or a machine with less to do. To a task with labels the runtime's answer counts only if it made
sub-calls and each named all of them, as in the evaluation of rlm-nano; so depth 0, which has no
sub-calls, has none of those right.

Every result is a line of `bench/out/baselines.jsonl` as soon as it is there, with the whole answer.
It is not computed again for the same task, weights, window, limits and version of the methods
(`bench.methods.VERSION`), but judged again. The table has a line for each method and length with
the 95 % Wilson interval and the chance of a guess; it goes to `bench/out/baselines.json`, and as
curves to `bench/out/baselines.png`.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.judging import judged
from bench.methods import VERSION, Method, Outcome, methods
from bench.report import OUT, report
from models.nano.evaluate import SEED, wilson
from models.nano.families import catalog
from models.nano.families.task import Task
from models.nano.tasks import needle_task
from rlm_local.catalog import DEFAULT_MODEL, digest, present
from rlm_local.limits import Limits
from rlm_local.options import ModelOptions
from rlm_local.records import StopReason
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime

LENGTHS = (2_000, 8_000, 32_000, 128_000)
FAMILIES = ("needle", *sorted(catalog.FAMILIES))
METHODS = ("direct", "compaction", "retrieval", "rlm depth 0", "rlm depth 1", "rlm depth 2")
#: Of a reply that is no code: the methods' answers, and those of the runtime's sub-calls.
REPLY_TOKENS = 128


class Setting(msgspec.Struct, frozen=True):
    """What decides a result beside the method and the task. `model` is its SHA-256's beginning.

    What has a default is not in the lines of version 1, which also have no more than 200
    characters of an answer. They are kept, and no longer used.
    """

    model: str
    window: int
    seconds: float
    turns: int = 12
    reply_tokens: int = 128
    version: int = 1


class Cell(msgspec.Struct, frozen=True):
    """A place in the table."""

    family: str
    chars: int
    method: str


class Result(msgspec.Struct, frozen=True):
    """One task by one method, as its `Outcome` says. `task`: its `digest_of`. `score` is as it was
    judged when it came."""

    setting: Setting
    cell: Cell
    seed: int
    score: float
    chance: float
    gold: str
    answer: str
    stop: str
    calls: int
    tokens: int
    seconds: float
    task: str = ""
    guessed: bool = False


def setting_of(model: str, window: int, limits: Limits) -> Setting:
    """What decides the results of the methods as they are now."""
    return Setting(
        model, window, limits.wall_seconds, limits.turns, limits.sub_call_tokens, VERSION
    )


def digest_of(task: Task) -> str:
    """What tells a task from another of the same seed, which an older recipe has made."""
    whole = hashlib.sha256()
    for text in (task.question, task.gold, *task.texts):
        whole.update(hashlib.sha256(text.encode()).digest())
    return whole.hexdigest()[:16]


def task_of(family: str, seed: int, chars: int) -> Task:
    """A held-out task. `needle` has one needle; `needles` is the family of several."""
    if family != "needle":
        return catalog.task(family, seed, "held", chars)
    found = needle_task(seed, "held", chars, unique_chars=8_000_000)
    return Task(
        family=family,
        seed=seed,
        question=found.question,
        texts=found.texts,
        gold=found.gold,
        plan=(),
        kind=found.kind,
        chance=1 / 3,
        listed=not found.single,
    )


class Results:
    """The file of results: a line for each, so that what is done is not done again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[Setting, Cell, str], Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:  # stopped within a line
            path.write_bytes(whole)
        for line in whole.splitlines():
            self._keep(msgspec.json.decode(line, type=Result))

    def add(self, result: Result) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")
        self._keep(result)

    def get(self, setting: Setting, cell: Cell, task: str) -> Result | None:
        return self._found.get((setting, cell, task))

    def _keep(self, result: Result) -> None:
        self._found[result.setting, result.cell, result.task] = result


def measure(
    using: Mapping[str, Method],
    setting: Setting,
    cells: Iterable[Cell],
    runs: int,
    results: Results,
    tell: Callable[[Result], None] = lambda _: None,
) -> dict[Cell, list[Result]]:
    """`runs` results of every cell; those that are there already are only judged again."""
    found: dict[Cell, list[Result]] = {}
    places = list(dict.fromkeys((cell.family, cell.chars) for cell in cells))
    wanted = list(cells)
    for family, chars in places:
        here = [cell for cell in wanted if (cell.family, cell.chars) == (family, chars)]
        for seed in range(SEED + chars, SEED + chars + runs):
            task = task_of(family, seed, chars)
            digest = digest_of(task)
            for cell in here:
                result = results.get(setting, cell, digest)
                if result is None:
                    result = solve(using[cell.method], setting, cell, task)
                    results.add(result)
                    tell(result)
                else:
                    result = msgspec.structs.replace(result, score=rated(result, task))
                found.setdefault(cell, []).append(result)
    return found


def solve(method: Method, setting: Setting, cell: Cell, task: Task) -> Result:
    """One task by one method."""
    began = time.monotonic()
    outcome = method.answer(task)
    return Result(
        setting=setting,
        cell=cell,
        seed=task.seed,
        score=rated(outcome, task),
        chance=task.chance,
        gold=task.gold[:200],
        answer=outcome.answer,
        stop=outcome.stop,
        calls=outcome.calls,
        tokens=outcome.tokens,
        seconds=round(time.monotonic() - began, 3),
        task=digest_of(task),
        guessed=outcome.guessed,
    )


def rated(outcome: Outcome | Result, task: Task) -> float:
    """How right an outcome is, from 0 to 1. A guess is wrong."""
    if outcome.guessed:
        return 0.0
    return judged(outcome.answer, task, prose=outcome.stop == StopReason.ANSWERED)


def row(cell: Cell, results: Sequence[Result]) -> dict[str, object]:
    """A line of the table."""
    total = sum(result.score for result in results)
    low, high = wilson(round(total), len(results))
    return {
        "family": cell.family,
        "chars": cell.chars,
        "method": cell.method,
        "runs": len(results),
        "score": total / len(results),
        "low": low,
        "high": high,
        "chance": statistics.mean(result.chance for result in results),
        "answered": sum(result.stop == "answered" for result in results) / len(results),
        "calls": statistics.median(result.calls for result in results),
        "tokens": statistics.median(result.tokens for result in results),
        "seconds": statistics.median(result.seconds for result in results),
    }


def plot(rows: Sequence[Mapping[str, object]], path: Path, title: str) -> None:
    """Accuracy against length as a PNG: a panel for each family, in it a line for each method."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    families = list(dict.fromkeys(str(line["family"]) for line in rows))
    figure, panels = plt.subplots(
        1, len(families), figsize=(2.5 + 4.5 * len(families), 4.5), squeeze=False, sharey=True
    )
    names = list(dict.fromkeys(str(line["method"]) for line in rows))
    for family, axes in zip(families, panels[0], strict=True):
        for place, method in enumerate(names):
            part = [r for r in rows if (r["family"], r["method"]) == (family, method)]
            part.sort(key=lambda line: line["chars"])  # type: ignore[arg-type, return-value]
            score, low, high = ([float(str(r[k])) for r in part] for k in ("score", "low", "high"))
            below = [max(0.0, s - bound) for s, bound in zip(score, low, strict=True)]
            above = [max(0.0, bound - s) for s, bound in zip(score, high, strict=True)]
            # Moved a little apart, so that intervals that are equal are all seen.
            chars = [int(str(r["chars"])) * 1.03**place for r in part]
            axes.errorbar(chars, score, (below, above), marker="o", capsize=3, label=method)
        chance = statistics.mean(float(str(r["chance"])) for r in rows if r["family"] == family)
        axes.axhline(chance, color="grey", linestyle=":", label="a guess")
        lengths = sorted({int(str(r["chars"])) for r in rows if r["family"] == family})
        axes.set(xscale="log", xlabel="characters", title=family, ylim=(-0.03, 1.03))
        axes.set_xticks(lengths, [f"{chars:,}" for chars in lengths], rotation=30)
        axes.minorticks_off()
    panels[0][0].set_ylabel("accuracy, 95 % Wilson interval")
    panels[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a name or the path of a GGUF file")
    parser.add_argument("--context-tokens", type=int, help="a smaller window than the model's")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=["needle"])
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), metavar="CHARS")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--runs", type=int, default=10, help="tasks of each family and length")
    parser.add_argument("--seconds", type=float, default=600.0, help="for a method and a task")
    arguments = parser.parse_args()
    limits = Limits(
        wall_seconds=arguments.seconds,
        turns=12,
        sub_calls=20_000,
        sub_call_tokens=REPLY_TOKENS,
        tokens=1 << 30,
    )
    cells = [
        Cell(family, chars, method)
        for family in arguments.families
        for chars in arguments.lengths
        for method in arguments.methods
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(
            model=arguments.model,
            limits=limits,
            options=ModelOptions(context_tokens=arguments.context_tokens),
        ) as runtime,
    ):
        info = runtime.model.info
        weights = digest(present(arguments.model).path)[:16]
        setting = setting_of(weights, info.context_tokens, limits)
        using = methods(
            runtime.model, limits, sandbox=runtime.sandbox, store=RunStore(Path(folder))
        )
        found = measure(
            using, setting, cells, arguments.runs, Results(OUT / "baselines.jsonl"), tell
        )
    rows = [row(cell, found[cell]) for cell in cells]
    report("baselines", rows)
    image = OUT / "baselines.png"
    plot(rows, image, f"{info.name}, window {info.context_tokens:,} tokens")
    print(f"written to {image}")


def tell(result: Result) -> None:
    cell = result.cell
    print(
        f"{cell.family} {cell.chars:,} {cell.method}: {result.score:g} in {result.seconds:.1f} s,"
        f" {result.calls} calls, {result.stop}: {result.answer[:60]!r} for {result.gold[:40]!r}",
        flush=True,
    )


if __name__ == "__main__":
    main()
