"""`rlm-local runs resume`, `replay`, `fork` and `gc`: going through recorded runs again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rlm_local.cli import wall
from rlm_local.cli.ask import chosen_view, exit_code, show_answer
from rlm_local.cli.options import json_option, limit_options, output_options
from rlm_local.cli.printing import complain, print_json, print_text
from rlm_local.records import Answer, RunEnded
from rlm_local.units import format_bytes

if TYPE_CHECKING:
    from rlm_local.runs import RunSetup, RunStore
    from rlm_local.runtime import Runtime
    from rlm_local.views import View

_run_id = click.argument("run_id", metavar="ID")


@click.command("resume")
@_run_id
@output_options
def runs_resume(run_id: str, as_json: bool, events: bool, quiet: bool) -> int:
    """Go on with run ID, which was killed or interrupted.

    No turn that had ended is taken again, and no call of the model that had come back
    is made again. Its limits go on counting where they stood.
    """
    from rlm_local.rerun import resume
    from rlm_local.runs import RunStore

    store = RunStore()
    run_id = store.find(run_id)
    view = chosen_view(as_json=as_json, events=events, quiet=quiet)
    setup = store.setup(run_id)
    before = store.read(run_id).events

    def go_on(runtime: Runtime, view: View) -> Answer:
        if not events:
            for event in before:
                if not isinstance(event, RunEnded):
                    view.event(event)
        return resume(runtime, run_id, on_event=view.event)

    return _carry_out(go_on, store, setup, setup.model, view, as_json=as_json, silent=events)


@click.command("fork")
@_run_id
@click.option("--turn", type=click.INT, required=True, help="The last turn to take over; 0: none.")
@click.option("--question", help="Another question.")
@click.option("--model", "-m", help="Another model: a name or the path of a GGUF file.")
@limit_options
@click.option("--seed", type=click.INT, help="Another seed.")
@output_options
def runs_fork(
    run_id: str,
    turn: int,
    question: str | None,
    model: str | None,
    seed: int | None,
    as_json: bool,
    events: bool,
    quiet: bool,
    **limits: object,
) -> int:
    """Begin a new run that goes as run ID did up to a turn, and then its own way.

    The code of those turns runs anew; a call of the model that asks the same as before
    gets the recorded reply.
    """
    from rlm_local.config import change_limits
    from rlm_local.rerun import fork, limits_of
    from rlm_local.runs import RunStore

    store = RunStore()
    run_id = store.find(run_id)
    view = chosen_view(as_json=as_json, events=events, quiet=quiet)
    setup = store.setup(run_id)
    given = {name: value for name, value in limits.items() if value is not None}
    wanted = change_limits(limits_of(store.read(run_id)), given)

    def go_on(runtime: Runtime, view: View) -> Answer:
        return fork(
            runtime,
            run_id,
            turn,
            question=question,
            limits=wanted,
            seed=seed,
            on_event=view.event,
        )

    name = setup.model if model is None else model
    return _carry_out(go_on, store, setup, name, view, as_json=as_json, silent=events)


def _carry_out(
    go_on: Callable[[Runtime, View], Answer],
    store: RunStore,
    setup: RunSetup,
    model: str,
    view: View,
    *,
    as_json: bool,
    silent: bool,
) -> int:
    """Run to the end with the parts that the recorded run had, and print the answer."""
    from rlm_local.runtime import Runtime

    wall.put_up(map(Path, setup.sources), model)
    with (
        view,
        Runtime(
            model=model,
            context_tokens=setup.context_tokens if model == setup.model else None,
            threads=setup.threads,
            store=store,
            progress=view.progress,
        ) as runtime,
    ):
        answer = go_on(runtime, view)
        show_answer(answer, view, as_json=as_json, silent=silent)
    return exit_code(answer.stop)


@click.command("replay")
@_run_id
@json_option("Print one JSON object: what was compared, and what came out otherwise.")
def runs_replay(run_id: str, as_json: bool) -> int:
    """Run the code of run ID again and compare what it gives with the record.

    No model is needed. The sandbox is deterministic: every observation must come out byte
    by byte as it is on record. Exit code 1 if one does not.
    """
    from rlm_local import runtime
    from rlm_local.rerun import replay
    from rlm_local.runs import RunStore

    store = RunStore()
    run_id = store.find(run_id)
    wall.put_up(map(Path, store.setup(run_id).sources), None)
    sandbox = runtime.start_sandbox(lambda stage: click.echo(stage, err=True))
    try:
        found = replay(store, run_id, sandbox)
    finally:
        sandbox.close()
    if as_json:
        print_json({**msgspec.to_builtins(found), "equal": found.equal})
    else:
        for difference in found.differences:
            complain(f"{difference.event}: {difference.what}")
        for passed in found.passed_over:
            click.echo(f"passed over, since a clock had stopped it: {passed}", err=True)
        print_text(
            f"{found.cells} cells and {found.events} events of run {run_id} compared: "
            + ("all equal" if found.equal else f"{len(found.differences)} differ")
        )
    return 0 if found.equal else 1


@click.command("gc")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also of runs that were killed or interrupted: they cannot be resumed after this.",
)
@json_option("Print one JSON object: bytes freed, by run.")
def runs_gc(everything: bool, as_json: bool) -> None:
    """Remove checkpoints and kept prompts of runs that have ended. The records stay."""
    from rlm_local.runs import RunStore

    freed = RunStore().collect(resumable=everything)
    if as_json:
        print_json(freed)
        return
    for run_id, size in freed.items():
        print_text(f"{run_id}  {format_bytes(size)}")
    click.echo(f"freed {format_bytes(sum(freed.values()))} of {len(freed)} runs", err=True)
