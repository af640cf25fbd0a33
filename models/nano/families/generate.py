"""Tasks of all families, played in the real sandbox, as JSON lines of dialogues.

    python -m models.nano.families.generate --families tables chains --count 4000 --seed 1

Line n is always that of the task of seed `seed * 10**7 + n`; a file that is there is
continued. Beside the root's dialogue stand those of its sub-calls and children. What
did not come out right is kept, with its score, for the filter to drop and to count.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.nano.families import catalog
from models.nano.families.stage import Episode, Stage
from models.nano.families.workers import Worker, worker
from models.nano.folders import WORK
from models.nano.lexicon import Split
from rlm_local import dialogue

#: Lengths in characters, and how often: a screenful to millions.
_LENGTHS = (
    (600, 4_000, 0.55),
    (4_000, 60_000, 0.42),
    (60_000, 2_000_000, 0.029),
    (4_000_000, 42_000_000, 0.001),
)
#: The name of the family of sub-calls that belong to no run.
WORKERS = "workers"
#: The families of the recipe, in turn: as often as there is to choose in them.
MIX = (
    "needle tables chains needles labels tables needle parts tables pairs needle tables chains "
    "labels needle tables needles reports tables needle chains labels parts tables needle needles"
)
#: Of an episode's sub-calls, as many are kept.
CALLS_KEPT = 4


def samples_of(episode: Episode, rng: random.Random) -> list[dict[str, object]]:
    """The dialogues of an episode: the root's, some of its sub-calls', its children's."""
    task = episode.task
    root: dict[str, object] = {
        "messages": [
            {
                "role": turn.message.role,
                "content": turn.message.content,
                "learn": turn.learn,
                "constant": turn.constant,
            }
            for turn in episode.turns
        ],
        "role": "root",
        "score": episode.score,
        "task": {
            "family": task.family,
            "seed": task.seed,
            "kind": task.kind,
            "traits": task.traits,
            "chars": task.chars,
            "gold": task.gold[:200],
        },
    }
    found = [root]
    for prompt, reply in rng.sample(episode.calls, min(CALLS_KEPT, len(episode.calls))):
        (asked,) = dialogue.sub_call(prompt)
        found.append(
            {
                "messages": [
                    {"role": asked.role, "content": asked.content, "learn": False},
                    {"role": "assistant", "content": reply, "learn": True},
                ],
                "role": "worker",
                "score": episode.score,
                "task": {"family": task.family, "seed": task.seed, "kind": "worker"},
            }
        )
    for child in episode.children:
        found += samples_of(child, rng)
    return found


def sample_of(worker: Worker) -> dict[str, object]:
    """A sub-call that belongs to no run."""
    (asked,) = dialogue.sub_call(worker.prompt)
    return {
        "messages": [
            {"role": asked.role, "content": asked.content, "learn": False},
            {"role": "assistant", "content": worker.reply, "learn": True},
        ],
        "role": "worker",
        "score": 1.0,
        "task": {"family": WORKERS, "seed": worker.seed, "kind": worker.role},
    }


def generate(
    path: Path, families: Sequence[str], count: int, seed: int, stage: Stage, split: Split = "train"
) -> Counter[str]:
    """Bring the file at `path` to `count` lines, each a list of dialogues. Raises ValueError if
    it has more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = whole_lines(path)
    if done > count:
        raise ValueError(f"{path} has {done:,} tasks, and {count:,} are asked for; choose another")
    tally: Counter[str] = Counter()
    started = time.monotonic()
    with path.open("a") as file:
        for n in range(done, count):
            family, task_seed = families[n % len(families)], seed * 10**7 + n
            if family == WORKERS:
                found = [
                    sample_of(worker(task_seed * CALLS_KEPT + k, split)) for k in range(CALLS_KEPT)
                ]
            else:
                chars = length(random.Random(task_seed))
                episode = stage.play(catalog.task(family, task_seed, split, chars))
                found = samples_of(episode, random.Random(task_seed))
            file.write(json.dumps(found, ensure_ascii=False) + "\n")
            tally[f"{family} {'right' if found[0]['score'] == 1 else 'wrong'}"] += 1
            if (n + 1) % 500 == 0:
                rate = (n + 1 - done) / (time.monotonic() - started)
                print(f"{n + 1:,} of {count:,} tasks, {rate:.0f}/s", file=sys.stderr, flush=True)
    return tally


def length(rng: random.Random) -> int:
    """A prompt's length in characters: log-uniform within a band."""
    low, high, _ = rng.choices(_LENGTHS, [share for _, _, share in _LENGTHS])[0]
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def whole_lines(path: Path) -> int:
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
    parser.add_argument(
        "--families", nargs="+", default=["mix"], help="in turn; mix: as in the recipe"
    )
    parser.add_argument("--count", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=("train", "held"), default="train")
    parser.add_argument("--out", type=Path, default=WORK / "families.jsonl")
    arguments = parser.parse_args()
    families = [
        f for name in arguments.families for f in (MIX.split() if name == "mix" else [name])
    ]
    with Stage.real() as stage:
        tally = generate(
            arguments.out,
            families,
            arguments.count,
            arguments.seed,
            stage,
            arguments.split,
        )
    for result, number in sorted(tally.items()):
        print(f"{number:7,}  {result}")


if __name__ == "__main__":
    main()
