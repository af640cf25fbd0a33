"""What a shell completes: with click's own script for bash, and the program as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from rlm_local import cli
from rlm_local.cli.completion import VARIABLE
from rlm_local.runs import RunStore

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))


def completed(*words: str) -> list[tuple[str, str]]:
    """The type and the text of what could stand in place of the last of `words`."""
    *before, incomplete = words
    shell = ShellComplete(cli.commands, {}, "rlm-local", VARIABLE)
    return [(item.type, item.value) for item in shell.get_completions(before, incomplete)]


def test_runs_are_completed_by_their_ids(tmp_path: Path):
    assert completed("runs", "show", "") == []
    ids = ["20261126-101112-013-0a1b", "20261126-101112-014-0a1b"]
    for run_id in ids:
        (RunStore().folder / run_id).mkdir(parents=True)
    every = [("plain", "last"), ("plain", ids[1]), ("plain", ids[0])]
    for command in ("show", "resume", "replay", "fork", "export"):
        assert completed("runs", command, "") == every
    assert completed("runs", "show", "2026") == every[1:]


@pytest.mark.parametrize("words", [("ask", "q", "--model"), ("models", "plan"), ("doctor", "-m")])
def test_models_are_completed_by_name_and_by_file(words: tuple[str, ...]):
    assert completed(*words, "rlm") == [("file", "rlm"), ("plain", "rlm-nano")]
    assert completed(*words, "./b") == [("file", "./b")]


def test_what_cannot_be_looked_up_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RLM_LOCAL_DATA", "/dev/null")
    monkeypatch.setenv("RLM_LOCAL_MODELS", str(tmp_path / "none"))
    assert completed("runs", "show", "") == []
    assert completed("sandbox", "remove", "") == []
    assert completed("ask", "q", "--sub-model", "x") == [("file", "x")]


def program(**variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlm_local"]
    return subprocess.run(
        command, env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True
    )


def test_the_program_answers_a_shell():
    words = {"COMP_WORDS": "rlm-local runs re", "COMP_CWORD": "2"}
    done = program(**{VARIABLE: "bash_complete"}, **words)
    assert (done.returncode, done.stdout.split()) == (0, ["plain,replay", "plain,resume"])
    done = program(**{VARIABLE: "ksh_source"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "zsh_source" in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script():
    script = program(**{VARIABLE: "bash_source"}).stdout
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rlm-local" in script
