"""Runs behind the wall, as processes of their own: everything that a run does still works."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rlm_local
from rlm_local import wall
from rlm_local.confine import VARIABLE
from tests.confine.test_wall import ROOT, offered

pytestmark = pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")

COUNT = "```repl\nFINAL(str(len(context)) + ' ' + str(sum(map(len, context))))\n```"


def ask(
    *arguments: str | Path, turns: tuple[str, ...] = (COUNT,), stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """`ask`, with a scripted model and the real sandbox; it says on stderr what wall holds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.confine.walled_cli", json.dumps(turns),
         "ask", "--json", "--mode", "rlm", "how long?", *map(str, arguments)],
        cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def answer(done: subprocess.CompletedProcess[str]) -> str:
    return str(json.loads(done.stdout)["answer"])


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("x" * 1000)
    done = ask(path)
    assert answer(done) == "1000 1000"
    assert "wall: Landlock" in done.stderr
    assert "and seccomp\n" in done.stderr


def test_a_folder_with_links_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("y" * 500)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("x" * 100)
    (folder / "b.txt").symlink_to(tmp_path / "elsewhere")
    assert answer(ask(folder)) == "2 600"


def test_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("x" * 100)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert answer(ask(tmp_path / "link")) == "1 100"


def test_standard_input() -> None:
    assert answer(ask("-", stdin="x" * 300)) == "300 300"


@pytest.mark.slow  # compiles the guest
def test_caches_that_do_not_exist_yet(tmp_path: Path) -> None:
    """The first run of all: the compiled guest is kept, which later runs may not change."""
    path = tmp_path / "text.txt"
    path.write_text("x" * 1000)
    cache = str(tmp_path / "cache")
    first = ask(path, RLM_LOCAL_CACHE=cache, RLM_LOCAL_GUEST=_guest())
    assert answer(first) == "1000 1000"
    (kept,) = (tmp_path / "cache" / "compiled").iterdir()
    before = kept.stat().st_mtime_ns
    second = ask(path, RLM_LOCAL_CACHE=cache, RLM_LOCAL_GUEST=_guest())
    assert answer(second) == "1000 1000"
    assert kept.stat().st_mtime_ns == before
    assert "compiled is writable: True" in first.stderr
    assert "compiled is writable: False" in second.stderr


def test_off_on_request(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("x" * 1000)
    assert f"wall: {VARIABLE} is off" in ask(path, **{VARIABLE: "off"}).stderr


def test_code_that_got_out_reaches_nothing(tmp_path: Path) -> None:
    """A host function does what native code on the guest's thread could."""
    (tmp_path / "text.txt").write_text("x" * 1000)
    (tmp_path / "key").write_text("secret")
    escape = "```repl\nFINAL(llm_query('escape'))\n```"
    walled = ask(tmp_path / "text.txt", turns=(escape,), ESCAPE_TO=str(tmp_path / "key"))
    assert json.loads(answer(walled)) == {
        "reads": "PermissionError",
        "writes": "PermissionError",
        "connects": "PermissionError",
        "runs": "PermissionError",
        "changes native code": "PermissionError",
    }
    bare = ask(
        tmp_path / "text.txt", turns=(escape,), ESCAPE_TO=str(tmp_path / "key"),
        **{VARIABLE: "off"},
    )  # fmt: skip
    assert set(json.loads(answer(bare)).values()) == {"done"}


def _guest() -> str:
    from rlm_local.wasm import guest

    return str(guest.find())


def test_every_folder_of_ours_is_known_to_the_wall() -> None:
    """A new cache must be named there, or a confined run cannot use it."""
    named: dict[str, set[str]] = {"cache_folder": set(), "data_folder": set()}
    for path in Path(rlm_local.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name(function), [ast.Constant(str(name))]) if function in named:
                    named[function].add(name)
    assert named["cache_folder"] == {*wall.CACHES, *wall.READ_CACHES}
    assert named["data_folder"] == {"runs", *wall.READ_DATA}
