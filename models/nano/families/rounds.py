"""A round of rejection sampling: new tasks played by a model itself, as JSON lines of dialogues.

    python -m models.nano.families.rounds --model models/nano/work/rlm-nano.gguf --count 4000

The tasks are of the training's split, the seeds of none that the teacher played. The lines are
as `generate` writes them; `filter` keeps of them what scored, and `train` learns from it beside
the teacher's. The model plays through the whole runtime, greedily.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.nano import programs
from models.nano.cells.profile import PROFILE
from models.nano.evaluate import finished
from models.nano.families import catalog
from models.nano.families.evaluate import LIMITS, counts
from models.nano.families.generate import CALLS_KEPT, MIX, length, whole_lines
from models.nano.families.task import Task, score
from models.nano.families.workers import role_of
from models.nano.folders import WEIGHTS, WORK
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.training.dialogues import dialogues

#: Of texts beyond this length the teacher's dialogues tell enough: they differ in nothing.
LONGEST = 60_000


def play(runtime: Runtime, task: Task) -> list[dict[str, object]]:
    """The dialogues of the model's run: the root's, its children's, some of its sub-calls'."""
    with runtime.open(task.texts[0] if task.single else list(task.texts)) as prompt:
        answer = finished(runtime.ask(task.question, prompt, mode="rlm"))
    cells = {programs.turn(cell) for cell in (PROFILE, *task.plan[:-1])}
    if task.child:
        cells |= {programs.turn(cell) for cell in task.child.plan[:-1]}
    found, calls = [], []
    record = runtime.store.read(answer.run_id)
    right = score(answer.text, task.gold, task.match)
    scored = right if counts(task, record.events) else 0.0
    for dialogue in dialogues(record, ("root", "child", "sub"), score=scored):
        calling = dialogue["role"] == "sub"
        sample: dict[str, object] = {
            "messages": [
                {**message, "constant": message["content"] in cells}
                for message in dialogue["messages"]
            ],
            "role": "worker" if calling else "root",
            "score": scored,
            "fault": dialogue["fault"],
            "task": {
                "family": task.family,
                "seed": task.seed,
                "kind": role_of(dialogue["messages"][0]["content"]) if calling else task.kind,
            },
        }
        (calls if calling else found).append(sample)
    return found + random.Random(task.seed).sample(calls, min(CALLS_KEPT, len(calls)))


def play_all(runtime: Runtime, path: Path, families: Sequence[str], count: int, seed: int) -> None:
    """Bring the file at `path` to `count` lines, and print how many of the new runs were right, by
    family."""
    tally: Counter[tuple[str, bool]] = Counter()
    done = whole_lines(path)
    with path.open("a") as file:
        for n in range(done, count):
            family, task_seed = families[n % len(families)], seed * 10**7 + n
            chars = min(LONGEST, length(random.Random(task_seed)))
            found = play(runtime, catalog.task(family, task_seed, "train", chars))
            file.write(json.dumps(found, ensure_ascii=False) + "\n")
            tally[family, found[0]["score"] == 1] += 1
    for family in dict.fromkeys(families):
        right, wrong = tally[family, True], tally[family, False]
        print(f"{family:>10} {right:,} of {right + wrong:,} right")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--families", nargs="+", default=MIX.split(), help="in turn")
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", type=Path, default=WORK / "round.jsonl")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(model=arguments.model, limits=LIMITS, store=RunStore(Path(folder))) as runtime,
    ):
        play_all(runtime, arguments.out, arguments.families, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
