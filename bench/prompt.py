"""Opening a prompt: cold, warm, and beside `open().read()`.

    python -m bench.prompt            sizes up to 1 GB; needs 3 GB of disk
    python -m bench.prompt --quick    the small ones

Each figure is the median of several processes, and each process measures one
opening. `rss_mb` is how far its resident memory rose above what it was before.
`cold` makes the spool and `warm` finds it, the source's bytes in the page cache
both times; `read` is the naive way, all texts read into memory.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import report

MB = 1_000_000
REPEATS = 5
_LINE = "{:09d} INFO the quick brown fox jumps over the lazy dog, and the dog sleeps on\n"
_CJK = "{:09d} 信息 敏捷的棕色狐狸跳过了懒狗，而狗继续睡觉，什么也没有发生，一切如常\n"
_LATIN = "{:09d} INFO Größe, Maß und Übermut: das Flüßchen fließt über süße Äcker dahin\n"
_EMOJI = "{:09d} INFO the quick brown 🦊 jumps over the lazy 🐕, and the dog sleeps on\n"


def main() -> None:
    sizes = [40] if "--quick" in sys.argv else [40, 100, 1000]
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name:
        rows = [
            measure(label, source, Path(name) / "spool")
            for label, source in sources(Path(name), sizes)
        ]
    report("prompt", rows)


def sources(folder: Path, sizes: list[int]) -> Iterator[tuple[str, Path]]:
    """Each kind of prompt: what to call it, and where it is, until the next one is taken."""
    for size in sizes:
        with written(folder / "ascii.txt", _LINE, size * MB) as path:
            yield f"ASCII, {size} MB", path
    size = sizes[-1] if len(sizes) == 1 else sizes[1]
    for label, line in (("latin-1", _LATIN), ("UCS-2", _CJK), ("UCS-4", _EMOJI)):
        with written(folder / "text.txt", line, size * MB) as path:
            yield f"{label}, {size} MB", path
    document = (_LINE * 26).format(*range(26))[:2000]
    docs = folder / "docs"
    docs.mkdir()
    for number in range(20_000):
        (docs / f"{number:05d}.txt").write_text(document)
    yield "20,000 files of 2 KB", docs
    lines = folder / "docs.jsonl"
    with lines.open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"id": number, "text": document}) + "\n")
    yield "20,000 lines of JSONL", lines


@contextmanager
def written(path: Path, line: str, size: int) -> Iterator[Path]:
    block = "".join(line.format(number) for number in range(10_000)).encode()
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()] if line.isascii() else block)
    yield path
    path.unlink()


def measure(label: str, source: Path, spool: Path) -> dict[str, object]:
    files = [source] if source.is_file() else list(source.iterdir())
    size = sum(path.stat().st_size for path in files)
    found: dict[str, tuple[float, float]] = {}
    for way in ("read", "cold", "warm"):
        runs = []
        for _ in range(REPEATS):
            if way == "cold":
                shutil.rmtree(spool, ignore_errors=True)
                subprocess.run(["sync"], check=True)  # what earlier runs wrote is no part of this
            command = [sys.executable, "-m", "bench.prompt", way, str(source), str(spool)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append([float(figure) for figure in done.stdout.split()])
        seconds, rss = zip(*runs, strict=True)
        found[way] = statistics.median(seconds), statistics.median(rss)
    shutil.rmtree(spool)
    return {
        "prompt": label,
        "cold_s": found["cold"][0],
        "cold_gb_per_s": size / found["cold"][0] / 1e9,
        "cold_rss_mb": found["cold"][1],
        "warm_ms": found["warm"][0] * 1e3,
        "warm_rss_mb": found["warm"][1],
        "read_s": found["read"][0],
        "read_rss_mb": found["read"][1],
    }


def one(way: str, source: Path, spool: Path) -> None:
    """Measure one opening in this process; print seconds, and MB of memory."""
    from rlm_local.prompt import open_prompt

    def opened() -> object:
        return open_prompt([source], folder=spool)

    def read() -> object:
        if source.is_dir():
            return [path.read_text() for path in sorted(source.iterdir())]
        if source.suffix == ".jsonl":
            return [json.loads(line)["text"] for line in source.open()]
        return source.read_text()

    run: Callable[[], object] = read if way == "read" else opened
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    started = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - started
    print(seconds, (_status("VmHWM") - before) / 1e3)
    del result


def _status(field: str) -> int:
    """A field of this process's status, in KB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("read", "cold", "warm"):
        one(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
