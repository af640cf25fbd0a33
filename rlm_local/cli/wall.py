"""The second wall, for the commands that run a model's code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from rlm_local.confine import VARIABLE
from rlm_local.records import Adapter


def put_up(
    prompts: Iterable[Path], models: Iterable[str | Path] = (), adapters: Iterable[Adapter] = ()
) -> None:
    """Confine this process to one run, if it is the program `rlm-local`, for good.

    Not where the command line is called from Python: that process has more to do.
    """
    if click.get_current_context().find_root().obj:
        from rlm_local import wall

        models = tuple(models)
        held = wall.put_up(prompts, models=models, adapters=adapters)
        if wall.hides_gpu(held, models):
            click.echo(
                "root's GPU may not start behind the second wall (CUDA's does not): if it does "
                f"not, run as another user, or with {VARIABLE}=off",
                err=True,
            )
