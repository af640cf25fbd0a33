"""Runs one module of CPython's tests. This runs in the guest, as the module `_conformance`.

The tests and their data files come as a package image. A test may open its data: reads
below the image's root are answered from it, and a temporary file without a name is a
buffer. There is no other file.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
import sys
import tempfile
import tokenize
import types
import unittest
from collections.abc import Callable
from typing import Any

Told = Callable[[str], object]
Ended = Callable[[str, str, str], object]

_DETAIL_CHARS = 600
#: CPython's own C modules for tests.
_NOT_BUILT = (
    *("_testcapi", "_testlimitedcapi", "_testinternalcapi"),
    *("_testsinglephase", "_testmultiphase"),
)


class Result(unittest.TestResult):
    """Tells the host of each test: that it begins, and how it ended."""

    def __init__(self, started: Told, finished: Ended) -> None:
        super().__init__()
        self._started = started
        self._finished = finished
        self._outcome = ("passed", "")

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self._outcome = ("passed", "")
        self._started(test.id())

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self._finished(test.id(), *self._outcome)

    def _note(self, test: unittest.TestCase, outcome: str, detail: str) -> None:
        if not isinstance(test, unittest.TestCase) and not hasattr(test, "test_case"):
            self._finished(test.id(), outcome, detail)  # of a class or a module as a whole
        elif self._outcome[0] in ("passed", "skipped"):
            self._outcome = (outcome, detail)

    def addError(self, test: Any, error: Any) -> None:  # noqa: N802
        self._note(test, "failed", self._said(error))

    def addFailure(self, test: Any, error: Any) -> None:  # noqa: N802
        self._note(test, "failed", self._said(error))

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:  # noqa: N802
        if error is not None:
            self._note(test, "failed", f"{subtest._subDescription()} {self._said(error)}")

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self._note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        self._note(test, "failed", "an unexpected success")

    def _said(self, error: Any) -> str:
        kind, value, _ = error
        return f"{kind.__name__}: {value}"[:_DETAIL_CHARS]


def run(name: str, done: list[str], started: Told, finished: Ended) -> str:
    """Run the tests of module `name` but those `done`; '' or why the module as a whole
    was skipped."""
    _serve_files()
    from test import support

    support.use_resources = ["cpu"]
    support.verbose = 0
    try:
        suite = _loaded(name)
    except unittest.SkipTest as skipped:
        return str(skipped)
    finished_before = set(done)
    result = Result(started, finished)
    kept = unittest.TestSuite()
    for test in _flat(suite):
        if test.id() not in finished_before:
            kept.addTest(test)
    kept.run(result)
    return ""


class Missing(types.ModuleType):
    """Stands for a module that is not built: a test that uses it is skipped."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def skip(*_: object, **__: object) -> Any:
            raise unittest.SkipTest(f"{self.__name__} is not built")

        return skip() if name.isupper() else skip


class Data(io.BytesIO):
    """An open data file."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def _loaded(name: str) -> unittest.TestSuite:
    """The tests of module `name`. Raises SkipTest if it is skipped as a whole.

    One that wants a module that is not built gets a stand-in, while it is loaded: with
    some of them, the tests that only ask whether there is one would go wrong.
    """
    loader = unittest.TestLoader()
    try:
        suite = loader.loadTestsFromName(name)
        failures = loader.errors
    except unittest.SkipTest as skipped:
        suite, failures = unittest.TestSuite(), [str(skipped)]
        if not any(missing in failures[0] for missing in _NOT_BUILT):
            raise
    if not any(missing in failure for missing in _NOT_BUILT for failure in failures):
        return suite
    sys.modules.update({missing: Missing(missing) for missing in _NOT_BUILT})
    try:
        return unittest.TestLoader().loadTestsFromName(name)
    finally:
        for missing in _NOT_BUILT:
            del sys.modules[missing]


def _flat(suite: Any) -> Any:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


def _serve_files() -> None:
    archive: Any = sys.path_hooks[0].__self__  # type: ignore[attr-defined]
    real_open, real_stat, real_listdir = builtins.open, os.stat, os.listdir

    def path_of(file: object) -> str | None:
        if not isinstance(file, str | bytes | os.PathLike):
            return None
        try:
            path = archive.relative(os.path.normpath(os.fsdecode(file)))
        except FileNotFoundError:
            return None
        return path if path in archive.files or path in archive.folders else None

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        path = path_of(file)
        if path not in archive.files or set(mode) & set("wax+"):
            return real_open(file, mode, *args, **options)
        stream = Data(archive.data(path), file)
        if "b" in mode:
            return stream
        _, encoding, errors, newline = (*args, *[None] * 4)[:4]
        named = {"encoding": encoding, "errors": errors, "newline": newline}
        named |= {key: value for key, value in options.items() if key in named}
        return io.TextIOWrapper(stream, **named)

    def stat_of(file: Any, *args: Any, **options: Any) -> Any:
        path = path_of(file)
        if path is None:
            return real_stat(file, *args, **options)
        kind = stat.S_IFDIR if path in archive.folders else stat.S_IFREG
        size = len(archive.files.get(path, b""))
        return os.stat_result((kind | 0o444, 0, 0, 1, 0, 0, size, 0, 0, 0))

    def listed(folder: Any = ".") -> Any:
        path = path_of(folder)
        return sorted(archive.folders[path]) if path in archive.folders else real_listdir(folder)

    def temporary(mode: str = "w+b", *_: Any, **options: Any) -> Any:
        """What `tempfile.TemporaryFile` gives, in memory."""
        if "b" in mode:
            return io.BytesIO()
        named = ("encoding", "errors", "newline")
        return io.TextIOWrapper(io.BytesIO(), **{key: options.get(key) for key in named})

    tempfile.TemporaryFile = temporary  # type: ignore[assignment]
    builtins.open = io.open = tokenize._builtin_open = opened  # type: ignore[assignment]
    os.stat, os.listdir = stat_of, listed
