"""The command line: the only place that prints and that picks exit codes.

Exit codes: 0 answered; 1 the system failed us (a full disk), or a replay differs; 2 usage;
3 a limit ended the run (the partial answer is printed); 4 model; 5 sandbox; 129, 130 and 143
interrupted by SIGHUP, Ctrl-C and SIGTERM; 141 nobody reads the output any more. The answer
goes to stdout and all else to stderr. What only one command needs is imported in it:
`--help` is instant.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from rlm_local.cli.ask import ask, demo
from rlm_local.cli.completion import answer_shell
from rlm_local.cli.doctor import doctor
from rlm_local.cli.export import runs_export
from rlm_local.cli.models import models
from rlm_local.cli.printing import BROKEN_PIPE, INTERRUPTED, complain
from rlm_local.cli.rerun import runs_fork, runs_gc, runs_replay, runs_resume
from rlm_local.cli.runs import runs
from rlm_local.cli.sandbox import sandbox
from rlm_local.errors import RlmError, UsageError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. SIGTERM and SIGHUP keep what there is, as Ctrl-C does."""
    _stand_in_for_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, interrupt)
    code = run(arguments, confined=True)
    # All is said and recorded: there is nothing left to break off.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if code == INTERRUPTED:
        leave(128 + received[0] if received else code)
    sys.exit(code)


def leave(code: int) -> NoReturn:
    """Exit after Ctrl-C, for sure with `code`.

    Where it came inside of an `eval`, such as namedtuple's, `python -m` remembers that, and
    at its exit ends itself by the signal, although the interrupt was handled.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str] | None = None, *, confined: bool = False) -> int:
    """Run the command line; the exit code. Every error becomes a sentence on stderr.

    `confined`: commands that run a model's code confine the process, for good.
    """
    try:
        if arguments is None and (answered := answer_shell(commands)) is not None:
            return answered
        given = sys.argv[1:] if arguments is None else list(arguments)
        # Not `commands.main`, which has ideas of its own on Ctrl-C and broken pipes.
        with commands.make_context("rlm-local", given, obj=confined) as context:
            code = commands.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except RlmError as error:
        complain(str(error), error.hint)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    except click.ClickException as error:
        where = error.ctx if isinstance(error, click.UsageError) else None
        hint = f"`{where.command_path} --help` shows what there is" if where else ""
        complain(error.format_message(), hint)
        return UsageError.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        complain(f"{error.filename or 'input or output'}: {error.strerror}")
        return RlmError.exit_code
    return code if isinstance(code, int) else 0


def _stand_in_for_closed_streams() -> None:
    """Where a standard stream came closed, put the null device: else a file that we open,
    such as the run's record, would get its number and what is written to it."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="rlm-local", prog_name="rlm-local")
def commands() -> None:
    """Ask questions about prompts of any length, with a local model and no network.

    The model never reads the prompt. It writes Python, which runs in a WebAssembly
    sandbox where the prompt is the variable `context`.
    """


for command in (runs_resume, runs_replay, runs_fork, runs_export, runs_gc):
    runs.add_command(command)
for command in (ask, demo, runs, models, sandbox, doctor):
    commands.add_command(command)
