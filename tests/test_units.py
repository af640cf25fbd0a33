"""Sizes and times as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import ConfigError
from rlm_local.units import format_bytes, format_seconds, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1024", 1024),
        ("0", 0),
        ("512MiB", 512 << 20),
        ("2 GiB", 2 << 30),
        ("2gib", 2 << 30),
        ("2G", 2 << 30),
        ("1.5k", 1536),
        ("1.5kB", 1500),
        ("500 MB", 500_000_000),
        ("7B", 7),
    ],
)
def test_sizes(text: str, count: int):
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1 XB", "1ib", "GiB", "1e9", "1 2", "1GiBB", "9" * 400]
)
def test_what_is_not_a_size(text: str):
    with pytest.raises(ConfigError, match="is not a size") as caught:
        parse_bytes(text)
    assert "2GiB" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("0.5", 0.5), ("90s", 90.0), ("10M", 600.0), ("1h30m", 5400.0), ("5 ms", 0.005)],
)
def test_times(text: str, seconds: float):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1s", "1 week", "1h then", "1..5s", "5ſ", "5mſ", "9" * 400, "9" * 400 + "h"],
)
def test_what_is_not_a_time(text: str):
    with pytest.raises(ConfigError, match="is not a time"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10_234, "9.99 KiB"),
        (10_239, "10.0 KiB"),
        (102_399, "100 KiB"),
        ((1 << 20) - 1, "1.00 MiB"),
        ((1 << 40) - 1, "1.00 TiB"),
        (40_000_000, "38.1 MiB"),
        (512 << 20, "512 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_formatted_sizes(count: int, text: str):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0032, "3.2 ms"),
        (1.5, "1.50 s"),
        (41, "41.0 s"),
        (59.97, "1m00s"),
        (725, "12m05s"),
        (3 * 3600 + 425, "3h07m"),
    ],
)
def test_formatted_times(seconds: float, text: str):
    assert format_seconds(seconds) == text


@given(st.integers(0, 1 << 60))
def test_a_formatted_size_reads_back_within_its_precision(count: int):
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.01)
