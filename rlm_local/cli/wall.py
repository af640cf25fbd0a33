"""The second wall, for the commands that run a model's code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from rlm_local.records import Adapter


def put_up(
    prompts: Iterable[Path], models: Iterable[str | Path] = (), adapters: Iterable[Adapter] = ()
) -> None:
    """Confine this process to one run, if it is the program `rlm-local`, for good.

    Not where the command line is called from Python: that process has more to do.
    """
    if click.get_current_context().find_root().obj:
        from rlm_local import wall

        wall.put_up(prompts, models=models, adapters=adapters)
