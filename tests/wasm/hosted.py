"""The guest's bootstrap on this very CPython, with a stand-in for the C glue."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlm_local.sandbox import GuestRaise, HostFunctions

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox_wasm"


class HostedSession:
    """Runs cells as a guest would. `calls` is what they asked of the host."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        texts: Sequence[str],
        *,
        single: bool,
        names: Sequence[str] | None = None,
        host: HostFunctions | None = None,
        question: str = "what?",
        functions: Sequence[str] = ("llm_query", "llm_query_batched"),
        output_chars: int = 2000,
        seed: int = 0,
    ) -> None:
        self.calls: list[tuple[str, list[Any]]] = []
        self.written = {1: "", 2: ""}
        self._host = host
        self._texts = texts
        self._pieces = ""
        glue = types.ModuleType("_rlm")
        glue.__dict__.update(call=self._call, write=self._write, text=self._text, place=self._place)
        patch.setitem(sys.modules, "_rlm", glue)
        patch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
        for stream in ("stdin", "stdout", "stderr", "__stdout__", "__stderr__"):
            patch.setattr(sys, stream, getattr(sys, stream))
        self._placed: list[str] = []
        self.shown = self._load(patch, "_rlm_shown", "shown.py")
        self._load(patch, "_rlm_calls", "calls.py")
        self._load(patch, "_rlm_documents", "documents.py")
        self._load(patch, "_rlm_helpers", "helpers.py")
        self._tasks = self._load(patch, "_rlm_tasks", "tasks.py")
        self.module = self._load(patch, "_rlm_bootstrap", "bootstrap.py")
        setup = {
            "texts": [[0, len(text), number, text.isascii()] for number, text in enumerate(texts)],
            "single": single,
            "names": names or [f"{number}.txt" for number in range(len(texts))],
            "question": question,
            "seed": seed,
            "functions": functions,
            "output_chars": output_chars,
        }
        self.module.setup(json.dumps(setup).encode())

    @staticmethod
    def _load(patch: pytest.MonkeyPatch, name: str, file: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, SANDBOX / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    def run(self, code: str) -> dict[str, Any]:
        """The cell's result, with `stdout` and `stderr` beside it."""
        self.written = {1: "", 2: ""}
        self._partial: dict[str, str] = {}
        result: dict[str, Any] = json.loads(self.module.execute(code))
        return {**self._partial, **result, "stdout": self.written[1], "stderr": self.written[2]}

    def close(self) -> None:
        """Close the event loop, if a cell has awaited something."""
        if self._tasks._loop is not None:
            self._tasks._loop.close()
            asyncio.set_event_loop(None)

    def _text(self, address: int, chars: int, number: int, ascii_only: bool) -> str:
        return self._texts[number]

    def _place(self, text: str) -> tuple[int, int, int, bool]:
        self._placed.append(text)
        return len(self._placed) - 1, len(text), 1, text.isascii()

    def _write(self, fd: int, text: str) -> None:
        self.written[fd] += text

    def _call(self, message: bytes) -> bytes:
        request = json.loads(message)
        name, arguments = request["name"], request["arguments"]
        if "partial" in request:
            self._partial = {"partial": request["partial"]}
        if name == "final":
            piece, more, first = arguments
            self._pieces = piece if first else self._pieces + piece
            if more:
                return b'{"ok": null}'
            arguments, self._pieces = [self._pieces], ""
        self.calls.append((name, arguments))
        try:
            value = None if self._host is None else self._host(name, arguments)
        except GuestRaise as error:
            return json.dumps({"error": [error.kind, error.message]}).encode()
        return json.dumps({"ok": value}).encode()
