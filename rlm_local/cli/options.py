"""Command-line options that several commands share, as decorators."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from rlm_local.cli import completion
from rlm_local.errors import ConfigError
from rlm_local.limits import Limits
from rlm_local.records import KvChoice, LayerChoice
from rlm_local.units import format_bytes, format_seconds, parse_bytes, parse_seconds

Command = TypeVar("Command", bound=Callable[..., Any])


class Quantity(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions
    """A number with units, read by `parse`."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return self._parse(str(value))
        except ConfigError as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


SIZE = Quantity("size", parse_bytes)
TIME = Quantity("time", parse_seconds)

#: Option → the field of `Limits` that it sets, its type and its help.
LIMITS: dict[str, tuple[str, Any, str]] = {
    "--wall-seconds": ("wall_seconds", TIME, "Time for the whole run, like 90s or 10m."),
    "--cell-seconds": ("cell_seconds", TIME, "Time for one piece of the model's code."),
    "--turns": ("turns", click.INT, "Turns the model may take, in each REPL."),
    "--depth": (
        "depth",
        click.INT,
        "Levels of calls, 0 to 8. 0: none. 1: of the model. 2 and more: children with a REPL.",
    ),
    "--sub-calls": ("sub_calls", click.INT, "Calls of the model that its code may make."),
    "--tokens": ("tokens", click.INT, "Tokens the model may process, over all its calls."),
    "--turn-tokens": ("turn_tokens", click.INT, "Tokens the model may write in one turn."),
    "--sub-call-tokens": ("sub_call_tokens", click.INT, "Tokens it may write in one sub-call."),
    "--thought-tokens": (
        "thought_tokens",
        click.INT,
        "Tokens that a thinking model may think in a turn, besides. 0: it does not think.",
    ),
    "--sub-call-thought-tokens": (
        "sub_call_thought_tokens",
        click.INT,
        "The same in one sub-call.",
    ),
    "--syntax-retries": (
        "syntax_retries",
        click.INT,
        "How often a turn is written again, before it is run, if its code does not parse.",
    ),
    "--guest-memory": ("guest_memory_bytes", SIZE, "Memory for the model's code, like 512MiB."),
    "--memory": ("model_memory_bytes", SIZE, "Memory for the model itself, like 8GiB."),
}


def limit_options(command: Command) -> Command:
    """One option for each limit; those given arrive as arguments of their field's name."""
    for option in reversed(LIMITS):
        command = _limit_option(option, shown=True)(command)
    return command


def changed_limit_options(command: Command) -> Command:
    """As `limit_options`, for a run that has limits already: those are the defaults."""
    for option in reversed(LIMITS):
        command = _limit_option(option, shown=False)(command)
    return command


def _limit_option(option: str, *, shown: bool) -> Callable[[Command], Command]:
    """`shown`: its default is in the help. It arrives only if it is given, in any case."""
    field, kind, text = LIMITS[option]
    default = getattr(Limits(), field)
    if kind is SIZE:
        written = format_bytes(default)
    elif kind is TIME:
        written = format_seconds(default)
    else:
        written = f"{default:,}"
    return click.option(
        option, field, type=kind, help=f"{text} [default: {written}]" if shown else text
    )


def model_options(command: Command) -> Command:
    """Which models are asked: model, and what `beside_options` are."""
    return click.option(
        "--model",
        "-m",
        shell_complete=completion.models,
        help="A name of `models list`, a GGUF file, or a server: http://host:8000/v1.",
    )(beside_options(command))


def beside_options(command: Command) -> Command:
    """What goes with a model: sub_model, lora, sub_lora; no adapters are ()."""
    for decorate in (
        click.option(
            "--sub-lora",
            multiple=True,
            metavar="FILE[:SCALE]",
            shell_complete=completion.files,
            help="A LoRA adapter for the sub-model; may be repeated.",
        ),
        click.option(
            "--lora",
            multiple=True,
            metavar="FILE[:SCALE]",
            shell_complete=completion.files,
            help="A LoRA adapter for the model, and how strongly it acts; may be repeated.",
        ),
        click.option(
            "--sub-model",
            shell_complete=completion.models,
            help="Another model for the sub-calls; --memory holds for both together.",
        ),
    ):
        command = decorate(command)
    return command


def draft_option(command: Command) -> Command:
    return click.option(
        "--draft-model",
        shell_complete=completion.models,
        help="A small model with the same tokens, which guesses those of the model.",
    )(command)


def speculation_options(command: Command) -> Command:
    """speculate, draft_model."""
    for decorate in (
        draft_option,
        click.option(
            "--speculate/--no-speculate",
            default=None,
            help="Guess tokens where that is measured to be faster; on, unless told otherwise.",
        ),
    ):
        command = decorate(command)
    return command


def memory_option(command: Command) -> Command:
    """`--memory` alone."""
    return _limit_option("--memory", shown=True)(command)


def window_option(command: Command) -> Command:
    return click.option(
        "--context-tokens",
        type=click.INT,
        help="The model's window in tokens. By default what it was trained for, if it fits.",
    )(command)


class _Layers(click.ParamType):  # type: ignore[type-arg]
    """A number of layers, or `auto`."""

    name = "auto|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> LayerChoice:
        if value == "auto":
            return "auto"
        if not re.fullmatch(r"\d{1,9}", str(value), re.ASCII):
            self.fail(f"{value!r} is neither auto nor a number of layers", param, ctx)
        return int(value)


def memory_options(command: Command) -> Command:
    """What the model's memory is used for: its window, the form of its KV cache, its place."""
    for decorate in (
        click.option(
            "--gpu-layers",
            type=_Layers(),
            help="Layers on the GPU; 0: none. By default as many as fit there, if there is one. Of "
            "a sub-model that has fewer, all.",
        ),
        click.option(
            "--kv-type",
            type=click.Choice(get_args(KvChoice)),
            help="How the KV cache is stored. auto: f16, or q8_0 where f16 has too little room.",
        ),
        window_option,
    ):
        command = decorate(command)
    return command


def config_option(command: Command) -> Command:
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="A TOML file of settings; options given here come before it.",
    )(command)


def json_option(text: str) -> Callable[[Command], Command]:
    return click.option("--json", "as_json", is_flag=True, help=text)


def output_options(command: Command) -> Command:
    """How a run is shown: as_json, events, quiet."""
    for decorate in (
        click.option("--quiet", "-q", is_flag=True, help="Show no steps, only the answer."),
        click.option(
            "--events", is_flag=True, help="Print each event as a line of JSON as it happens."
        ),
        json_option("Print one JSON object: answer, stop, usage, run_id, model."),
    ):
        command = decorate(command)
    return command


def named_by_option(hint: str) -> str:
    """`hint` with the option beside a setting to change: `raise turns (--turns)`."""
    options = {field: option for option, (field, _, _) in LIMITS.items()}
    for field in ("context_tokens", "gpu_layers"):
        options[field] = f"--{field.replace('_', '-')}"

    def with_option(match: re.Match[str]) -> str:
        option = options.get(match[1])
        return f"{match[0]} ({option})" if option else match[0]

    return re.sub(r"\b(?:raise|lower) (\w+)", with_option, hint)
