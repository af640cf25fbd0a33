"""Going through a recorded run again: to end it, to prove it, or to take another turn.

All three run the controller's own loop with a journal that holds the record (see
`journal`); they differ in what happens where the record ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from rlm_local import controller
from rlm_local.asked import check_asked
from rlm_local.errors import RunError
from rlm_local.fork import ForkJournal
from rlm_local.journal import Journal
from rlm_local.limits import Limits
from rlm_local.past import PASSING, Past, until_turn
from rlm_local.prompt import Prompt, open_kept, open_prompt
from rlm_local.records import Answer, Event, ModelInfo, Resumed, RunStarted
from rlm_local.replay import Replay, ReplayJournal, SilentModel
from rlm_local.runs import CHECKPOINTS, PROMPT, RunRecord, RunSetup, RunStore
from rlm_local.runtime import Runtime, recorder
from rlm_local.sandbox import Sandbox

#: The wall clock of a replay, which nothing waits for.
_AMPLE_SECONDS = 1e9
#: How much longer a cell may take in a replay, on a busy machine: one that came to its end then
#: is to come to it again.
_SLOWER, _LEAST_CELL_SECONDS = 10, 60.0


def resume(
    runtime: Runtime,
    run_id: str,
    *,
    on_past: Callable[[Sequence[Event]], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Go on with a run that was killed, interrupted, or ended by a model or sandbox that failed.

    `runtime` has the run's models. `on_past` gets what is on record, once it is sure that the
    run can go on; `on_event` what is recorded from then on.
    Raises RunError if the run has ended, is still running or cannot be gone on with.
    """
    store = runtime.store
    setup = store.setup(run_id)
    record, run = store.reopen(run_id)
    with run:
        started = _start_of(record.events, run_id)
        if (ended := Past(record.events).ended) is not None and ended.answer.stop not in PASSING:
            raise RunError(
                f"run {run_id} has ended: {ended.answer.stop}",
                hint="`rlm-local runs fork` begins a new run from any turn of it",
            )
        _check_models(run_id, setup, runtime)
        with reopen_prompt(store, run_id, setup) as prompt:
            resumed = Resumed(time=time.time(), used_seconds=record.used_seconds)
            run.append(resumed)
            events = [*record.events, resumed]
            if on_past is not None:
                on_past(events)
            journal = Journal(
                recorder(run, on_event),
                past=Past(events),
                checkpoints=run.folder / CHECKPOINTS,
            )
            return runtime.carry_out(
                run_id,
                started.question,
                prompt,
                journal,
                limits=_limits_of(started),
                mode=started.mode,
                turn_form=started.turn_form,
                seed=started.seed,
                used_seconds=resumed.used_seconds,
            )


def fork(
    runtime: Runtime,
    run_id: str,
    turn: int,
    *,
    question: str | None = None,
    limits: Limits | None = None,
    seed: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Begin a new run that goes as another one did up to the end of the root's turn `turn`.

    `question`, `limits` and `seed` are the other run's if they are not given; the
    models are the runtime's. Raises RunError, and UsageError for an empty question.
    """
    store = runtime.store
    setup = store.setup(run_id)
    events = store.read(run_id).events
    started = _start_of(events, run_id)
    asked = started.question if question is None else question
    seed = started.seed if seed is None else seed
    check_asked(asked, seed)
    if started.mode != "rlm":
        raise RunError(f"run {run_id} was asked directly: it has no turns", hint="ask anew")
    last = Past(events).last_ran()
    if not 0 <= turn <= last:
        raise RunError(
            f"run {run_id} has {last} turns that came to their end, so there is no turn {turn}",
            hint="`rlm-local runs show` has them; 0 begins before the first",
        )
    same_sub_model = not _unlike(setup.sub_info or setup.info, runtime.sub_model.info)
    same = same_sub_model and not _unlike(setup.info, runtime.model.info)
    past = Past(until_turn(events, turn, said_by_others=not same_sub_model))
    with reopen_prompt(store, run_id, setup) as prompt, runtime.begin(prompt) as run:
        return runtime.carry_out(
            run.run_id,
            asked,
            prompt,
            ForkJournal(
                recorder(run, on_event),
                past=past,
                checkpoints=run.folder / CHECKPOINTS,
                others_turns=min(turn, started.others_turns) if same else turn,
            ),
            limits=_limits_of(started) if limits is None else limits,
            mode="rlm",
            turn_form=started.turn_form,
            seed=seed,
        )


def replay(store: RunStore, run_id: str, sandbox: Sandbox) -> Replay:
    """Run all cells of a run again and compare what they give with the record, byte by byte.

    Raises RunError if the run or its prompt cannot be had any more, SandboxError.
    """
    setup = store.setup(run_id)
    events = store.read(run_id).events
    started = _start_of(events, run_id)
    journal = ReplayJournal(Past(events))
    limits = _limits_of(started)
    limits = msgspec.structs.replace(
        limits,
        wall_seconds=_AMPLE_SECONDS,
        cell_seconds=min(_AMPLE_SECONDS, _SLOWER * limits.cell_seconds + _LEAST_CELL_SECONDS),
    )
    with reopen_prompt(store, run_id, setup) as prompt:
        controller.answer(
            started.question,
            prompt,
            model=SilentModel(setup.info),
            sub_model=SilentModel(setup.sub_info or setup.info),
            sandbox=sandbox,
            limits=limits,
            run_id=run_id,
            record=journal.record,
            mode=started.mode,
            turn_form=started.turn_form,
            seed=started.seed,
            journal=journal,
        )
    return journal.result(run_id)


def reopen_prompt(store: RunStore, run_id: str, setup: RunSetup) -> Prompt:
    """The prompt of a recorded run. Raises RunError if it is gone, or not the same any more."""
    kept = store.folder / run_id / PROMPT
    if gone := [source for source in setup.sources if not os.path.exists(source)]:
        raise RunError(
            f"the prompt of run {run_id} is gone: there is no {', '.join(gone)}",
            hint="bring it back; the text of a demo is removed when its run is over, so ask anew "
            "over a file of yours",
        )
    if not setup.sources and not kept.is_dir():
        raise RunError(
            f"the prompt of run {run_id} came from a stream or from memory and is not kept",
            hint="a large one is kept only until its run has ended; ask anew",
        )
    prompt = (
        open_prompt(
            [Path(source) for source in setup.sources],
            bad_bytes="replace" if setup.replace_bad_bytes else "error",
        )
        if setup.sources
        else open_kept(kept)
    )
    if prompt.identity != setup.identity:
        prompt.close()
        where = ", ".join(setup.sources) or str(kept)
        raise RunError(
            f"the prompt of run {run_id} is not what it was: {where} has other content now",
            hint="ask anew, or bring the old content back",
        )
    return prompt


def _check_models(run_id: str, setup: RunSetup, runtime: Runtime) -> None:
    """Raise RunError if a model is not the one that the run had, as far as its replies tell."""
    for was, model in (
        (setup.info, runtime.model),
        (setup.sub_info or setup.info, runtime.sub_model),
    ):
        if found := _unlike(was, model.info):
            what, hint = found
            raise RunError(
                f"run {run_id} was made with {what}",
                hint=f"{hint}, or `rlm-local runs fork` the run",
            )


def _unlike(was: ModelInfo, now: ModelInfo) -> tuple[str, str] | None:
    """How what a run was made with differs from the model of now, and what to do; None if it
    would have had the same replies and the same refusals.

    How it is computed (KV type, threads, layers on a GPU) does not count. Of a model on a
    server, only the name and the window are known.
    """
    if was.name != now.name:
        return f"the model {was.name}, not with {now.name}", "name that model"
    if was.weights != now.weights:
        old, new = (weights[:16] or "unknown" for weights in (was.weights, now.weights))
        return (
            f"other weights of the model {was.name}: their digest was {old}, and is {new}",
            "bring the old file back",
        )
    if was.context_tokens != now.context_tokens:
        return (
            f"a window of {was.context_tokens:,} tokens for the model {was.name}, not of "
            f"{now.context_tokens:,}",
            "give it that window",
        )
    return None


def _start_of(events: tuple[Event, ...], run_id: str) -> RunStarted:
    started = Past(events[:1]).started
    if started is None:
        raise RunError(f"the record of run {run_id} has no start", hint="ask the question anew")
    return started


def limits_of(record: RunRecord) -> Limits:
    """The limits of a recorded run. Raises RunError."""
    return _limits_of(_start_of(record.events, record.run_id))


def _limits_of(started: RunStarted) -> Limits:
    try:
        return msgspec.convert(started.limits, Limits)
    except msgspec.ValidationError as error:
        raise RunError(
            f"run {started.run_id} is of another version of this program: {error}",
            hint="go on with it in that version, or ask the question anew",
        ) from error
