"""`rlm-local doctor`: is everything here, and does it work?"""

from __future__ import annotations

import click

from rlm_local.cli import completion
from rlm_local.cli.options import json_option
from rlm_local.cli.printing import print_json, print_text


@click.command()
@click.option(
    "--model",
    "-m",
    shell_complete=completion.models,
    help="The model to try, instead of the default one.",
)
@json_option("Print a JSON array of checks.")
def doctor(model: str | None, as_json: bool) -> int:
    """Check that everything is here and works, part by part."""
    from rlm_local.catalog import DEFAULT_MODEL
    from rlm_local.doctor import examine

    checks = []
    for check in examine(model or DEFAULT_MODEL):
        checks.append(check)
        if not as_json:
            print_text(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.detail}")
            if check.remedy:
                print_text(f"        {check.remedy}")
    if as_json:
        print_json(checks)
    return next((check.exit_code for check in checks if not check.ok), 0)
