"""The command line: what is printed where, and the exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import click
import msgspec
import pytest

from rlm_local import cli, runtime
from rlm_local.errors import (
    DiskError,
    ModelMemoryError,
    RlmError,
    SandboxError,
    UsageError,
    WorkerDied,
)
from rlm_local.model import ScriptedModel
from rlm_local.records import StopReason
from rlm_local.runs import RunStore
from rlm_local.spool.files import DiskFullError
from tests.fakes import FakeSandbox, Run, Script, cell

pytestmark = pytest.mark.usefixtures("folders")

ROOT = Path(__file__).parent.parent
FINISH = cell("FINAL(len(context))")


def every_command(
    command: click.Command = cli.commands, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from every_command(child, (*path, name))


COMMANDS = dict(every_command())


# ------------------------------------------------------------------------ help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...], run: Run):
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.name}"
    code, out, err = run(*path, "--help")
    assert code == 0
    assert command.help.splitlines()[0][:30] in out
    assert err == ""


def test_help_has_the_limits_that_hold_unless_told_otherwise(run: Run):
    shown = " ".join(run("ask", "--help")[1].split())
    for default in ("10m00s", "20", "4,000,000", "512 MiB", "16.0 GiB"):
        assert f"[default: {default}]" in shown
    assert "[default: 10m00s]" not in run("runs", "fork", "--help")[1]  # the other run's hold


@pytest.mark.parametrize("path", [(), ("runs",), ("models",)])
def test_a_group_alone_shows_its_help_and_is_no_success(path: tuple[str, ...], run: Run):
    code, out, err = run(*path)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: rlm-local")


def test_help_needs_none_of_the_heavy_libraries():
    script = (
        "import sys\n"
        "from rlm_local.cli import run\n"
        "code = run(['ask', '--help'])\n"
        "heavy = {'rich', 'numpy', 'wasmtime', 'llama_cpp', 'mmap_ninja', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_the_version(run: Run):
    try:
        version = metadata.version("rlm-local")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the source, not installed")
    assert run("--version") == (0, f"rlm-local, version {version}\n", "")


# ------------------------------------------------------------------------- ask


def test_the_answer_alone_is_on_stdout(run: Run, script: Script, text: str):
    script(FINISH)
    code, out, err = run("ask", "How long?", text, "--mode", "rlm")
    assert (code, out) == (0, "4\n")
    assert "turn 1" in err
    assert "FINAL(len(context))" in err
    assert "answered" in err


def test_quiet_shows_no_steps(run: Run, script: Script, text: str):
    script(FINISH)
    assert run("ask", "-q", "How long?", text, "--mode", "rlm") == (0, "4\n", "")


def test_json_is_one_object_with_just_these_keys(run: Run, script: Script, text: str):
    script(FINISH)
    code, out, err = run("ask", "--json", "How long?", text, "--mode", "rlm")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert list(answer) == ["answer", "stop", "usage", "run_id", "model"]
    assert (answer["answer"], answer["stop"], answer["model"]) == ("4", "answered", "scripted")
    assert answer["usage"]["turns"] == 1
    assert RunStore().ids() == [answer["run_id"]]


def test_events_are_json_lines_and_what_the_record_holds(run: Run, script: Script, text: str):
    script(cell("print(1)"), FINISH)
    code, out, err = run("ask", "--events", "How long?", text, "--mode", "rlm")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds == ["start", "turn", "reply", "ran", "turn", "reply", "ran", "end"]
    record = RunStore().read(events[0]["run_id"])
    assert [json.loads(msgspec.json.encode(event)) for event in record.events] == events


def test_a_limit_ends_with_3_and_the_partial_answer(run: Run, script: Script, text: str):
    script(cell("print('so far')"))
    code, out, err = run("ask", "q", text, "--mode", "rlm", "--turns", "1")
    assert (code, out) == (3, "so far\n")
    assert "turns (the run used its 1 turn without an answer; raise turns)" in err
    script(cell("print('so far')"))
    code, out, err = run("ask", "-q", "q", text, "--mode", "rlm", "--turns", "1")
    assert (code, out) == (3, "so far\n")
    assert err == (
        "error: turns: the run used its 1 turn without an answer; raise turns (--turns)\n"
    )
    script(cell("print('so far')"))
    code, out, err = run("ask", "--json", "q", text, "--mode", "rlm", "--turns", "1")
    assert (code, err) == (3, "")
    message = json.loads(out)["message"]
    assert message == "the run used its 1 turn without an answer; raise turns"


def test_no_partial_answer_prints_nothing(run: Run, script: Script, text: str):
    script(cell("x = 1"))
    code, out, _ = run("ask", "q", text, "--mode", "rlm", "--turns", "1")
    assert (code, out) == (3, "")


def test_a_model_that_fails_ends_with_4(run: Run, script: Script, text: str):
    script(cell("print('so far')"))  # and then the script is over
    code, out, err = run("ask", "q", text, "--mode", "rlm")
    assert (code, out) == (4, "so far\n")
    assert "model (the script of turns has no more replies)" in err
    assert err.endswith(f"hint: `rlm-local runs resume {RunStore().ids()[-1]}` goes on with it\n")
    script(cell("print('so far')"))
    code, out, err = run("ask", "-q", "q", text, "--mode", "rlm")
    assert (code, err.count("error: model: "), err.count("hint: ")) == (4, 1, 1)
    script(cell("print('so far')"))
    assert run("ask", "--json", "q", text, "--mode", "rlm")[2] == ""


def test_a_sandbox_that_does_not_start_ends_with_5(
    run: Run, script: Script, text: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(notice: object) -> FakeSandbox:
        raise SandboxError("no guest", hint="build it")

    monkeypatch.setattr(runtime, "start_sandbox", fail)
    script(FINISH)
    assert run("ask", "-q", "q", text) == (5, "", "error: no guest\nhint: build it\n")


def test_every_stop_reason_has_its_code():
    from rlm_local.cli.ask import exit_code

    codes = {stop: exit_code(stop) for stop in StopReason}
    limits = set(StopReason) - {
        StopReason.ANSWERED, StopReason.MODEL, StopReason.SANDBOX, StopReason.DISK,
        StopReason.INTERRUPTED,
    }  # fmt: skip
    assert {codes[stop] for stop in limits} == {3}
    assert codes[StopReason.ANSWERED] == 0
    assert codes[StopReason.MODEL] == WorkerDied.exit_code == 4
    assert codes[StopReason.SANDBOX] == SandboxError.exit_code == 5
    assert codes[StopReason.DISK] == DiskError.exit_code == DiskFullError.exit_code == 1
    assert codes[StopReason.INTERRUPTED] == 130
    assert UsageError.exit_code == 2


def test_stdin_is_a_prompt(script: Script, tmp_path: Path):
    for arguments in (["-"], []):
        done = as_process([FINISH], ["ask", "-q", "--mode", "rlm", "q", *arguments], b"abcdefg")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"7\n", b"")


def test_no_prompt_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    code, _, err = run("ask", "q")
    assert code == 2
    assert err == "error: there is no prompt\nhint: give a file, a folder, or - for stdin\n"


def test_settings_come_from_a_file_and_options_come_before_it(
    run: Run, script: Script, text: str, tmp_path: Path
):
    settings = tmp_path / "settings.toml"
    settings.write_text('mode = "rlm"\n[limits]\nturns = 1\ntokens = 12345\n')
    script(cell("x = 1"), FINISH)
    code, out, _ = run("ask", "q", text, "--config", str(settings), "--turns", "2", "--json")
    assert code == 0
    started = RunStore().read(json.loads(out)["run_id"]).events[0]
    assert started.limits["turns"] == 2  # type: ignore[union-attr]
    assert started.limits["tokens"] == 12345  # type: ignore[union-attr]


def test_limits_take_units(run: Run, script: Script, text: str):
    script(FINISH)
    code, out, _ = run(
        "ask", "q", text, "--mode", "rlm", "--json",
        "--wall-seconds", "2m", "--guest-memory", "64MiB", "--memory", "2GB",
    )  # fmt: skip
    assert code == 0
    limits = RunStore().read(json.loads(out)["run_id"]).events[0].limits  # type: ignore[union-attr]
    assert limits["wall_seconds"] == 120
    assert limits["guest_memory_bytes"] == 64 << 20
    assert limits["model_memory_bytes"] == 2_000_000_000


def test_control_characters_of_an_answer_reach_a_pipe_but_no_terminal(
    run: Run, script: Script, text: str, monkeypatch: pytest.MonkeyPatch
):
    script(cell("FINAL('a\\x1b[2Jb')"))
    _, out, err = run("ask", "q", text, "--mode", "rlm")
    assert out == "a\x1b[2Jb\n"
    assert "\x1b" not in err
    script(cell("FINAL('a\\x1b[2Jb')"))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
    _, out, _ = run("ask", "-q", "q", text, "--mode", "rlm")
    assert out == "a\\x1b[2Jb\n"


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["ask", "q", "TEXT", "--turns", "0"], "the limit turns is 0; it must be at least 1", ""),
        (["ask", "q", "TEXT", "--turns", "-3"], "the limit turns is -3", ""),
        (["ask", "q", "TEXT", "--wall-seconds", "0"], "the limit wall_seconds is 0", "seconds"),
        (["ask", "q", "TEXT", "--guest-memory", "0"], "the limit guest_memory_bytes is 0", ""),
        (["ask", "q", "TEXT", "--guest-memory", "much"], "'much' is not a size", "--help"),
        (["ask", "q", "TEXT", "--wall-seconds", "-1s"], "'-1s' is not a time", "--help"),
        (["ask", "q", "TEXT", "--turns", "x"], "'x' is not a valid integer", "--help"),
        (["ask", "q", "TEXT", "--mode", "fast"], "'fast' is not one of", "--help"),
        (["ask", "q", "TEXT", "--modle", "x"], "No such option", "--help"),
        (["ask", "q", "TEXT", "--threads", "0"], "threads is 0", ""),
        (["ask", "q", "TEXT", "--json", "--events"], "exclude each other", "--help"),
        (["ask", " ", "TEXT"], "the question is empty", ""),
        (["ask", "q", "TEXT", "--seed", str(1 << 63)], "and a seed has 64 bits", "take one from"),
        (
            ["ask", "q", "TEXT", "--gpu-layers", "all"],
            "'all' is neither auto nor a number",
            "--help",
        ),
        (["ask", "q", "TEXT", "--config", "none.toml"], "none.toml cannot be read", ""),
        (["ask", "q", "none.txt"], "none.txt", ""),
        (["ask"], "Missing argument 'QUESTION'", "--help"),
        (["aks"], "No such command 'aks'", "--help"),
        (["runs", "show", "nope"], "there is no run 'nope'", "runs list"),
        (["runs", "show", "last"], "no run is recorded yet", "ask a question"),
        (["runs", "list", "--last", "0"], "0 is not in the range", "--help"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    run: Run, script: Script, text: str, arguments: Sequence[str], message: str, hint: str
):
    script(FINISH)
    code, out, err = run(*[text if argument == "TEXT" else argument for argument in arguments])
    assert (code, out) == (2, "")
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert hint in "".join(rest)


def test_unknown_settings_suggest_the_nearest(run: Run, text: str, tmp_path: Path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[limits]\nwall_second = 3\n")
    code, _, err = run("ask", "q", text, "--config", str(settings))
    assert code == 2
    assert err.splitlines() == [
        f"error: {settings}: unknown key 'limits.wall_second'",
        "hint: did you mean 'wall_seconds'?",
    ]


def test_an_unknown_model_ends_with_4(run: Run, text: str):
    code, _, err = run("ask", "q", text, "--model", "nope")
    assert code == 4
    assert err.startswith("error: there is no model named 'nope'\nhint: ")


def test_a_hint_names_the_option_beside_the_limit(
    run: Run, text: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> ScriptedModel:
        raise ModelMemoryError("too large", hint="raise model_memory_bytes")

    monkeypatch.setattr(runtime, "load_model", fail)
    code, _, err = run("ask", "q", text)
    assert (code, err) == (4, "error: too large\nhint: raise model_memory_bytes (--memory)\n")


def test_a_data_folder_that_cannot_be_made(
    run: Run, script: Script, text: str, monkeypatch: pytest.MonkeyPatch
):
    script(FINISH)
    monkeypatch.setenv("RLM_LOCAL_DATA", "/proc/nothing")
    code, _, err = run("ask", "q", text)
    assert code == 2
    assert err.startswith("error: the folder /proc/nothing")
    assert "RLM_LOCAL_DATA" in err


def test_other_system_errors_are_a_sentence_too(
    run: Run, text: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> ScriptedModel:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(runtime, "load_model", fail)
    code, _, err = run("ask", "q", text)
    assert (code, err) == (RlmError.exit_code, "error: /somewhere: Permission denied\n")


# ------------------------------------------------------------------------ runs


def test_runs_are_listed_and_shown(run: Run, script: Script, text: str):
    script(cell("print('a look')"), FINISH)
    run("ask", "How long is it?", text, "--mode", "rlm")
    [run_id] = RunStore().ids()
    code, out, _ = run("runs", "list")
    assert code == 0
    [line] = out.splitlines()
    assert line.startswith(f"{run_id}  answered")
    assert line.endswith("scripted  How long is it?")
    for name in ("last", run_id, run_id[:20]):
        code, out, err = run("runs", "show", name)
        assert (code, err) == (0, "")
        assert "a look" in out
        assert out.endswith("\n4\n")


def test_runs_as_json(run: Run, script: Script, text: str):
    script(FINISH)
    run("ask", "q", text, "--mode", "rlm")
    [run_id] = RunStore().ids()
    [summary] = json.loads(run("runs", "list", "--json")[1])
    assert (summary["run_id"], summary["state"]) == (run_id, "ended")
    assert summary["ended"]["answer"]["text"] == "4"
    shown = json.loads(run("runs", "show", "last", "--json")[1])
    assert (shown["run_id"], shown["torn"]) == (run_id, False)
    assert [event["type"] for event in shown["events"]] == ["start", "turn", "reply", "ran", "end"]


def test_a_runs_tree(run: Run, script: Script, text: str):
    script(cell("FINAL(rlm_query(['Which?', 'xy'], None)[0]['text'])"), FINISH)
    code, out, _ = run("ask", "q", text, "--mode", "rlm", "--depth", "2")
    assert (code, out) == (0, "2\n")
    code, out, err = run("runs", "show", "last", "--tree")
    assert (code, err) == (0, "")
    head, root, child = out.splitlines()
    assert head.split() == ["node", "stop", "turns", "calls", "tokens", "time", "question"]
    assert root.startswith("0 ")
    assert child.startswith("  0.1  answered      1      0 ")
    assert child.endswith("Which? (2 characters)")
    nodes = json.loads(run("runs", "show", "last", "--tree", "--json")[1])
    assert [(node["node"], node["depth"], node["stop"]) for node in nodes] == [
        ("0", 0, "answered"), ("0.1", 1, "answered"),
    ]  # fmt: skip


@pytest.mark.parametrize("depth", ["-1", "9", "deep"])
def test_a_depth_that_cannot_be(run: Run, script: Script, text: str, depth: str):
    script(FINISH)
    code, _, err = run("ask", "q", text, "--depth", depth)
    assert code == 2
    assert "depth" in err


def test_a_list_that_is_cut_says_so(run: Run, script: Script, text: str):
    for _ in range(3):
        script(FINISH)
        run("ask", "q", text, "--mode", "rlm")
    code, out, err = run("runs", "list", "--last", "2")
    assert (code, len(out.splitlines()), err) == (0, 2, "the last 2 of 3 runs (--last N)\n")
    assert run("runs", "list", "--last", "2", "--json")[2] == ""
    assert run("runs", "list", "--last", "3")[2] == ""


def test_no_runs(run: Run):
    assert run("runs", "list") == (0, "", "")
    assert run("runs", "list", "--json") == (0, "[]\n", "")


# ------------------------------------------------------------------- processes


def command_line(turns: Sequence[str], arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "tests.scripted_cli", json.dumps(turns), *arguments]


def as_process(
    turns: Sequence[str], arguments: Sequence[str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command_line(turns, arguments), input=stdin, capture_output=True, cwd=ROOT, timeout=60
    )


def test_a_reader_that_goes_away_is_no_error(text: str):
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (["ask", "-q", "q", text], ["ask", "--events", "q", text]):
        done = subprocess.run(
            command_line([FINISH], [*arguments, "--mode", "rlm"]),
            stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(writing)


@pytest.mark.parametrize("full", [False, True])
def test_steps_that_nobody_can_read_cost_no_answer(text: str, full: bool):
    reading, writing = os.pipe()
    os.close(reading)
    steps = os.open("/dev/full", os.O_WRONLY) if full else writing
    for arguments, code, out in (
        (["ask", "--mode", "rlm", "q", text], 0, b"4\n"),
        (["ask", "--mode", "rlm", "q", "none.txt"], 2, b""),
    ):
        done = subprocess.run(
            command_line([FINISH], arguments),
            stdout=subprocess.PIPE, stderr=steps, cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (code, out)
    os.close(writing)
    if full:
        os.close(steps)


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_an_answer_that_cannot_be_written_is_on_record(text: str, options: list[str]):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command_line([FINISH], ["ask", "--mode", "rlm", "q", text, *options]),
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    *_, error, hint = done.stderr.decode().splitlines()
    assert error == "error: the answer cannot be written: No space left on device"
    assert hint == f"hint: it is on record: `rlm-local runs show {RunStore().ids()[-1]}`"


def test_what_a_file_sets_can_be_taken_back(run: Run, script: Script, tmp_path: Path):
    settings = tmp_path / "settings.toml"
    settings.write_text("replace_bad_bytes = true\nreuse_calls = true\n")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff")
    script(FINISH)
    assert run("ask", "-q", "q", str(bad), "--mode", "rlm", "--config", str(settings))[0] == 0
    given = ("--config", str(settings), "--no-replace-bad-bytes", "--no-reuse-calls")
    code, _, err = run("ask", "-q", "q", str(bad), *given)
    assert code == 2
    assert "is not valid UTF-8" in err


def test_closed_streams_are_no_error(text: str):
    turns = json.dumps([FINISH])
    line = f"{sys.executable} -m tests.scripted_cli '{turns}' ask --mode rlm q"
    for closed, code in ((f"{text} <&-", 0), (f"{text} >&-", 0), (f"{text} 2>&-", 0), ("<&-", 2)):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line} {closed}"], capture_output=True, cwd=ROOT, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
