"""Sizes, times and numbers as people write them: `2GiB`, `500 MB`, `1h30m`, `1 turn`."""

from __future__ import annotations

import math
import re

from rlm_local.errors import ConfigError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?b)?|b)?\s*", re.IGNORECASE)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_PREFIXES = " kmgt"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str) -> int:
    """Bytes in `text`: a plain number, or one with B, kB, MB, GB, TB, KiB, MiB, GiB, TiB.

    A bare letter (`2G`) is binary, as in most tools that limit memory.
    Raises ConfigError.
    """
    match = _SIZE.fullmatch(text)
    if match:
        number, prefix, tail = match[1], match[2] or " ", match[3] or ""
        base = 1000 if tail.lower() == "b" else 1024
        size = float(number) * base ** _PREFIXES.index(prefix.lower())
        if math.isfinite(size):
            return int(size)
    raise ConfigError(f"{text!r} is not a size", hint="write it like 512MiB, 2GiB or 2000000000")


def parse_seconds(text: str) -> float:
    """Seconds in `text`: a plain number, or one or more of ms, s, m, h, d (`1h30m`).

    Raises ConfigError.
    """
    # Not by IGNORECASE, for which the long s, U+017F, is an s too.
    stripped = text.strip().lower()
    seconds = math.inf
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        seconds = float(stripped)
    elif (parts := _TIME.findall(stripped)) and not _TIME.sub("", stripped):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not math.isfinite(seconds):
        raise ConfigError(f"{text!r} is not a time", hint="write it like 90s, 10m or 1h30m")
    return seconds


def format_bytes(count: int) -> str:
    """`count` bytes with a binary unit and three figures: 512 B, 1.50 MiB, 40.0 GiB."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 4)
    value = count / 1024**power
    if value >= 1023.5 and power < 4:
        value, power = value / 1024, power + 1
    unit = ("KiB", "MiB", "GiB", "TiB")[power - 1]
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def counted(number: int, thing: str) -> str:
    """`1 turn`, `2,000 turns`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def format_seconds(seconds: float) -> str:
    """`seconds` at a useful precision: 3.2 ms, 1.50 s, 41.0 s, 12m05s, 3h07m."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 9.995 else 1}f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
