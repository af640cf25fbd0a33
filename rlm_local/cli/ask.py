"""`rlm-local ask` and `rlm-local demo`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlm_local.cli import wall
from rlm_local.cli.options import (
    LIMITS,
    SIZE,
    config_option,
    limit_options,
    memory_options,
    model_options,
    output_options,
    speculation_options,
)
from rlm_local.cli.printing import INTERRUPTED, advise, complain, print_json, print_text
from rlm_local.errors import (
    DiskError,
    LimitReached,
    ModelError,
    RlmError,
    SandboxError,
    UsageError,
)
from rlm_local.past import PASSING
from rlm_local.paths import cache_folder
from rlm_local.records import Answer, StopReason
from rlm_local.units import format_bytes

if TYPE_CHECKING:
    from rlm_local.config import Config
    from rlm_local.runtime import Runtime
    from rlm_local.views import View


def exit_code(stop: StopReason) -> int:
    """The exit code of a run that ended so."""
    match stop:
        case StopReason.ANSWERED:
            return 0
        case StopReason.MODEL:
            return ModelError.exit_code
        case StopReason.SANDBOX:
            return SandboxError.exit_code
        case StopReason.INTERRUPTED:
            return INTERRUPTED
        case StopReason.DISK:
            return DiskError.exit_code
        case _:
            return LimitReached.exit_code


@click.command()
@click.argument("question")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@model_options
@click.option(
    "--mode",
    type=click.Choice(["auto", "direct", "rlm"]),
    help="direct: give the model the prompt itself. rlm: let it write code. auto: as it fits.",
)
@click.option(
    "--turn-form",
    type=click.Choice(["auto", "free", "block"]),
    help="block: each turn is text and one block of code. free: as the model likes. auto: as "
    "suits the model.",
)
@limit_options
@memory_options
@click.option("--threads", type=click.INT, help="Threads that the model computes with.")
@speculation_options
@click.option("--seed", type=click.INT, help="Seed of sampling and of the sandbox.")
@click.option(
    "--reuse-calls/--no-reuse-calls",
    default=None,
    help="Give sub-calls the replies of earlier runs, and keep those of this one for later.",
)
@click.option(
    "--replace-bad-bytes/--no-replace-bad-bytes",
    default=None,
    help="Read bytes that are not UTF-8 as U+FFFD; by default they are an error.",
)
@config_option
@output_options
def ask(
    question: str,
    paths: tuple[Path, ...],
    config_file: Path | None,
    as_json: bool,
    events: bool,
    quiet: bool,
    **given: object,
) -> int:
    """Answer QUESTION about the text in PATH.

    PATH is a file, a folder, a JSONL file, or - for standard input, which is also
    read when no PATH is given and it is not a terminal. Several paths are several
    documents.

    \b
    Exit codes: 0 answered, 1 the system failed us (a full disk), 2 usage, 3 a limit ended it
                (partial answer printed), 4 model, 5 sandbox, 130 interrupted.
    """
    view = chosen_view(as_json=as_json, events=events, quiet=quiet)
    config = _config(config_file, given)
    if not paths:
        if sys.stdin.isatty():
            raise UsageError("there is no prompt", hint="give a file, a folder, or - for stdin")
        paths = (Path("-"),)
    answer = _answer(question, paths, config, view, as_json=as_json, silent=events)
    say_why(answer, quiet=quiet, silent=as_json or events)
    return exit_code(answer.stop)


def _answer(
    question: str,
    paths: Sequence[Path],
    config: Config,
    view: View,
    *,
    as_json: bool = False,
    silent: bool = False,
) -> Answer:
    """Run one question and print its answer while the parts are still being put away."""
    with (
        view,
        start_runtime(paths, config, view) as runtime,
        runtime.open(
            paths, stdin=sys.stdin.buffer, replace_bad_bytes=config.replace_bad_bytes
        ) as prompt,
    ):
        answer = runtime.ask(
            question,
            prompt,
            mode=config.mode,
            turn_form=config.turn_form,
            seed=config.seed,
            on_event=view.event,
        )
        show_answer(answer, view, as_json=as_json, silent=silent, skipped=len(prompt.skipped))
    return answer


def start_runtime(prompts: Iterable[Path], config: Config, view: View) -> Runtime:
    """The parts that `config` asks for, behind a wall around them and `prompts`."""
    from rlm_local.runtime import Runtime

    wall.put_up(prompts, config.models, config.adapters)
    return Runtime(
        model=config.model,
        sub_model=config.sub_model,
        lora=config.lora,
        sub_lora=config.sub_lora,
        draft_model=config.draft_model,
        limits=config.limits,
        options=config,
        reuse_calls=config.reuse_calls,
        progress=view.progress,
    )


def show_answer(
    answer: Answer, view: View, *, as_json: bool, silent: bool, skipped: int = 0
) -> None:
    """Print an answer below what its view has shown; nothing if `silent`.

    `skipped`: how many files of the prompt's folders were left out.
    """
    view.close()
    try:
        if as_json:
            print_json(_as_object(answer, skipped))
        elif not silent:
            print_text(answer.text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RlmError(
            f"the answer cannot be written: {error.strerror}",
            hint=f"it is on record: `rlm-local runs show {answer.run_id}`",
        ) from error


def say_why(answer: Answer, *, quiet: bool, silent: bool) -> None:
    """Below an answer: why its run stopped, if no view has said so, and how to go on with it."""
    unseen = answer.stop is StopReason.DISK  # an end that is not on record is shown by none
    if (quiet and not answer.complete) or unseen:
        complain(f"{answer.stop}: {answer.message}")
    if answer.stop in PASSING and not silent:
        advise(f"`rlm-local runs resume {answer.run_id}` goes on with it")


def _as_object(answer: Answer, skipped: int) -> dict[str, object]:
    others = {"sub_model": answer.sub_model, "message": answer.message, "skipped": skipped}
    return {
        "answer": answer.text,
        "stop": answer.stop,
        "usage": answer.usage,
        "run_id": answer.run_id,
        "model": answer.model,
        **{key: value for key, value in others.items() if value},
    }


def _config(file: Path | None, given: dict[str, object]) -> Config:
    """The settings: what is given on the command line, else in the file, else the defaults."""
    from rlm_local.config import Config, change, read_config

    config = read_config(file) if file is not None else Config()
    fields = {field for field, _, _ in LIMITS.values()}
    # Options that may be repeated come as an empty tuple where they are not given.
    values = {name: value for name, value in given.items() if value not in (None, ())}
    limits = {name: value for name, value in values.items() if name in fields}
    others = {name: value for name, value in values.items() if name not in fields}
    return change(config, {**others, "limits": limits})


def chosen_view(*, as_json: bool, events: bool, quiet: bool) -> View:
    """The view that the output options ask for."""
    if as_json and events:
        raise click.UsageError("--json and --events exclude each other")
    return view_of("events" if events else "none" if as_json or quiet else "steps")


def view_of(kind: str) -> View:
    """Who watches: `events` and `steps`, or nobody."""
    from rlm_local.views import Aside, EventLines, PlainView, QuietView

    if kind == "events":
        return EventLines(sys.stdout.buffer)
    if kind != "steps":
        return QuietView()
    if not sys.stderr.isatty():
        return Aside(PlainView(sys.stderr))
    from rlm_local.live import TerminalView

    return Aside(TerminalView(sys.stderr))


@click.command()
@click.option("--size", type=SIZE, default="40MB", show_default=True, help="Size of the text.")
@click.option("--seed", type=click.INT, help="Draw the same text again.")
def demo(size: int, seed: int | None) -> int:
    """Hide a fact in a long text and have the default model find it."""
    from rlm_local.config import Config
    from rlm_local.demo import write_demo

    # In a cache of ours: behind the wall it could not be removed from anywhere else.
    with tempfile.TemporaryDirectory(dir=cache_folder("demo")) as folder:
        path = Path(folder) / "demo.txt"
        made = write_demo(path, size=size, seed=seed)
        click.echo(f"wrote {format_bytes(path.stat().st_size)} of text: {made.question}", err=True)
        answer = _answer(made.question, [path], Config(mode="rlm"), view_of("steps"))
    right = answer.text.strip() == made.answer
    click.echo("right" if right else f"not found: it is {made.answer}", err=True)
    return 0 if right else exit_code(answer.stop) or 1
