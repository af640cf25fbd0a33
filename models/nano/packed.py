"""Rows in one small file: what a machine that only trains needs of the dialogues.

    python -m models.nano.packed --data models/nano/work/dialogues.jsonl --out rows.npz

A fifteenth of the dialogues' size, and read at once: their text is tokenized already.
`models.nano.train --data rows.npz` takes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from models.nano import samples
from models.nano.folders import DIALOGUES, TOKENIZER
from models.nano.network import Shape


def write(path: Path, rows: Sequence[samples.Row]) -> None:
    """Write the rows. Token ids must be below 65,536."""
    names = sorted({row.name for row in rows})
    cells = [span for row in rows for span in row.cells]
    np.savez_compressed(
        path,
        tokens=np.concatenate([row.tokens for row in rows]).astype(np.uint16),
        weights=np.concatenate([row.weight for row in rows]),
        lengths=np.array([len(row.tokens) for row in rows]),
        questions=np.array([row.question for row in rows]),
        cells=np.array(cells).reshape(-1, 2),
        cell_counts=np.array([len(row.cells) for row in rows]),
        names=np.array(names),
        name_of=np.array([names.index(row.name) for row in rows]),
    )


def read(path: Path) -> list[samples.Row]:
    """The rows of a file that `write` has made."""
    with np.load(path) as file:
        part = {name: file[name] for name in file.files}
    ends, cell_ends = np.cumsum(part["lengths"]), np.cumsum(part["cell_counts"])
    names, rows = part["names"].tolist(), []
    tokens, questions = part["tokens"].astype(np.int64), part["questions"].tolist()
    for n, (end, cell_end) in enumerate(zip(ends.tolist(), cell_ends.tolist(), strict=True)):
        place = slice(end - part["lengths"][n], end)
        spans = part["cells"][cell_end - part["cell_counts"][n] : cell_end].tolist()
        rows.append(
            samples.Row(
                tokens[place],
                part["weights"][place],
                tuple(questions[n]),
                tuple((start, stop) for start, stop in spans),
                names[part["name_of"][n]],
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[DIALOGUES])
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    rows = samples.read(arguments.data, tokenizer, Shape().window)
    write(arguments.out, rows)
    tokens = sum(len(row.tokens) for row in rows)
    print(f"{len(rows):,} rows, {tokens:,} tokens: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
