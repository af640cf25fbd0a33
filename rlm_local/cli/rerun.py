"""`rlm-local runs resume`, `replay`, `fork` and `gc`: going through recorded runs again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rlm_local.cli import completion, wall
from rlm_local.cli.ask import chosen_view, exit_code, say_why, show_answer, start_runtime
from rlm_local.cli.options import (
    changed_limit_options,
    json_option,
    model_options,
    output_options,
)
from rlm_local.cli.printing import complain, print_json, print_text
from rlm_local.records import Answer, Event, ModelInfo, RunEnded
from rlm_local.units import counted, format_bytes

if TYPE_CHECKING:
    from rlm_local.config import Config
    from rlm_local.limits import Limits
    from rlm_local.runs import RunSetup
    from rlm_local.runtime import Runtime
    from rlm_local.views import View

_run_id = click.argument("run_id", metavar="ID", shell_complete=completion.run_ids)


@click.command("resume")
@_run_id
@output_options
def runs_resume(run_id: str, as_json: bool, events: bool, quiet: bool) -> int:
    """Go on with run ID, which was killed or interrupted.

    No turn that had ended is taken again, and no call of the model that had come back
    is made again. Its limits go on counting where they stood.
    """
    from rlm_local.rerun import limits_of, resume
    from rlm_local.runs import RunStore

    store = RunStore()
    run_id = store.find(run_id)
    view = chosen_view(as_json=as_json, events=events, quiet=quiet)
    setup = store.setup(run_id)

    def show_past(past: Sequence[Event]) -> None:
        for event in past:
            if not (events or isinstance(event, RunEnded)):
                view.event(event)

    def go_on(runtime: Runtime, view: View) -> Answer:
        return resume(runtime, run_id, on_past=show_past, on_event=view.event)

    config = _config_of(setup, limits_of(store.read(run_id)))
    if setup.sub_info is None:  # as it fits, it could be another now
        config = msgspec.structs.replace(config, context_tokens=setup.info.context_tokens)
    return _carry_out(go_on, setup, config, view, as_json=as_json, events=events, quiet=quiet)


@click.command("fork")
@_run_id
@click.option("--turn", type=click.INT, required=True, help="The last turn to take over; 0: none.")
@click.option("--question", help="Another question.")
@model_options
@changed_limit_options
@click.option("--seed", type=click.INT, help="Another seed.")
@output_options
def runs_fork(
    run_id: str,
    turn: int,
    question: str | None,
    model: str | None,
    sub_model: str | None,
    lora: tuple[str, ...],
    sub_lora: tuple[str, ...],
    seed: int | None,
    as_json: bool,
    events: bool,
    quiet: bool,
    **limits: object,
) -> int:
    """Begin a new run that goes as run ID did up to a turn, and then its own way.

    The code of those turns runs anew; a call of the model that asks the same as before
    gets the recorded reply. A model that is not named is the one that run ID had, with
    its adapters.
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

    config = _config_of(setup, wanted)
    if model is not None:  # what was set for the other one need not suit it
        config = msgspec.structs.replace(
            config, model=model, lora=lora, context_tokens=None, draft_model=None
        )
    elif lora:
        config = msgspec.structs.replace(config, lora=lora)
    if sub_model is not None or sub_lora:
        config = msgspec.structs.replace(
            config, sub_model=sub_model or setup.sub_model, sub_lora=sub_lora
        )
    return _carry_out(go_on, setup, config, view, as_json=as_json, events=events, quiet=quiet)


def _config_of(setup: RunSetup, limits: Limits) -> Config:
    """The settings that concern the parts of a recorded run."""
    from rlm_local.config import Config

    return Config(
        model=setup.model,
        sub_model=setup.sub_model,
        lora=_as_given(setup.info),
        sub_lora=_as_given(setup.sub_info),
        draft_model=setup.draft_model,
        reuse_calls=setup.reuse_calls,
        limits=limits,
        **setup.by_name(),
    )


def _as_given(info: ModelInfo | None) -> tuple[str, ...]:
    return tuple(f"{each.path}:{each.scale!r}" for each in (info.adapters if info else ()))


def _carry_out(
    go_on: Callable[[Runtime, View], Answer],
    setup: RunSetup,
    config: Config,
    view: View,
    *,
    as_json: bool,
    events: bool,
    quiet: bool,
) -> int:
    """Run to the end with the parts that the recorded run had, and print the answer."""
    with view, start_runtime(map(Path, setup.sources), config, view) as runtime:
        answer = go_on(runtime, view)
        started = runtime.store.summary(answer.run_id).started
        skipped = started.prompt.get("skipped") if started is not None else 0
        show_answer(
            answer,
            view,
            as_json=as_json,
            silent=events,
            skipped=skipped if isinstance(skipped, int) else 0,
        )
    say_why(answer, quiet=quiet, silent=as_json or events)
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
    wall.put_up(map(Path, store.setup(run_id).sources))
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
            click.echo(f"passed over, since a clock or its share had ended it: {passed}", err=True)
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
    total = format_bytes(sum(freed.values()))
    click.echo(f"freed {total} of {counted(len(freed), 'run')}", err=True)
