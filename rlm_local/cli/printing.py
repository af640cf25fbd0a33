"""What goes to stdout and stderr, and in what form."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click
import msgspec

from rlm_local.cli.options import named_by_option
from rlm_local.records import Record
from rlm_local.views import visible

#: Exit codes that are no error's own: as a shell reports SIGINT and SIGPIPE.
INTERRUPTED = 130
BROKEN_PIPE = 141


def print_text(text: str) -> None:
    """`text` on stdout: exactly as it is for a program, made harmless for a terminal."""
    if not text:
        return
    shown = visible(text) if sys.stdout.isatty() else text
    ending = "" if shown.endswith("\n") else "\n"
    _write(f"{shown}{ending}".encode("utf-8", "backslashreplace"))


def as_object(record: Record) -> dict[str, Any]:
    """The fields of `record`, to print with others."""
    fields: dict[str, Any] = msgspec.to_builtins(record, enc_hook=str)
    return fields


def print_json(value: object) -> None:
    from rlm_local import jsontext

    _write(jsontext.encode(value) + b"\n")


def _write(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def complain(message: str, hint: str = "") -> None:
    """An error on stderr. Where nobody reads that, the exit code says enough."""
    with contextlib.suppress(OSError):
        click.echo(f"error: {visible(named_by_option(message))}", err=True)
    advise(hint)


def advise(hint: str) -> None:
    """What to try, on stderr; nothing if there is no `hint`."""
    with contextlib.suppress(OSError):
        if hint:
            click.echo(f"hint: {visible(named_by_option(hint))}", err=True)
