"""What a run of the suite gave, as a file, and as the page that people read."""

from __future__ import annotations

import fnmatch
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from rlm_local.records import Record
from tests.conformance.suite import ModuleRun

HERE = Path(__file__).parent
#: Written by hand: which modules are run, and why which of their tests fail.
EXPECTED = HERE / "expected.toml"
#: Written by `python -m tests.conformance`: what a run gave.
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "conformance.md"

_HEAD = """# Conformance
The guest's Python against CPython's own regression tests, from the very source that it is
built from ({version}). `python -m tests.conformance` runs them, and writes this page;
`make test-slow` runs them too, and fails if one test more or less passes than is written here.

**{passed:,} tests pass, {failed:,} fail, {skipped:,} skip themselves**, in {modules} modules.
Each failure has its reason below: files, a virtual clock, a frozen library, no process around it.

"""
_NOT_RUN = """
## Not run
Tests of what the guest does not have: files and folders (`os`, `pathlib`, `shutil`, `tempfile`,
`glob`, `zipfile`, `tarfile`, ...), processes and signals (`subprocess`, `signal`, `fork`), threads
(`threading`, `queue`, `concurrent.futures`), sockets and what is made of them (`socket`, `ssl`,
`http`, `urllib.request`, `asyncio`), terminals and screens (`curses`, `readline`, `tkinter`), C
extensions that are not built (`ctypes`, `zlib`, `bz2`, `lzma`, `sqlite3`), the C API, the command
line, the import system's own files, and the debugger and profilers.
"""


class Result(Record, frozen=True):
    """What one module's tests gave. `skipped_whole` is why none ran, or ''."""

    passed: int
    skipped: int
    failed: dict[str, str]
    skips: dict[str, int]
    skipped_whole: str = ""


class Reason(Record, frozen=True):
    """Why tests fail. `tests` are patterns of ids, as `fnmatch` reads them."""

    why: str
    tests: list[str]

    def covers(self, test: str) -> bool:
        return any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests)


class Expected(Record, frozen=True):
    """The modules that are run, and the reasons for what fails."""

    modules: list[str]
    reason: list[Reason]


def result_of(run: ModuleRun) -> Result:
    """A run as the file has it; ids without the package's name."""
    skips = Counter(each.detail for each in run.outcomes.values() if each.kind == "skipped")
    return Result(
        passed=run.count("passed"),
        skipped=run.count("skipped"),
        failed={
            test.removeprefix("test."): outcome.detail.splitlines()[-1] if outcome.detail else ""
            for test, outcome in sorted(run.outcomes.items())
            if outcome.kind == "failed"
        },
        skips=dict(sorted(skips.items())),
        skipped_whole=run.skipped,
    )


def expected() -> Expected:
    """The committed expectations."""
    return msgspec.convert(tomllib.loads(EXPECTED.read_text()), Expected)


def results() -> dict[str, Result]:
    """The committed results."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Result])


def write(found: Mapping[str, Result]) -> None:
    """Write the results, and the page."""
    data = msgspec.json.encode(found, order="sorted")
    RESULTS.write_bytes(msgspec.json.format(data, indent=1) + b"\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(found, expected().reason))


def unexplained(found: Mapping[str, Result], reasons: Iterable[Reason]) -> list[str]:
    """The failures that no reason covers."""
    known = list(reasons)
    return [
        test
        for result in found.values()
        for test in result.failed
        if not any(reason.covers(test) for reason in known)
    ]


def page(found: Mapping[str, Result], reasons: Iterable[Reason]) -> str:
    """The page, in Markdown."""
    from recipe import source

    text = _HEAD.format(
        version=source.VERSION,
        passed=sum(result.passed for result in found.values()),
        failed=sum(len(result.failed) for result in found.values()),
        skipped=sum(result.skipped for result in found.values()),
        modules=len(found),
    )
    text += "| module | passed | failed | skipped |\n|---|---:|---:|---:|\n"
    for name, result in sorted(found.items()):
        whole = f" {result.skipped_whole}" if result.skipped_whole else ""
        text += f"| `{name}`{whole and ':'}{whole} | {result.passed:,} | "
        text += f"{len(result.failed):,} | {result.skipped:,} |\n"
    text += "\n## Failures\n"
    failed = [test for result in found.values() for test in result.failed]
    for reason in reasons:
        covered = [test for test in failed if reason.covers(test)]
        text += f"\n{reason.why} {_counted(len(covered))}:\n\n"
        text += "".join(f"- `{pattern}`\n" for pattern in reason.tests)
    text += "\n## Skipped\nThe reasons that the tests themselves give.\n\n"
    text += "| reason | tests |\n|---|---:|\n"
    skips: Counter[str] = Counter()
    for result in found.values():
        skips.update(result.skips)
    for said, count in sorted(skips.items(), key=lambda item: (-item[1], item[0])):
        text += f"| {said.replace('|', '/').splitlines()[0] if said else '(none)'} | {count:,} |\n"
    return text + _NOT_RUN


def _counted(count: int) -> str:
    return f"({count:,} {'test' if count == 1 else 'tests'})"
