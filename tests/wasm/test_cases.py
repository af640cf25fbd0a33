"""Each case runs in the guest and, through the same bootstrap, on this CPython: same results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rlm_local.sandbox import GuestRaise
from tests.wasm.conftest import Fork, Guest
from tests.wasm.hosted import HostedSession

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
TEXT = "the quick brown fox jumps over the lazy dog\n" * 100


def answer(name: str, arguments: list[Any]) -> object:
    """A model that says its prompt backwards, or raises what it is told to."""
    if name == "llm_query":
        if arguments[0].startswith("raise "):
            raise GuestRaise(arguments[0].removeprefix("raise "), "as asked")
        return arguments[0][::-1]
    return [str(prompt)[::-1] for prompt in arguments[0]] if name.endswith("_batched") else None


def in_guest(guest: Guest, cell: str) -> dict[str, Any]:
    ran = guest.run(cell)
    return {
        "value": ran.value,
        "stdout": ran.stdout,
        "stderr": ran.stderr,
        "partial": ran.partial,
        "error": ran.error and ran.error.type,
        "message": ran.error and ran.error.message,
    }


def on_host(session: HostedSession, cell: str) -> dict[str, Any]:
    ran = session.run(cell)
    return {
        "value": ran["value"],
        "stdout": ran["stdout"],
        "stderr": ran["stderr"],
        "partial": ran.get("partial"),
        "error": ran["error"] and ran["error"]["type"],
        "message": ran["error"] and ran["error"]["message"],
    }


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Messages differ between Python versions: in these types wholly, in others at the end."""
    if result["error"] in {"SyntaxError", "IndentationError", "FileNotFoundError"}:
        return {**result, "message": ""}
    message = result["message"]
    return {**result, "message": message and re.sub("(. Did you mean.*|: nan)$", "", message)}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_guest_and_host_agree(path: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = fork(TEXT, host=answer)
    with monkeypatch.context() as patch:
        session = HostedSession(patch, [TEXT], single=True, host=answer)
        cells = path.read_text().split("\n# %%\n")
        expected = [on_host(session, cell) for cell in cells]
    for cell, wanted in zip(cells, expected, strict=True):
        assert comparable(in_guest(guest, cell)) == comparable(wanted), cell
    assert guest.calls == session.calls
