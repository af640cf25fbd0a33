"""Step 1: tasks played by the teacher in the real sandbox, as JSON lines.

    python -m models.nano.generate --count 20000 --seed 1

Each line is a dialogue: its messages with a mark on the turns to learn, and the
task it came from. A file that is there already is continued, not begun anew:
line n is always the task of seed `seed * 10**7 + n`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from pathlib import Path

from models.nano.folders import DIALOGUES
from models.nano.lexicon import Split
from models.nano.stage import Stage
from models.nano.tasks import Task, needle_task
from models.nano.teacher import play

#: Lengths in characters, and how often: a screenful to millions.
_LENGTHS = (
    (600, 4_000, 0.55),
    (4_000, 60_000, 0.42),
    (60_000, 2_000_000, 0.029),
    (4_000_000, 42_000_000, 0.001),
)


def length(rng: random.Random) -> int:
    """A prompt's length in characters: log-uniform within a band."""
    low, high, _ = rng.choices(_LENGTHS, [share for _, _, share in _LENGTHS])[0]
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def dialogue_of(task: Task, stage: Stage) -> dict[str, object] | None:
    """The teacher's dialogue for `task` as one sample, or None if it found no answer."""
    rng = random.Random(task.seed)
    with stage.scene(task) as scene:
        episode = play(task, scene.opening, scene.repl, scene.ending, rng)
    if episode is None or episode.answer != task.gold:
        return None
    return {
        "messages": [
            {"role": m.role, "content": m.content, "learn": learn}
            for m, learn in zip(episode.messages, episode.learn, strict=True)
        ],
        "steps": episode.steps,
        "task": {
            "seed": task.seed,
            "chars": task.chars,
            "kind": task.kind,
            "traits": task.traits,
            "gold": task.gold,
        },
    }


def generate(
    path: Path, count: int, seed: int, stage: Stage, split: Split = "train"
) -> Counter[str]:
    """Bring the file at `path` to `count` lines; a line `null` is a task without a way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _whole_lines(path)
    tally: Counter[str] = Counter()
    started = time.monotonic()
    with path.open("a") as file:
        for n in range(done, count):
            task_seed = seed * 10**7 + n
            task = needle_task(task_seed, split, length(random.Random(task_seed)))
            sample = dialogue_of(task, stage)
            file.write(json.dumps(sample, ensure_ascii=False) + "\n")
            tally[" ".join(sample["steps"]) if sample else "no way"] += 1  # type: ignore[call-overload]
            if (n + 1) % 500 == 0:
                rate = (n + 1 - done) / (time.monotonic() - started)
                print(
                    f"{n + 1:,} of {count:,} dialogues, {rate:.0f}/s", file=sys.stderr, flush=True
                )
    return tally


def _whole_lines(path: Path) -> int:
    """How many lines the file has, once a last one that was cut short is taken off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
    return content.count(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=("train", "held"), default="train")
    parser.add_argument("--out", type=Path, default=DIALOGUES)
    arguments = parser.parse_args()
    with Stage.real() as stage:
        tally = generate(arguments.out, arguments.count, arguments.seed, stage, arguments.split)
    for steps, number in tally.most_common():
        print(f"{number:7,}  {steps}")


if __name__ == "__main__":
    main()
