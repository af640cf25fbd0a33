"""Step 2: filter and repair dialogues, the teacher's or a model's, with a count of each.

    python -m models.nano.families.filter models/nano/work/families.jsonl

As the paper did: what scored 0 goes, and runs of a single turn; turns that are too long
are not learned; small mistakes of form are repaired by program. A dialogue with marks on
the turns to learn stands for one sample a turn: in a causal model, each turn is predicted
from the full history before it and nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from models.nano import programs
from rlm_local.dialogue import read_turn

Sample = dict[str, Any]

#: The longest turn that is learned, in characters (the paper's is 100,000).
MOST_CHARS = 8_000

_UNQUOTED = re.compile(r"\bFINAL_VAR\(\s*([A-Za-z_]\w*)\s*\)")


def filtered(samples: Iterable[Sample], tally: Counter[str]) -> Iterator[Sample]:
    """The samples that are worth learning from, repaired. `tally` counts what was done."""
    for sample in samples:
        tally["dialogues"] += 1
        turns = [m for m in sample["messages"] if m["role"] == "assistant"]
        if sample["score"] == 0:
            tally["dropped: score 0"] += 1
        elif sample["role"] == "root" and len(turns) < 2:
            tally["dropped: a single turn"] += 1
        else:
            kept = repaired(sample, tally) if sample["role"] == "root" else sample
            learned = sum(bool(message["learn"]) for message in kept["messages"])
            if learned:
                tally["kept dialogues"] += 1
                tally["kept turns"] += learned
                yield kept
            else:
                tally["dropped: nothing to learn"] += 1


def repaired(sample: Sample, tally: Counter[str]) -> Sample:
    """The sample with its turns in the form that the runtime asks for."""
    messages = []
    following = [*sample["messages"][1:], None]
    for message, reply in zip(sample["messages"], following, strict=True):
        if message["role"] != "assistant" or not message["learn"]:
            messages.append(message)
            continue
        content, learn = repaired_turn(message["content"], tally), True
        if not read_turn(content).code:
            tally["turns not learned: no code"] += 1
            learn = False
        elif len(content) > MOST_CHARS:
            tally["turns not learned: too long"] += 1
            learn = False
        elif reply is not None and "Traceback" in reply["content"]:
            tally["turns not learned: an error"] += 1
            learn = False
        messages.append({**message, "content": content, "learn": learn})
    return {**sample, "messages": messages}


def repaired_turn(said: str, tally: Counter[str]) -> str:
    """A turn of one block in a ```repl fence, FINAL within it, names in quotes."""
    turn = read_turn(said)
    if not turn.code:
        return said
    code = _UNQUOTED.sub(r'FINAL_VAR("\1")', turn.code)
    if code != turn.code:
        tally["repaired: FINAL_VAR without quotes"] += 1
    if "```" not in said:
        tally["repaired: FINAL outside a block"] += 1
        return programs.turn(code.strip("\n"))
    if turn.said.rstrip() != said.rstrip():
        tally["repaired: text after the block"] += 1
    thought = turn.said[: turn.said.index("```")]
    fence = turn.said[len(thought) :].split("\n", 1)[0]
    if fence != "```repl":
        tally["repaired: the fence's language"] += 1
    return thought + programs.turn(code.strip("\n"))


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
                    for sample in filtered(json.loads(line), tally):
                        file.write(json.dumps(sample, ensure_ascii=False) + "\n")
    for what, number in sorted(tally.items()):
        print(f"{number:8,}  {what}")


if __name__ == "__main__":
    main()
