"""A prompt of more documents than fit the guest's memory: questions over all of it.

    python -m bench.documents                          6 GB in documents of 10 MB
    python -m bench.documents --gb 100 --in FOLDER     on a disk that has reflinks

Every document is a file of its own with a text of its own at the beginning. Where the
disk has reflinks (btrfs, xfs), the rest of it shares its blocks with others, so that
100 GB take 600 MB of the disk, and are 100 GB to whoever reads or maps them. Elsewhere all
is written, twice with the spool. A scripted model asks; all else is what answers questions.

`rss_mb` is the most that the process had resident beyond what it had before the
question; `own_mb` is the part of it that is not pages of files, which the kernel takes
back when it needs them. `maps` is how many mappings were made, and at most there were
`most_maps` at a time. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.report import report
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.prompt import open_prompt
from rlm_local.records import Ran
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox, ondemand

MB = 1_000_000
DOCUMENT_BYTES = 10 * MB
#: So many documents share nothing.
BASES = 60
HEAD_BYTES = 4096
_FICLONE = 0x40049409
_LINE = "{:09d} INFO the quick brown fox jumps over the lazy dog, and the dog sleeps on\n"
_FACT = "The access code for the mill is "
CODE = "quartz-4417"

#: By name, the cell that answers; all but the first look at every character.
CELLS = {
    "one document": f"""
text = context[context_names.index(LAST)]
at = text.find({_FACT!r})
FINAL(text[at:].splitlines()[0].split()[-1])
""",
    "find in all": f"""
for text in context:
    at = text.find({_FACT!r})
    if at >= 0:
        FINAL(text[at:].splitlines()[0].split()[-1])
""",
    "grep in all": """
[found] = grep(r"The access code for the mill is (\\S+)", limit=1, around=0)
FINAL(found.split()[-1])
""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=6.0, help="size of the prompt, in 10^9 bytes")
    parser.add_argument("--in", dest="folder", type=Path, help="a folder on the disk to use")
    chosen = parser.parse_args()
    count = round(chosen.gb * 1000 * MB / DOCUMENT_BYTES)
    with tempfile.TemporaryDirectory(dir=chosen.folder or Path(__file__).parent) as name:
        folder = Path(name)
        how = write_documents(folder / "documents", count)
        subprocess.run(["sync"], check=True)  # writing them is no part of this
        rows = [{"question": f"{chosen.gb:g} GB, {count:,} {how}", **one(folder, "spool")}]
        for question in CELLS:
            rows.append({"question": question, **one(folder, question)})
    report("documents", rows)


def write_documents(folder: Path, count: int) -> str:
    """Write the documents; how."""
    folder.mkdir()
    how = "reflinks"
    for number in range(count):
        path = folder / f"{number:06d}.txt"
        if number < BASES or not cloned(folder / f"{number % BASES:06d}.txt", path):
            how = "files" if number >= BASES else how
            first = number * 1_000_000
            lines = map(_LINE.format, range(first, first + DOCUMENT_BYTES // 80 + 1))
            path.write_text("".join(lines)[:DOCUMENT_BYTES])
        fact = f"{_FACT}{CODE}\n" if number == count - 1 else ""
        with path.open("r+b") as file:
            head = f"Document number {number}\n{fact}".encode()
            file.write(head.ljust(HEAD_BYTES - 1) + b"\n")
    return how


def cloned(source: Path, target: Path) -> bool:
    with source.open("rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def one(folder: Path, what: str) -> dict[str, object]:
    """The figures of one row, from a process of its own."""
    command = [sys.executable, "-m", "bench.documents", "--row", what]
    done = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def row(what: str, folder: Path) -> dict[str, object]:
    """Spool the documents, or ask one question about them, which are spooled."""
    documents, spool = folder / "documents", folder / "spool"
    if what == "spool":
        with Peaks() as peaks:
            began = time.perf_counter()
            with open_prompt([documents], folder=spool) as prompt:
                seconds = time.perf_counter() - began
                chars = prompt.chars
        return figures(seconds, chars, peaks, turns=0, maps=0)
    maps = counted_maps()
    ran: list[Ran] = []
    limits = Limits(wall_seconds=7200, cell_seconds=3600)
    last = f"LAST = {max(path.name for path in documents.iterdir())!r}\n"
    model = ScriptedModel([f"```repl\n{last}{CELLS[what]}```"])
    with WasmSandbox() as sandbox:
        sandbox.prepare()
        with (
            Runtime(
                model=model, sandbox=sandbox, limits=limits, store=RunStore(folder / "runs")
            ) as runtime,
            Peaks() as peaks,
        ):
            began = time.perf_counter()
            with open_prompt([documents], folder=spool) as prompt:
                answer = runtime.ask(
                    "What is the access code for the mill?",
                    prompt,
                    mode="rlm",
                    on_event=lambda event: ran.append(event) if isinstance(event, Ran) else None,
                )
                seconds = time.perf_counter() - began
                chars = prompt.chars
    if answer.text != CODE:
        raise SystemExit(f"the answer is {answer.text!r} ({answer.stop})")
    return figures(seconds, chars, peaks, turns=len(ran), maps=len(maps))


def figures(
    seconds: float, chars: int, peaks: Peaks, *, turns: int, maps: int
) -> dict[str, object]:
    return {
        "seconds": seconds,
        "gb_per_s": chars / seconds / 1e9,
        "turns": turns,
        "rss_mb": peaks.most["VmRSS"] / 1e3,
        "own_mb": peaks.most["RssAnon"] / 1e3,
        "maps": maps,
        "most_maps": peaks.most["maps"],
    }


def counted_maps() -> list[int]:
    """A list that grows with each mapping on demand."""
    made: list[int] = []
    real = ondemand.map_region

    def count(*arguments: object) -> None:
        made.append(1)
        real(*arguments)  # type: ignore[arg-type]

    ondemand.map_region = count
    return made


class Peaks:
    """The most memory that this process had meanwhile, in KB, beyond what it had before."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = now()
        self.most = dict.fromkeys(self._before, 0)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for name, value in now().items():
                self.most[name] = max(self.most[name], value - self._before[name])


def now() -> dict[str, int]:
    """Fields of this process's status, in KB, and the number of its mappings."""
    found = {"maps": Path("/proc/self/maps").read_bytes().count(b"\n")}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(value.split()[0])
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        print(json.dumps(row(sys.argv[2], Path(sys.argv[3]))))
    else:
        main()
