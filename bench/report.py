"""What every benchmark does with its figures: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

OUT = Path(__file__).parent / "out"


def report(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print `rows` as a table and write them to `bench/out/NAME.json`.

    All rows have the same keys; a key names its unit (`_ms`, `_bytes`, …). The
    file says on what machine, and how busy it was, since ratios of one run mean
    more than any figure alone.
    """
    columns = list(rows[0])
    cells = [columns, *([_shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    OUT.mkdir(exist_ok=True)
    machine = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, "rows": list(rows)}, indent=1) + "\n")
    print(f"written to {path}")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
