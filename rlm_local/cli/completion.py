"""What a shell completes of a command line.

    eval "$(_RLM_LOCAL_COMPLETE=bash_source rlm-local)"     # or zsh_source, fish_source

The shell then runs the program with that variable for each Tab; it prints what could stand
there, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from rlm_local.errors import RlmError, UsageError

VARIABLE = "_RLM_LOCAL_COMPLETE"


def answer_shell(commands: click.Command) -> int | None:
    """Answer the shell, if it is what runs the program: the exit code, else None.

    Raises UsageError for a shell that is not known.
    """
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return None
    shell, _, _ = instruction.partition("_")
    if get_completion_class(shell) is None:
        raise UsageError(
            f"{VARIABLE} is {instruction!r}", hint="bash_source, zsh_source and fish_source work"
        )
    return shell_complete(commands, {}, "rlm-local", VARIABLE, instruction)


def run_ids(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`last`, and the ids of the runs, the latest first."""
    from rlm_local.runs import RunStore

    try:
        ids = RunStore().ids()
    except RlmError:
        return []
    return _beginning(incomplete, ["last", *reversed(ids)] if ids else [])


def models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of the catalogue, else files."""
    from rlm_local import catalog

    try:
        names = list(catalog.models())
    except RlmError:
        names = []
    # Files first: the shells' scripts forget what came before them.
    return [*files(context, parameter, incomplete), *_beginning(incomplete, names)]


def files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def packages(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What is in the sandbox."""
    from rlm_local.packages.store import PackageStore

    try:
        return _beginning(incomplete, [each.name for each in PackageStore().installed()])
    except RlmError:
        return []


def _beginning(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
