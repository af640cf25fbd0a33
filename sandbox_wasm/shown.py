"""What the model is shown of a value or an exception: short, whatever it is.

A model reads what a cell gave token by token, so a value is shown as `repr` shows
it while that is short, and in outline beyond that; the long form is never built.
"""

from __future__ import annotations

import linecache
import traceback
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from types import CodeType, TracebackType
from typing import ClassVar

#: Frames of a traceback that are shown: the outermost and the innermost.
OUTER_FRAMES, INNER_FRAMES = 2, 6
#: Exceptions of a group that are shown.
MEMBERS = 3


def described(error: BaseException, cap: int, hidden: Container[str] = ()) -> dict[str, str]:
    """The type, message and short traceback of an exception, each of about `cap`
    characters at most. Frames of the files `hidden` are not shown."""
    detail = _detail(error, error.__traceback__)
    lines = _frame_lines(error.__traceback__, hidden)
    lines += [trimmed(line, cap // 2) for line in detail.format_exception_only()]
    for member in islice(_members(error), MEMBERS):
        only = _detail(member).format_exception_only()
        lines += [f"  | {trimmed(line, cap // (2 * MEMBERS))}" for line in only]
    if error.__cause__ is not None:
        lines.append(f"(caused by {type(error.__cause__).__name__})")
    elif error.__context__ is not None and not error.__suppress_context__:
        lines.append(f"(while handling {type(error.__context__).__name__})")
    return {
        "type": type(error).__name__,
        "message": trimmed(str(detail), cap),
        "traceback": trimmed("".join(lines).rstrip("\n"), cap),
    }


def _detail(
    error: BaseException, trace: TracebackType | None = None
) -> traceback.TracebackException:
    return traceback.TracebackException(type(error), error, trace, limit=0, compact=True)


def _members(error: BaseException) -> Iterator[BaseException]:
    """What is in a group, and in the groups in that: why a `TaskGroup` has failed."""
    left = [error] if isinstance(error, BaseExceptionGroup) else []
    while left:
        member = left.pop()
        if isinstance(member, BaseExceptionGroup):
            left += reversed(member.exceptions)
        else:
            yield member


def _frame_lines(trace: TracebackType | None, hidden: Container[str]) -> list[str]:
    """The frames of a traceback without the hidden ones, and without those in the middle."""
    outer: list[tuple[CodeType, int]] = []
    inner: deque[tuple[CodeType, int]] = deque(maxlen=INNER_FRAMES)
    count = 0
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename not in hidden:
            count += 1
            (outer if count <= OUTER_FRAMES else inner).append((code, trace.tb_lineno))
        trace = trace.tb_next
    if not count:
        return []
    left_out = count - len(outer) - len(inner)
    gap = [f"  ... {left_out:,} more calls ...\n"] if left_out else []
    return [
        "Traceback (most recent call last):\n",
        *(_frame_line(code, number) for code, number in outer),
        *gap,
        *(_frame_line(code, number) for code, number in inner),
    ]


def _frame_line(code: CodeType, number: int) -> str:
    place = f'  File "{code.co_filename}", line {number}, in {code.co_name}\n'
    if not code.co_filename.startswith("<cell "):
        return place
    line = linecache.getline(code.co_filename, number).strip()
    return f"{place}    {trimmed(line, 200)}\n" if line else place


def trimmed(text: str, cap: int) -> str:
    """`text`, its middle left out if it is longer than `cap` characters."""
    if len(text) <= cap:
        return text
    half = cap // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters ... {text[-half:]}"


def shown(value: object, cap: int) -> str:
    """`repr(value)` if that has at most `cap` characters; otherwise a shorter form of it.

    For the builtin types the long form is never built, whatever their size.
    """
    return Sketch(cap).of(value)


class Sketch:
    """A repr that stops growing when `left` characters are used up."""

    brackets: ClassVar[dict[object, tuple[str, str]]] = {
        list.__repr__: ("[", "]"),
        tuple.__repr__: ("(", ")"),
        set.__repr__: ("{", "}"),
        frozenset.__repr__: ("{", "}"),
        deque.__repr__: ("[", "]"),
        dict.__repr__: ("{", "}"),
        Counter.__repr__: ("{", "}"),
        type({}.keys()).__repr__: ("[", "]"),
        type({}.values()).__repr__: ("[", "]"),
        type({}.items()).__repr__: ("[", "]"),
    }
    #: These do not name their type, nor does `set` if it is that very type.
    unnamed = (list.__repr__, tuple.__repr__, dict.__repr__)
    strings = (str.__repr__, bytes.__repr__, bytearray.__repr__)
    deepest = 30

    def __init__(self, cap: int) -> None:
        self.left = cap
        self._open: set[int] = set()

    def of(self, value: object) -> str:
        """The repr of `value`, cut to what is left."""
        written = type(value).__repr__
        if written in self.strings:
            return self._spend(self._string(value))  # type: ignore[arg-type]
        if written not in self.brackets or not value or _is_limited_deque(value):
            return self._spend(trimmed(repr(value), max(self.left, 40)))
        opening, closing = self.brackets[written]
        if id(value) in self._open or len(self._open) >= self.deepest:
            return self._spend(f"{opening}...{closing}")
        if written not in self.unnamed and type(value) is not set:
            name = trimmed(type(value).__name__, max(self.left, 40))
            opening, closing = f"{name}({opening}", f"{closing})"
        self._open.add(id(value))
        self._spend(opening + closing)
        items = self._pairs(value) if isinstance(value, dict) else map(self.of, value)  # type: ignore[call-overload]
        text = self._joined(items, len(value), lone_comma=written is tuple.__repr__)  # type: ignore[arg-type]
        self._open.discard(id(value))
        return opening + text + closing

    def _joined(self, items: Iterator[str], count: int, *, lone_comma: bool) -> str:
        parts: list[str] = []
        for item in items:
            parts.append(item)
            if len(parts) == count:
                break
            self._spend(", ")
            if self.left <= 0:
                parts.append(f"... {count - len(parts):,} more")
                break
        return ", ".join(parts) + self._spend("," if lone_comma and count == 1 else "")

    def _pairs(self, value: dict[object, object]) -> Iterator[str]:
        pairs: Iterable[tuple[object, object]] = value.items()
        if isinstance(value, Counter) and len(value) <= self.left:
            with suppress(TypeError):  # of counts that have no order
                pairs = value.most_common()
        for key, item in pairs:
            yield f"{self.of(key)}{self._spend(': ')}{self.of(item)}"

    def _string(self, value: str | bytes | bytearray) -> str:
        room = max(self.left, 40)
        if len(value) <= room:
            text = repr(value)
            if len(text) <= room:
                return text
        half = room // 2
        head, tail = repr(value[:half])[:half], repr(value[-half:])[-half:]
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{head}...{tail} ({len(value):,} {unit})"

    def _spend(self, text: str) -> str:
        self.left -= len(text)
        return text


def _is_limited_deque(value: object) -> bool:
    return isinstance(value, deque) and value.maxlen is not None
