"""`rlm-local runs export`: what runs are good for beside looking at them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from rlm_local.cli import completion
from rlm_local.errors import RunError, UsageError


def _roles(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(value.split(",")))
    if unknown := [role for role in roles if role not in ("root", "child", "sub")]:
        raise click.BadParameter(f"{unknown[0]!r} is none of root, child, sub")
    return roles


@click.command("export")
@click.argument("names", metavar="[ID]...", nargs=-1, shell_complete=completion.run_ids)
@click.option("--sft", is_flag=True, help="As samples for supervised fine-tuning.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="A file; by default stdout."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    shell_complete=completion.models,
    help="Only what this model said; may be repeated.",
)
@click.option(
    "--roles",
    default="root",
    show_default=True,
    callback=_roles,
    help="Whose turns: root, child and sub, with commas between.",
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines with run_id and score; other runs are left out.",
)
@click.option("--min-score", type=float, help="Drop runs that score less. A score of 0 always is.")
@click.option(
    "--most-chars",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Learn no turn that is longer.",
)
@click.option("--thoughts", is_flag=True, help="Learn what was thought before a turn as well.")
def runs_export(
    names: tuple[str, ...],
    sft: bool,
    out: Path | None,
    models: tuple[str, ...],
    roles: tuple[str, ...],
    scores: Path | None,
    min_score: float | None,
    most_chars: int,
    thoughts: bool,
) -> None:
    """Write what runs [ID]... have to teach, or all runs; counts of what was done on stderr.

    One JSON line for each turn: `messages` is the whole dialogue up to it, the turn last.
    A run that was not answered is dropped, and one of a single turn; no turn is learned that
    raised an error, repeated the one before or was not run; small mistakes of form are
    repaired. Samples hold all that the model was shown of a prompt: treat them like it.
    """
    from rlm_local import jsontext
    from rlm_local.runs import RunStore
    from rlm_local.training.samples import Selection, read_scores, samples

    if not sft:
        raise UsageError("there is nothing to export as", hint="add --sft")
    if min_score is not None and scores is None:
        raise UsageError("no run has a score of its own", hint="give them with --scores")
    selection = Selection(
        roles=roles,
        models=models,
        scores=read_scores(scores) if scores else None,
        least_score=min_score or 0.0,
        most_chars=most_chars,
        thoughts=thoughts,
    )
    store = RunStore()
    ids = list(dict.fromkeys(map(store.find, names))) if names else store.ids()
    tally: Counter[str] = Counter()
    if lost := len((selection.scores or {}).keys() - store.ids()):
        tally["scores of runs that are not here"] = lost
    with _opened(out) as file:
        for run_id in ids:
            try:
                record = store.read(run_id)
            except RunError:
                if names:
                    raise
                tally["runs left out: damaged"] += 1
                continue
            for sample in samples(record, selection, tally):
                file.write(jsontext.encode(sample) + b"\n")
    for what, number in sorted(tally.items()):
        click.echo(f"{number:8,}  {what}", err=True)


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file that takes the place of `path` when it is whole. What is no file, such
    as /dev/null or a pipe, stays in its place and is written to."""
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists() and not path.is_file():
        with _writable(path, path) as file:
            yield file
        return
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        with _writable(unfinished, path) as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _writable(path: Path, out: Path) -> BinaryIO:
    """`path` opened to be written; errors name `out`, which is what the user gave."""
    try:
        return path.open("wb")
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror}",
            hint="name a file in a folder that is there, and is yours to write to",
        ) from error
