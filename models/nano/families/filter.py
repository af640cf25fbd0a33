"""Step 2: filter and repair dialogues, the teacher's or a model's, with a count of each.

    python -m models.nano.families.filter models/nano/work/families.jsonl

The rules are those of `rlm_local.training.filter`, which run records go through as well.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from rlm_local.training.filter import filtered

#: The longest turn that is learned, in characters (the paper's is 100,000).
MOST_CHARS = 8_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="default: FILE with .kept before its suffix")
    arguments = parser.parse_args()
    tally: Counter[str] = Counter()
    out = arguments.out or arguments.files[0].with_suffix(".kept.jsonl")
    with out.open("w") as file:
        for path in arguments.files:
            with path.open() as lines:
                for line in lines:
                    for sample in filtered(json.loads(line), tally, most_chars=MOST_CHARS):
                        file.write(json.dumps(sample, ensure_ascii=False) + "\n")
    for what, number in sorted(tally.items()):
        print(f"{number:8,}  {what}")


if __name__ == "__main__":
    main()
