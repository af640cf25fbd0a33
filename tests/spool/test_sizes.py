"""Prompts of gigabytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import json, sys
from pathlib import Path
from rlm_local.prompt import open_prompt

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))

before = status("VmRSS")
with open_prompt([Path(sys.argv[1])], folder=Path(sys.argv[2])) as prompt:
    grown = status("VmHWM") - before
    print(json.dumps({
        "single": prompt.single,
        "chars": prompt.chars,
        "mapped": prompt.mapped_bytes,
        "documents": list(prompt.documents),
        "ends": [prompt.read(i, -10) for i in range(len(prompt.documents))],
        "grown_kb": grown,
    }))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "lines", "parts"),
    [("{:09d} and so on, and so on, and so on, and so on, and so on, and so\n", 45_000_000, 4),
     ("{:09d} und so fort, € und so fort, und so fort\n", 30_000_000, 3)],
)  # fmt: skip
def test_three_gigabytes(tmp_path: Path, line: str, lines: int, parts: int) -> None:
    """More than one `str` can hold, in constant memory."""
    path = tmp_path / "big.txt"
    block = "".join(line.format(number) for number in range(10_000)).encode()
    with path.open("wb") as file:
        for _ in range(lines // 10_000):
            file.write(block)
    size = len(line.format(0))
    command = [sys.executable, "-c", OPEN, str(path), str(tmp_path / "spool")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert not found["single"]
    assert found["chars"] == lines * size
    names = [document[0] for document in found["documents"]]
    assert names == [f"big.txt[{part}/{parts}]" for part in range(1, parts + 1)]
    for _, region, start, chars, kind, _, _ in found["documents"]:
        assert chars * kind < 2**31 - 64
        assert chars % size == 0  # cut at the end of a line
        assert start == 0
        assert region < parts
    assert all(end.endswith("\n") for end in found["ends"])
    assert found["grown_kb"] < 20_000
