"""Server-sent events: what a stream of bytes says, event by event."""

from __future__ import annotations

import re

MOST_EVENT_BYTES = 1 << 20
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a CR at the end may be half of a CRLF


class EventTooLongError(Exception):
    """An event has more than MOST_EVENT_BYTES bytes."""


class EventReader:
    """Finds the events of one stream. Never keeps more than one event's bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes. Raises EventTooLongError."""
        self._rest += piece
        events = []
        if b"\n" in piece or b"\r" in piece or self._rest.endswith(b"\r"):
            *lines, rest = _LINE_END.split(bytes(self._rest))
            self._rest = bytearray(rest)
            for line in lines:
                if line:
                    self._take(line)
                elif self._data:
                    events.append(self._event())
        if self._size + len(self._rest) > MOST_EVENT_BYTES:
            raise EventTooLongError
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        # Some servers tell of errors in a field of that name. Others are not for us:
        # comments, which keep a connection alive, have no name.
        if name not in (b"data", b"error"):
            return
        self._data.append(value.removeprefix(b" "))
        self._size += len(line)
        if self._size > MOST_EVENT_BYTES:
            raise EventTooLongError

    def _event(self) -> bytes:
        data = b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return data
