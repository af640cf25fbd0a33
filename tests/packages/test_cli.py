"""`rlm-local sandbox`, and the doctor's line on what it has added."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_local import cli, doctor
from tests.packages.build import wheel

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path,
    guest_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RLM_LOCAL_GUEST", str(guest_path))
    monkeypatch.setenv("PATH", "")  # no pyodide: the guest compiles

    def invoke(*arguments: str | Path) -> tuple[int, str, str]:
        return (cli.run(["sandbox", *map(str, arguments)]), *capfd.readouterr())

    return invoke


def without_sizes(text: str) -> list[str]:
    return re.sub(r" \(\d+ B\)", "", text).splitlines()


def test_add_list_remove(run: Run, tmp_path: Path) -> None:
    needs = "Requires-Dist: nowhere\n"
    other = wheel(tmp_path, {"other.py": "import nowhere\n"}, name="other", metadata=needs)
    code, out, err = run("add", wheel(tmp_path), other)
    assert (code, err) == (0, "")
    assert without_sizes(out) == [
        "added tiny 1.0: import tiny",
        "added other 1.0: import other",
        "  needs nowhere: add that too",
        "  `import other` fails: ModuleNotFoundError: No module named 'nowhere'",
    ]
    assert without_sizes(run("list")[1]) == ["other 1.0", "tiny 1.0"]
    [first, second] = json.loads(run("list", "--json")[1])
    assert (first["name"], second["version"]) == ("other", "1.0")
    assert second["file_bytes"] == Path(second["path"]).stat().st_size
    assert doctor._packages() == "other 1.0, tiny 1.0"
    assert run("remove", "Other", "tiny") == (0, "", "")
    assert run("list") == (0, "", "")
    assert doctor._packages() == "none added"


def test_add_as_json(run: Run, tmp_path: Path) -> None:
    broken = wheel(tmp_path, {"tiny/__init__.py": "1 / 0", "more.py": ""})
    code, out, _ = run("add", broken, "--json")
    [added] = json.loads(out)
    assert code == 0
    assert added["modules"] == ["more", "tiny"]
    assert added["missing"] == []
    assert added["failures"] == {"tiny": "ZeroDivisionError: division by zero"}


def test_nothing_is_added_if_one_wheel_is_refused(run: Run, tmp_path: Path) -> None:
    native = wheel(tmp_path, name="fastlib", tag="cp313-cp313-manylinux_2_17_x86_64")
    code, out, err = run("add", wheel(tmp_path), native)
    assert (code, out) == (2, "")
    assert "fastlib 1.0 has native code (cp313-cp313-manylinux_2_17_x86_64)" in err
    assert run("list")[1] == ""


def test_what_is_not_there_cannot_be_removed(run: Run) -> None:
    code, _, err = run("remove", "tiny")
    assert code == 2
    assert "there is no package tiny in the sandbox" in err
    assert "the packages are: none" in err


def test_nothing_is_removed_if_one_is_not_there(run: Run, tmp_path: Path) -> None:
    run("add", wheel(tmp_path))
    code, _, err = run("remove", "tiny", "nope")
    assert code == 2
    assert "there is no package nope" in err
    assert "the packages are: tiny" in err
    assert run("list")[1].startswith("tiny ")


def test_a_store_that_was_tampered_with_is_an_error(run: Run, tmp_path: Path) -> None:
    run("add", wheel(tmp_path))
    [kept] = (tmp_path / "data" / "packages").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    code, _, err = run("add", wheel(tmp_path, {"more.py": ""}, name="more"))
    assert code == 2
    assert "is not the file that was added" in err
