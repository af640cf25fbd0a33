"""Can the programs solve their tasks at all? The share that they do, by family and length.

    python -m models.nano.families.oracle --count 100

This is what a model that always chose right would reach, in the real sandbox.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter

from models.nano.families import catalog
from models.nano.families.stage import Stage
from models.nano.lexicon import Split

#: Far from the seeds of the training data.
SEED = 8 * 10**12


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=sorted(catalog.FAMILIES))
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--split", choices=("train", "held"), default="held")
    arguments = parser.parse_args()
    split: Split = arguments.split
    print(f"{'family':>10} {'chars':>12} {'right':>10} {'chance':>7} {'median s':>9} {'most s':>7}")
    with Stage.real() as stage:
        for family in arguments.families:
            for chars in arguments.lengths:
                right, chance, seconds, wrong = 0.0, 0.0, [], Counter[str]()
                for n in range(arguments.count):
                    task = catalog.task(family, SEED + n, split, chars)
                    began = time.monotonic()
                    episode = stage.play(task, missteps=0.0)
                    seconds.append(time.monotonic() - began)
                    right += episode.score
                    chance += task.chance
                    if episode.score < 1:
                        wrong.update((task.kind, *task.traits, f"seed {task.seed}"))
                print(
                    f"{family:>10} {chars:>12,} {right:>6.1f}/{arguments.count}"
                    f" {chance / arguments.count:>7.2f} {statistics.median(seconds):>9.2f}"
                    f" {max(seconds):>7.2f} {dict(wrong.most_common(6)) or ''}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
