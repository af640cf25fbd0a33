"""The second wall: what it refuses, with a control that shows that it is the wall."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from rlm_local.confine import VARIABLE, Wall, places
from rlm_local.confine.trial import try_out
from tests.confine.runner import offered, tried

pytestmark = pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")


def attempts(folder: Path, *, walled: bool) -> dict[str, Any]:
    """What came of all attempts."""
    for name in ("home", "run"):
        (folder / name).mkdir()
    (folder / "prompt").write_text("text")
    for name in ("key", "old", "moved"):
        (folder / "home" / name).write_text("secret")
    for name in ("made", "kept"):
        (folder / "run" / name).write_text("made here")
    (folder / "run" / "link").symlink_to(folder / "home" / "key")
    (folder / "run" / "program").write_text("#!/bin/sh\n")
    (folder / "run" / "program").chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "home" / "socket"))
        listening.listen()
        return tried("tests.confine.attempts", folder, walled=walled)


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return attempts(tmp_path_factory.mktemp("walled"), walled=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The control: the same attempts without the wall."""
    return attempts(tmp_path_factory.mktemp("bare"), walled=False)


def test_both_parts_hold(walled: dict[str, Any], bare: dict[str, Any]) -> None:
    assert walled["wall"].startswith("Landlock ")
    assert walled["wall"].endswith(" and seccomp")
    assert bare["wall"] == f"{VARIABLE} is off"


#: What the machine may refuse anyone: there the control shows nothing.
NOT_EVERYWHERE = {
    "makes a device", "starts an io_uring", "traces its parent", "makes a namespace",
    "counts what the machine does", "writes into a terminal's input", "becomes a shell",
    "runs a program of its own", "dumps core", "reads its parent's environment",
    "reads its parent's memory", "opens a netlink socket",
}  # fmt: skip


def test_every_attempt_is_refused(walled: dict[str, Any]) -> None:
    assert {name for name, got in walled["attempts"].items() if got == "done"} == set()


def test_without_the_wall_they_succeed(bare: dict[str, Any]) -> None:
    """So it is the wall that refuses them."""
    failed = {name for name, got in bare["attempts"].items() if got != "done"}
    assert failed <= NOT_EVERYWHERE


def test_what_a_run_needs_goes_on_working(walled: dict[str, Any], bare: dict[str, Any]) -> None:
    for found in (walled, bare):
        assert {name: got for name, got in found["usable"].items() if got != "done"} == {}


def test_the_trial_tells_a_wall_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with_wall = try_out()
    assert with_wall is not None
    assert with_wall.wall.whole
    assert with_wall.allowed == ()
    assert with_wall.usable
    monkeypatch.setenv(VARIABLE, "off")
    without = try_out()
    assert without is not None
    assert without.refused == ()
    assert len(without.allowed) == len(with_wall.refused)


def test_no_home_and_no_work_folder_is_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where they are on Python's path, as for `python -m`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "home")
    allowed = {rule.path for rule in places.rules(readable=[], writable=[])}
    assert not allowed & {tmp_path / "work", tmp_path / "home", Path("/"), Path("/etc")}


def test_a_wall_says_what_it_lacks() -> None:
    assert str(Wall(landlock=7, seccomp=True)) == "Landlock 7 and seccomp"
    assert str(Wall(landlock=0, seccomp=True, missing=("no Landlock: x",))) == (
        "seccomp; no Landlock: x"
    )
    assert str(Wall(landlock=0, seccomp=False, missing=("it is not known on plan9",))) == (
        "it is not known on plan9"
    )
