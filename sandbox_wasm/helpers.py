"""What cells can call to read their context: `grep`, `cite` and `chunks`."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterator, Sequence
from typing import overload


class Reader:
    """Reads a context: one text, or several with their names."""

    def __init__(self, context: str | Sequence[str], names: Sequence[str]) -> None:
        self._context, self._names = context, names

    def grep(
        self, pattern: str | re.Pattern[str], around: int = 80, limit: int = 20
    ) -> list[Passage]:
        """Up to `limit` passages of the context: each match of the regular expression
        `pattern` with `around` characters on both sides. A passage is a str that also
        knows its `start`, `end` (for `cite`) and its document's `name` and `number`."""
        if around < 0:
            raise ValueError(f"grep wants around >= 0, not {around}")
        compiled = re.compile(pattern)
        passages: list[Passage] = []
        for number in range(len(self._titles())):
            if len(passages) >= limit:
                break
            found = self._passages(compiled, number, around)
            passages += itertools.islice(found, limit - len(passages))
        return passages

    def _passages(self, pattern: re.Pattern[str], number: int, around: int) -> Iterator[Passage]:
        """Those of one document, which nothing here refers to afterwards."""
        text, name = self._text(number), self._titles()[number]
        for match in pattern.finditer(text):
            start, end = max(0, match.start() - around), min(len(text), match.end() + around)
            yield Passage(text[start:end], start, end, name, number)

    def cite(self, start: int, end: int, name: str | int | None = None) -> str:
        """The characters from `start` to `end` of the context (of its document `name`, or
        of that number), quoted, with where they stand."""
        number = self._number(name)
        name, text = self._titles()[number], self._text(number)
        if not 0 <= start < end <= len(text):
            raise IndexError(f"{start}..{end} is not inside {name!r}, of {len(text)} characters")
        return f'"{text[start:end]}" [{name}, characters {start}-{end}]'

    def _number(self, name: str | int | None) -> int:
        """The number of the document that is meant."""
        names = self._titles()
        if name is None and len(names) > 1:
            raise ValueError(f"say which of the {len(names):,} documents: cite(start, end, name)")
        if name is None:
            return 0
        if isinstance(name, int):
            if not 0 <= name < len(names):
                raise IndexError(f"there are {len(names):,} documents, and no number {name}")
            return name
        count = names.count(name)
        if not count:
            raise KeyError(f"there is no document {name!r}; see context_names")
        number = names.index(name)
        if count > 1:
            raise ValueError(
                f"{count:,} documents are called {name!r}: say which by its number in context, "
                f"as in cite(start, end, {number})"
            )
        return number

    def _titles(self) -> Sequence[str]:
        if isinstance(self._context, str):
            return self._names[:1] or ["context"]
        return self._names

    def _text(self, number: int) -> str:
        return self._context if isinstance(self._context, str) else self._context[number]


class Passage(str):
    """A piece of the context that knows where it stands."""

    start: int
    end: int
    name: str
    number: int

    def __new__(
        cls, text: str, start: int = 0, end: int = 0, name: str = "", number: int = 0
    ) -> Passage:
        passage = super().__new__(cls, text)
        passage.start, passage.end, passage.name, passage.number = start, end, name, number
        return passage


class Chunks(Sequence[str]):
    """`text` in pieces of `chars` characters, each sharing `overlap` with the one before.

    A sequence that cuts a piece when it is asked for: the text is not copied.
    """

    def __init__(self, text: str, chars: int, overlap: int = 0) -> None:
        if not isinstance(text, str):
            raise TypeError(f"chunks cuts one str, not a {type(text).__name__}")
        chars, overlap = operator.index(chars), operator.index(overlap)  # `len(text) / 9` is none
        if not 0 <= overlap < chars:
            raise ValueError(
                f"chunks wants 0 <= overlap < chars, not overlap {overlap} and chars {chars}"
            )
        self._text, self._chars, self._step = text, chars, chars - overlap
        self._count = max(0, -(-(len(text) - overlap) // self._step)) or int(bool(text))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        place = range(self._count)[index] * self._step
        return self._text[place : place + self._chars]

    def __repr__(self) -> str:
        return f"<chunks: {self._count:,} of {self._chars:,} characters>"
