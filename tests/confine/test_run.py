"""Runs behind the wall, as processes of their own: everything that a run does still works."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import rlm_local
from rlm_local import wall
from rlm_local.confine import VARIABLE
from rlm_local.paths import cache_folder
from tests.confine.runner import ROOT, offered

pytestmark = pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")

COUNT = "```repl\nFINAL(str(len(context)) + ' ' + str(sum(map(len, context))))\n```"


def ask(
    *arguments: str | Path,
    turns: tuple[str, ...] = (COUNT,),
    stdin: str = "",
    pass_fds: tuple[int, ...] = (),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """`ask`, as a command with a scripted model."""
    return command(
        "ask", "--json", "--mode", "rlm", "how long?", *map(str, arguments),
        turns=turns, stdin=stdin, pass_fds=pass_fds, **variables,
    )  # fmt: skip


def command(
    *arguments: str,
    turns: tuple[str, ...] = (),
    stdin: str = "",
    pass_fds: tuple[int, ...] = (),
    code: int = 0,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """A command with the real sandbox, which ends with `code`, and says what wall holds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.confine.walled_cli", json.dumps(turns), *arguments],
        cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=120, pass_fds=pass_fds,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **variables},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
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


def test_on_a_terminal_no_thread_is_left_out(tmp_path: Path) -> None:
    """What draws there must not have started before the wall is up."""
    path = tmp_path / "text.txt"
    path.write_text("x" * 1000)
    terminal, end = pty.openpty()
    line = [sys.executable, "-m", "tests.confine.walled_cli", json.dumps([COUNT])]
    line += ["ask", "--mode", "rlm", "how long?", str(path)]
    single = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=end, env=single
    ) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # as a terminal ends that nobody holds open
            while part := os.read(terminal, 65_536):
                shown += part
        os.close(terminal)
        assert process.stdout is not None
        assert process.stdout.read() == b"1000 1000\n"
    assert process.returncode == 0
    assert b"wall: Landlock" in shown
    assert b"leaves out" not in shown


def test_a_program_that_puts_the_wall_up_has_no_thread_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/security.md has it, in an environment that says nothing of numpy's threads."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "book.txt").write_text("x")
    code = (
        "from pathlib import Path\nimport rlm_local.wall\n"
        "print(rlm_local.wall.put_up([Path('book.txt')], models=['rlm-nano']))\n"
        "import numpy, os\nprint(len(os.listdir('/proc/self/task')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    said, threads = done.stdout.splitlines()
    assert said.startswith("Landlock")
    assert said.endswith("and seccomp")
    assert threads == "1"


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


LOOK = "```repl\nn = len(context[0])\n```"


def test_going_through_a_run_again(tmp_path: Path) -> None:
    """Its prompt, its record and its checkpoints are all within the wall."""
    path = tmp_path / "text.txt"
    path.write_text("x" * 1000)
    run_id = json.loads(ask(path, turns=(LOOK, COUNT)).stdout)["run_id"]
    again = command("runs", "replay", "--json", run_id)
    assert json.loads(again.stdout)["equal"]
    forked = command("runs", "fork", "--json", run_id, "--turn", "1", turns=(COUNT,))
    assert answer(forked) == "1000 1000"
    for done in (again, forked):
        assert "wall: Landlock" in done.stderr
        assert "and seccomp\n" in done.stderr


def test_a_pipe_by_its_path(tmp_path: Path) -> None:
    """As a shell's `<(command)` hands it over."""
    reading, writing = os.pipe()
    os.write(writing, b"x" * 200)
    os.close(writing)
    done = ask(f"/dev/fd/{reading}", pass_fds=(reading,))
    os.close(reading)
    assert answer(done) == "200 200"
    assert "and seccomp\n" in done.stderr


def test_the_demo_cleans_up() -> None:
    before = set(cache_folder("demo").iterdir())
    turns = ("```repl\nFINAL('x')\n```",)
    done = command("demo", "--size", "1MB", "--seed", "1", turns=turns, code=1)
    assert "not found: it is" in done.stderr
    assert set(cache_folder("demo").iterdir()) <= before


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
