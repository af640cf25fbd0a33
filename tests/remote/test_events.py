"""Server-sent events, however they are cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.remote.events import MOST_EVENT_BYTES, EventReader, EventTooLongError


def events(*pieces: bytes) -> list[bytes]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\r\n\r\ndata: b\r\rx", [b"a", b"b"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": ping\n\n: ping\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\ndata: a\nretry: 5\n\n", [b"a"]),
        (b'error: {"code": 1}\n\n', [b'{"code": 1}']),
        (b"data\n\n", [b""]),
        (b"data: never ended", []),
        (b"\n\n\n", []),
    ],
)
def test_what_is_found(stream: bytes, found: list[bytes]) -> None:
    assert events(stream) == found


@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b"\n", b"\r\n", b"\r", b":c", b"x"])), st.data()
)
def test_pieces_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts) + b"\n\n"
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events(*pieces) == events(stream)
    assert events(*(bytes([byte]) for byte in stream)) == events(stream)


def test_the_longest_event() -> None:
    fits = b"data:" + b"x" * (MOST_EVENT_BYTES - 5)
    assert events(fits, b"\n\n") == [fits[5:]]
    with pytest.raises(EventTooLongError):
        events(fits, b"x")


def test_an_event_of_many_lines_is_bounded_too() -> None:
    with pytest.raises(EventTooLongError):
        events(*[b"data:\n" * 1_000] * 1_000)
