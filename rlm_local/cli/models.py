"""`rlm-local models`: what there is, before a question needs it."""

from __future__ import annotations

import click

from rlm_local.cli.options import json_option
from rlm_local.cli.printing import print_json, print_text
from rlm_local.units import format_bytes


@click.group()
def models() -> None:
    """Look at the models, before a question needs one."""


@models.command("list")
@json_option("Print a JSON array.")
def models_list(as_json: bool) -> None:
    """List the models that go by a name."""
    from rlm_local import catalog

    known = list(catalog.models().values())
    if as_json:
        print_json(known)
        return
    for model in known:
        size = format_bytes(model.path.stat().st_size) if model.present else "missing"
        print_text(f"{model.name:<16} {size:>9}  {model.about or model.path}")
