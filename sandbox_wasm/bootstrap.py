"""The Python side of the guest: a session in which a model's cells run.

The C glue imports this module once, before the snapshot, then calls `setup` once
after each fork and `execute` for each cell (CONTRACT.md has the formats). `_rlm` is
the glue: `call(bytes) -> bytes` asks the host, `write(fd, str)` captures output,
`text(ptr, chars, kind, ascii) -> str` makes a mapped text a `str` without a copy.
`place(str) -> (ptr, chars, kind, ascii)` is its inverse; `copy` and `release` are for
documents.py. `_rlm_shown` is shown.py, and so are all others here. They also run on an
ordinary CPython with a stand-in for `_rlm`, for tests.

Nothing here guards the host: a cell may break all of it. It guards the *model*,
by showing it only what is short, and by putting back what it overwrote.
"""

from __future__ import annotations

import _signal
import ast
import asyncio
import gc
import io
import json
import linecache
import random
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import _rlm  # type: ignore[import-not-found] # the glue
from _rlm_calls import ask_host, provided, unchanged  # type: ignore[import-not-found] # calls.py
from _rlm_documents import Documents, on_demand  # type: ignore[import-not-found] # documents.py
from _rlm_helpers import Chunks, Reader  # type: ignore[import-not-found] # helpers.py
from _rlm_shown import described, shown, trimmed  # type: ignore[import-not-found] # shown.py
from _rlm_tasks import make_awaitable, run  # type: ignore[import-not-found] # tasks.py

#: A final text crosses the border in pieces, so that it never needs twice its size.
PIECE_CHARS = 1 << 20

#: Made once: an encoder is dearer than what most cells have to say.
_as_json = json.JSONEncoder(ensure_ascii=False).encode
#: The result of a cell that gave no value, and what the host is told of it.
_NOTHING: dict[str, object] = {"value": None, "error": None}
_NOTHING_SAID = _as_json(_NOTHING).encode()

#: Cells may use `await` as if they were the body of a coroutine.
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

#: Our own files, whose frames are no part of a cell's traceback.
_OWN = frozenset(
    function.__code__.co_filename
    for function in (
        *(lambda: None, described, provided, on_demand, Reader.grep, run),
        asyncio.BaseEventLoop.run_forever,
    )
)


# ------------------------------------------------------------------ called by the glue


def setup(message: bytes) -> None:
    """Begin the session that `message` describes (JSON, see CONTRACT.md)."""
    global _session
    wanted = json.loads(message)
    if "on_demand" in wanted:
        context, names = on_demand(**wanted["on_demand"])
    else:
        texts = [_rlm.text(*place) for place in wanted["texts"]]
        context, names = texts[0] if wanted["single"] else texts, wanted["names"]
    _session = Session(
        context,
        names=names,
        question=wanted["question"],
        functions=wanted["functions"],
        output_chars=wanted["output_chars"],
    )
    random.seed(wanted["seed"])
    warnings.simplefilter("ignore", SyntaxWarning)  # '\d' and the like: noise to a model


def execute(source: str) -> bytes:
    """Run one cell and return its result (JSON, see CONTRACT.md)."""
    if _session is None:
        raise RuntimeError("execute was called before setup")
    try:
        result = _session.execute(source)
    except BaseException as error:  # noqa: BLE001 - an interrupt while the result was made
        result = {"value": None, "error": described(error, 1000, _OWN)}
    if result == _NOTHING:
        return _NOTHING_SAID
    return _as_json(result).encode("utf-8", "replace")


# ------------------------------------------------------------------------- the session


class Finished(BaseException):
    """Ends a cell after FINAL. Not an Exception, so that a cell's handlers let it through."""


class Session:
    """The variables of one REPL, and what the model may call in it."""

    def __init__(
        self,
        context: str | list[str] | Documents,
        *,
        names: Sequence[str],
        question: str,
        functions: Iterable[str],
        output_chars: int,
    ) -> None:
        self.output_chars = output_chars
        # A cell may change a list in place: what is read, and given back, is a copy.
        kept, kept_names = _copied(context), _copied(names)
        self._lists = [(context, kept), (names, kept_names)]
        reader = Reader(kept, kept_names)
        self.answer: dict[str, object] = {"content": "", "ready": False}
        # The real __main__, so that dataclasses, pickle and the like find their classes.
        self.variables: dict[str, object] = sys.modules["__main__"].__dict__
        self.provided: dict[str, object] = {
            "context": context,
            "context_names": names,
            "question": question,
            "FINAL": self.final,
            "FINAL_VAR": self.final_var,
            "SHOW_VARS": self.show_vars,
            "grep": reader.grep,
            "chunks": Chunks,
            "cite": reader.cite,
            **provided(functions, context, kept, self._changed_partial, self._partial_told),
        }
        self.variables.update(self.provided, __name__="__main__", answer=self.answer)
        self._given = frozenset(self.variables)
        self._streams = {1: Stream(1), 2: Stream(2)}
        self._cells = 0
        self._finished = False
        self._partial = ""

    def execute(self, source: str) -> dict[str, object]:
        """Run one cell. The result has `value`, `error`, `partial` if it changed, and
        `exhausted` if memory ran out and could not be won back."""
        self._cells += 1
        before = set(self.variables)
        if _signal.getsignal(_signal.SIGINT) is not _interrupt:  # a cell has changed it
            _signal.signal(_signal.SIGINT, _interrupt)
        sys.stdout = sys.__stdout__ = self._streams[1]  # type: ignore[misc,assignment]
        sys.stderr = sys.__stderr__ = self._streams[2]  # type: ignore[misc,assignment]
        sys.stdin = io.StringIO()
        result = _NOTHING.copy()
        try:
            result["value"] = self._run(source, f"<cell {self._cells}>")
        except Finished:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises is data
            if isinstance(error, MemoryError):
                _ballast.drop()
                error.args = error.args or ("more memory was wanted than there is",)
            result["error"] = described(error, self.output_chars, _OWN)
            error.__traceback__ = None  # it holds the frames, and they the cell's values
        self.variables.update(self.provided)
        for given, kept in self._lists:
            if isinstance(given, list) and not unchanged(given, kept):
                given[:] = kept
        partial = self._changed_partial()
        if partial:
            result["partial"] = partial
            self._partial_told(partial)
        if not _ballast.restore():
            result["error"] = self._relieve(before)
            result["exhausted"] = not _ballast.restore()
        return result

    def _relieve(self, before: set[str]) -> dict[str, str]:
        """Delete variables until there is memory again: those that the cell made, then the
        longest. The error that tells the model so."""
        names = sorted(
            self.show_vars(), key=lambda name: (name in before, -_length(self.variables[name]))
        )
        gc.collect()
        deleted = []
        while names and not _ballast.restore():
            deleted.append(names.pop(0))
            del self.variables[deleted[-1]]
        message = "out of memory"
        if deleted:
            message += f"; to go on, these variables were deleted: {', '.join(deleted)}"
        message = trimmed(message, self.output_chars)
        return {"type": "MemoryError", "message": message, "traceback": f"MemoryError: {message}"}

    def _run(self, source: str, filename: str) -> str | None:
        lines = io.StringIO(source, newline=None).readlines()  # as Python counts them
        linecache.cache[filename] = (len(source), None, lines, filename)
        tree: ast.Module = _compiled(source, filename, "exec", ast.PyCF_ONLY_AST)
        if "await" in source:
            make_awaitable(tree)
        last = tree.body[-1] if tree.body else None
        value = None
        if isinstance(last, ast.Expr):
            del tree.body[-1]
        if tree.body:
            run(_compiled(tree, filename, "exec"), self.variables)
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            value = run(_compiled(expression, filename, "eval"), self.variables)
        answer = self.variables.get("answer")
        if isinstance(answer, dict) and answer.get("ready"):
            answer["ready"] = answer.get("content", "") is not None  # else it is an error once
            self._hand_over(_as_text(answer.get("content", "")))
        return None if value is None else shown(value, self.output_chars)

    def _changed_partial(self) -> str:
        """`answer["content"]` if it is a text that the host has not been told yet, or ''."""
        answer = self.variables.get("answer")
        content = answer.get("content") if isinstance(answer, dict) else None
        partial = content[:PIECE_CHARS] if isinstance(content, str) else ""
        return partial if partial != self._partial else ""

    def _partial_told(self, partial: str) -> None:
        self._partial = partial

    # -------------------------------------------------------------- ways to end the run

    def final(self, value: object) -> None:
        """End the run with `value` as its answer. The first call counts."""
        self._hand_over(_as_text(value))
        raise Finished

    def final_var(self, name: object) -> None:
        """End the run with the variable called `name` as its answer."""
        value = name
        if isinstance(name, str):
            key = name.strip().strip("'\"")
            if key in self.variables:
                value = self.variables[key]
            elif key.isidentifier() and not any(v is name for v in self.variables.values()):
                known = ", ".join(self.show_vars()) or "none"
                raise NameError(f"there is no variable {key!r}; the variables are: {known}")
        self.final(value)

    def _hand_over(self, text: str) -> None:
        if self._finished:
            return
        pieces = range(0, len(text), PIECE_CHARS) or (0,)
        for start in pieces:
            end = start + PIECE_CHARS
            ask_host("final", [text[start:end], end < len(text), start == 0])
        self._finished = True

    # ---------------------------------------------------------------------- the helpers

    def show_vars(self) -> dict[str, str]:
        """Your variables: each name with its type, and its length if it has one."""
        return {
            name: _kind_of(value)
            for name, value in self.variables.items()
            if isinstance(name, str)  # `globals()[7] = ...` makes others
            if name not in self._given and not name.startswith("_")
            if not isinstance(value, type(sys))
        }


# ------------------------------------------------------------------------------- output


class Stream(io.TextIOBase):
    """stdout or stderr: the glue counts and caps what is written."""

    encoding = "utf-8"

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        _rlm.write(self._fd, text)
        return len(text)


# ---------------------------------------------------------------------------- small things


def _compiled(source: str | ast.AST, filename: str, mode: str, flags: int = 0) -> Any:
    """As `compile` does, but without what this file has from `__future__`: cells have their own."""
    return compile(source, filename, mode, flags | AWAIT, dont_inherit=True)


def _as_text(value: object) -> str:
    """The text of an answer: a match gives its last group, or all of it if it has none.

    None is what code that finds nothing gives: no answer, but an error to learn from.
    """
    if value is None:
        raise ValueError("the answer is None: nothing was found; look in another way")
    if isinstance(value, re.Match):
        found = value[value.re.groups]
        return "" if found is None else str(found)
    return value if isinstance(value, str) else str(value)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list) else value


def _kind_of(value: object) -> str:
    length = _length(value)
    return type(value).__name__ if length < 0 else f"{type(value).__name__} of {length:,}"


def _length(value: object) -> int:
    """Its length, or -1 if it has none, or one that cannot be told."""
    if isinstance(value, type):
        return -1
    try:
        return len(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a class of the model's may raise anything
        return -1


class Ballast:
    """Memory set aside, and dropped when a cell runs out of it, so that it can be reported."""

    size = 4 << 20

    def __init__(self) -> None:
        self._held: bytearray | None = bytearray(self.size)

    def drop(self) -> None:
        self._held = None

    def restore(self) -> bool:
        """Set it aside again if there is plenty of memory; whether it is set aside."""
        if self._held is None:
            try:
                del bytearray(4 * self.size)[:]
                self._held = bytearray(self.size)
            except MemoryError:
                return False
        return True


_session: Session | None = None
#: How the host's soft interrupt arrives.
_interrupt = _signal.getsignal(_signal.SIGINT)
# Made before the snapshot: there it is zero pages, which a fork shares and never touches.
_ballast = Ballast()
