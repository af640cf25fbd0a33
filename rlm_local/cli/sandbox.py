"""`rlm-local sandbox`: the packages that a model's code can import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlm_local.cli import completion
from rlm_local.cli.options import json_option
from rlm_local.cli.printing import as_object, print_json, print_text
from rlm_local.units import format_bytes

if TYPE_CHECKING:
    from rlm_local.packages.store import Package
    from rlm_local.packages.wheel import Wheel


@click.group()
def sandbox() -> None:
    """Add pure-Python packages to the sandbox, for the model's code to import.

    They come from wheels on this machine; nothing is fetched. A wheel with native code
    is refused.
    """


@sandbox.command("add")
@click.argument(
    "wheels", nargs=-1, required=True, metavar="WHEEL...", type=click.Path(path_type=Path)
)
@json_option("Print a JSON array of what was added.")
def sandbox_add(wheels: tuple[Path, ...], as_json: bool) -> None:
    """Add the packages in each WHEEL, a file such as attrs-25.3.0-py3-none-any.whl.

    One that is there in another version is replaced. All are checked before the first
    is added, and imported in a sandbox afterwards.
    """
    from rlm_local.doctor import import_failures
    from rlm_local.packages.bytecode import find_command
    from rlm_local.packages.store import PackageStore
    from rlm_local.packages.wheel import read_wheel

    store = PackageStore()
    read = [read_wheel(path) for path in wheels]
    pyodide = find_command()
    added = [store.add(wheel, pyodide=pyodide) for wheel in read]
    failures = import_failures([module for wheel in read for module in wheel.modules])
    present = {package.name for package in store.installed()}
    if as_json:
        print_json(
            [
                {
                    **as_object(package),
                    "modules": wheel.modules,
                    "missing": _missing(wheel, present),
                    "failures": {
                        name: failures[name] for name in wheel.modules if name in failures
                    },
                }
                for package, wheel in zip(added, read, strict=True)
            ]
        )
        return
    for package, wheel in zip(added, read, strict=True):
        print_text(f"added {_line(package)}: import {', '.join(wheel.modules) or 'nothing'}")
        if missing := _missing(wheel, present):
            print_text(f"  needs {', '.join(missing)}: add that too")
        for module in wheel.modules:
            if module in failures:
                print_text(f"  `import {module}` fails: {failures[module]}")


@sandbox.command("list")
@json_option("Print a JSON array.")
def sandbox_list(as_json: bool) -> None:
    """List the packages that can be imported in the sandbox."""
    from rlm_local.packages.store import PackageStore

    packages = PackageStore().installed()
    if as_json:
        print_json([as_object(package) for package in packages])
        return
    for package in packages:
        print_text(_line(package))


@sandbox.command("remove")
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.packages
)
def sandbox_remove(names: tuple[str, ...]) -> None:
    """Remove the package of each NAME, or none if one of them is not there."""
    from rlm_local.packages.store import PackageStore

    PackageStore().remove(*names)


def _line(package: Package) -> str:
    return f"{package.name} {package.version} ({format_bytes(package.file_bytes)})"


def _missing(wheel: Wheel, present: Iterable[str]) -> list[str]:
    return sorted(set(wheel.needs).difference(present))
