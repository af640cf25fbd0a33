"""An evaluation that is under way: a line for each result, so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Result = TypeVar("Result")


class UnderWay(Generic[Result]):
    """The results so far of an evaluation of `model` that is written to `out` when it is whole."""

    def __init__(self, out: Path, model: Path, kind: type[Result]) -> None:
        self._path = out.with_suffix(".part.jsonl")
        self._model = hashlib.sha256(model.read_bytes()).hexdigest()
        self._line: type[_Line[Result]] = _Line[kind]  # type: ignore[valid-type]
        self._found: dict[tuple[str, str], Result] = {}
        out.parent.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if whole != lines:  # stopped within a line
            self._path.write_bytes(b"".join(whole))
        for line in whole:
            read = msgspec.json.decode(line, type=self._line)
            self._found[read.model, read.key] = read.result

    def once(self, key: str, make: Callable[[], Result]) -> Result:
        """The result of that key: as it is there, or made now and added."""
        place = self._model, key
        if place not in self._found:
            self._found[place] = result = make()
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(_Line(self._model, key, result)) + b"\n")
        return self._found[place]

    def end(self) -> None:
        """The evaluation is whole and written: the next one begins anew."""
        self._path.unlink(missing_ok=True)


class _Line(msgspec.Struct, Generic[Result]):
    model: str
    key: str
    result: Result
