"""CPython's own tests, run in the guest: which modules, and how one of them is run.

The tests come from the pinned source that the guest is built from. They are a package
image like any other, so a test module is imported in a fork as a package would be.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import time
from pathlib import Path
from typing import NamedTuple

from rlm_local.closing import Closing
from rlm_local.packages.image import Packages, packed
from rlm_local.prompt import prompt_from_text
from rlm_local.sandbox import GuestRaise
from rlm_local.wasm import WasmSandbox

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox_wasm"
_RUNNER = Path(__file__).with_name("guest_runner.py")
#: `dbm` is not in the guest, as it is about files, but the tests of pickle import it.
_LIBRARIES = ("Lib/test/", "Lib/dbm/")
#: Far larger than all the rest, and about what the guest does not have.
_NO_FOLDERS = (
    *("libregrtest", "test_asyncio", "test_multiprocessing", "test_capi", "test_import"),
    *("test_peg_generator", "idlelib", "test_gdb", "test_tkinter", "test_ttk"),
    *("audiodata", "certdata", "crashers"),
)
_NO_SUFFIXES = (".whl", ".gz", ".bz2", ".xz", ".tar", ".zip", ".aiff", ".wav", ".exe")
MEMORY_BYTES = 1 << 30
MODULE_SECONDS = 600.0
#: A test that runs longer is stopped and counts as failed.
TEST_SECONDS = 60.0
_CELL = "_conformance.run({name!r}, {done!r}, _started, _finished)"


class Outcome(NamedTuple):
    """How one test ended: 'passed', 'skipped' or 'failed', and what it said."""

    kind: str
    detail: str


class ModuleRun(NamedTuple):
    """One module's tests by id, and why it was skipped as a whole, or ''."""

    name: str
    outcomes: dict[str, Outcome]
    skipped: str
    seconds: float

    def count(self, kind: str) -> int:
        return sum(outcome.kind == kind for outcome in self.outcomes.values())


def image(archive: Path) -> bytes:
    """The image of the tests in the source tarball `archive`."""
    files = {"_conformance.py": _RUNNER.read_bytes()}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isfile() and path.startswith(_LIBRARIES) and _is_wanted(path):
                content = tar.extractfile(member)
                if content is not None:
                    files[path.removeprefix("Lib/")] = content.read()
    return packed(files, compiled=False)


def _is_wanted(path: str) -> bool:
    folder = path.split("/")[2]
    return not folder.startswith(_NO_FOLDERS) and not path.endswith(_NO_SUFFIXES)


class Suite(Closing):
    """A sandbox with the tests in it."""

    def __init__(self, guest: Path | None = None) -> None:
        """`guest` is the module to test; None builds the checkout's own."""
        sys.path.insert(0, str(SANDBOX))
        from recipe import cache, source

        if guest is None:
            import build

            guest = build.build(source_path=None, build_python="auto", jobs=2)
        archive = source.tarball(cache.root(), None)
        digest = hashlib.sha256(f"{source.SHA256}{_RUNNER.read_text()}".encode())
        digest.update(Path(__file__).read_bytes())
        packages = Packages(digest.hexdigest(), lambda: image(archive))
        self._sandbox = WasmSandbox(guest, packages=packages)

    def run(self, name: str) -> ModuleRun:
        """Run the tests of module `name`, such as 'test_re'. A test that hangs or traps is
        stopped, and the others go on in a fresh fork."""
        began = time.monotonic()
        outcomes: dict[str, Outcome] = {}
        running: list[str] = []
        skipped = ""

        def answer(function: str, arguments: list[object]) -> object:
            test, *told = map(str, arguments)
            if function == "_started":
                running[:] = [test]
            elif function == "_finished":
                outcomes[test] = Outcome(*told)
                running.clear()
            else:
                raise GuestRaise("NameError", function)
            return None

        while True:
            running.clear()
            code = "import _conformance\n" + _CELL.format(name=f"test.{name}", done=list(outcomes))
            with prompt_from_text("text") as prompt, self._sandbox.repl(
                prompt,
                question="",
                host=answer,
                functions=["_started", "_finished"],
                memory_bytes=MEMORY_BYTES,
                output_chars=4000,
            ) as repl:  # fmt: skip
                seen = repl.execute(
                    code, deadline=began + MODULE_SECONDS, cell_seconds=MODULE_SECONDS
                )
            if seen.error is None:
                skipped = (seen.value or "''")[1:-1]
                break
            said = f"{seen.error.type}: {seen.error.message}"
            if not running:
                outcomes[name] = Outcome("failed", said)  # its import, most often
                break
            outcomes[running[0]] = Outcome("failed", said)
        return ModuleRun(name, outcomes, skipped, time.monotonic() - began)

    def close(self) -> None:
        self._sandbox.close()
