"""`rlm-local runs`: what was asked before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rlm_local.cli import completion
from rlm_local.cli.options import json_option
from rlm_local.cli.printing import advise, print_json, print_text
from rlm_local.outline import NodeOutline, outline
from rlm_local.records import RunEnded
from rlm_local.units import format_seconds

if TYPE_CHECKING:
    from rlm_local.views import View


@click.group()
def runs() -> None:
    """Look at what was asked before: every run is on record.

    ID is a run's id, the beginning of just one, or `last`.
    """


@runs.command("list")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@json_option("Print a JSON array.")
def runs_list(last: int, as_json: bool) -> None:
    """List the runs, the latest at the end."""
    from rlm_local.runs import RunStore

    store = RunStore()
    ids = store.ids()
    summaries = [store.summary(run_id) for run_id in ids[-last:]]
    if as_json:
        print_json(summaries)
        return
    if len(ids) > last:
        click.echo(f"the last {last:,} of {len(ids):,} runs (--last N)", err=True)
    for summary in summaries:
        started, ended = summary.started, summary.ended
        print_text(
            f"{summary.run_id}  {ended.answer.stop if ended else summary.state:<11}  "
            f"{format_seconds(ended.answer.usage.seconds) if ended else '-':>8}  "
            f"{started.model if started else '?'}  {_brief(started.question if started else '?')}"
        )


@runs.command("show")
@click.argument("run_id", metavar="ID", shell_complete=completion.run_ids)
@click.option("--tree", is_flag=True, help="Show its nodes: one line for the root and each child.")
@json_option("Print one JSON object with all events, or with --tree an array of the nodes.")
def runs_show(run_id: str, tree: bool, as_json: bool) -> None:
    """Show the steps and the answer of run ID."""
    from rlm_local.runs import RunState, RunStore

    store = RunStore()
    record = store.read(store.find(run_id))
    if tree:
        _show_tree(outline(record.events), as_json)
        return
    if as_json:
        print_json(record)
        return
    with _replay() as view:
        for event in record.events:
            view.event(event)
    if record.torn:
        click.echo("the last line of the record was cut short and is left out", err=True)
    match record.events:
        case [*_, RunEnded(answer=answer)]:
            print_text(answer.text)
        case _ if record.state is RunState.RUNNING:
            click.echo("the run is not over: it is at work", err=True)
        case []:
            click.echo("the run has nothing on record: it was killed at once", err=True)
        case _:
            click.echo("the run has no end: it was killed", err=True)
            advise(f"`rlm-local runs resume {record.run_id}` goes on with it")


def _replay() -> View:
    """As the steps of a run that is over, on stdout."""
    if not sys.stdout.isatty():
        from rlm_local.views import PlainView

        return PlainView(sys.stdout)
    from rlm_local.live import TerminalView

    return TerminalView(sys.stdout, moving=False)


def _show_tree(nodes: list[NodeOutline], as_json: bool) -> None:
    """A table with a line for each node; children stand below their parents, further in."""
    if as_json:
        print_json(nodes)
        return
    rows = [("node", "stop", "turns", "calls", "tokens", "time", "question")]
    for node in nodes:
        rows.append(
            (
                "  " * node.depth + node.node,
                node.stop or "-",
                f"{node.turns:,}",
                f"{node.calls:,}",
                f"{node.tokens:,}",
                "-" if node.seconds is None else format_seconds(node.seconds),
                f"{_brief(node.question)} ({node.chars:,} characters)",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, stop, *figures, question in rows:
        aligned = [text.rjust(width) for text, width in zip(figures, widths[2:-1], strict=True)]
        start = f"{name.ljust(widths[0])}  {stop.ljust(widths[1])}"
        print_text("  ".join([start, *aligned, question]))


def _brief(text: str, chars: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[:chars]}…"
