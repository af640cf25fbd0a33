"""The command line with a model on a server of our own: whole runs, behind the wall."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlm_local.records import Ran
from rlm_local.runs import RunStore
from tests.remote.fake import Answer, Fake, Handler, says, stalls, stalls_once_taken, status, usage

ASKS = """I ask.
```repl
colours = llm_query_batched([f"Which colour is {n}?" for n in range(6)], choices=["red", "blue"])
try:
    llm_query("Which colour is the last?", choices=["red", "blue"])
except ValueError as error:
    print(error)
FINAL(" ".join(colours))
```"""


def command(
    fake: Fake, text: Path, *arguments: str, query: str = "context_tokens=4000"
) -> list[str]:
    given = ["ask", "What is it?", str(text), "--model", fake.url(query), *arguments]
    return [sys.executable, "-m", "rlm_local", *given]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "RLM_LOCAL_DATA": str(tmp_path / "data")}


def run(arguments: Sequence[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=120, env=environment(tmp_path)
    )


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("It rained all day.\n" * 1_000)
    return path


def colours(handler: Handler) -> None:
    """Turns, and sub-calls: the last of those does not keep to its form."""
    asked = handler.body["messages"][-1]["content"]
    if "Which colour" not in asked:
        return says(ASKS, used=usage(100, 50))(handler)
    answer = "green" if "last" in asked else "blue" if asked[16] in "135" else "red"
    return says(json.dumps(answer), used=usage(10, 1))(handler)


def test_a_run_with_sub_calls(text: Path, tmp_path: Path) -> None:
    with Fake(colours).running() as fake:
        done = run(command(fake, text, "--mode", "rlm", "--json"), tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["answer"] == "red blue red blue red blue"
        assert found["model"] == "served"
        assert len(fake.chats) == 8
    levels = found["usage"]["by_depth"]
    assert (levels[1]["prompt_tokens"], levels[1]["completion_tokens"]) == (70, 7)  # all are paid
    record = RunStore(tmp_path / "data" / "runs").read(found["run_id"])
    [ran] = [event for event in record.events if isinstance(event, Ran)]
    assert "the reply is not one of the choices: 'green'" in ran.observation.stdout


def test_two_servers(text: Path, tmp_path: Path) -> None:
    """Turns go to one, sub-calls to the other; each with settings of its own."""
    with Fake(colours, "vllm").running() as turns, Fake(colours).running() as calls:
        sub = calls.url("context_tokens=300&connections=2")
        given = command(turns, text, "--mode", "rlm", "--json", "--sub-model", sub, query="")
        done = run(given, tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["answer"] == "red blue red blue red blue"
        assert (len(turns.chats), len(calls.chats)) == (1, 7)
        assert calls.most_at_work <= 2


@pytest.mark.slow
def test_sub_calls_on_a_server_and_turns_here(text: Path, tmp_path: Path) -> None:
    """The other way round: our own engine's worker is behind the same wall, and works."""
    text.write_text(text.read_text() + "The access code for the mill is 8402915.\n")
    with Fake(colours).running() as calls:
        given = [sys.executable, "-m", "rlm_local", "ask", "--json", "--mode", "rlm"]
        given += ["What is the access code for the mill?", str(text), "--sub-model", calls.url()]
        done = run(given, tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["answer"], found["model"]) == ("8402915", "rlm-nano")
        assert found["sub_model"] == "served"


@pytest.mark.slow
def test_adapters_are_for_models_of_this_machine(text: Path, tmp_path: Path) -> None:
    with Fake(says("x")).running() as fake:
        done = run(command(fake, text, "--lora", str(text)), tmp_path)
    assert done.returncode == 2
    assert "LoRA adapters were given for a model on a server" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (status(401, {"detail": "no key"}), 4, "refused (401): {\"detail\": \"no key\"}"),
        (status(400, {"error": {"message": "context length exceeded"}}), 2, "fit the model's"),
        (says("text", finish="abort"), 4, "broke off a reply after 1 tokens"),
    ],
)  # fmt: skip
def test_runs_that_a_server_ends(
    answer: Answer, code: int, said: str, text: Path, tmp_path: Path
) -> None:
    with Fake(answer).running() as fake:
        done = run(command(fake, text, "--mode", "rlm"), tmp_path)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "does not say how large the model's window is"),
        ("context_tokens=9&model=x", "has no model 'x'"),
        ("window=9", "asks for 'window'"),
    ],
)
def test_urls_that_cannot_be_used(query: str, said: str, text: Path, tmp_path: Path) -> None:
    with Fake(says("x")).running() as fake:
        done = run(command(fake, text, query=query), tmp_path)
    assert done.returncode in (2, 4)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_prints_what_has_come(text: Path, tmp_path: Path) -> None:
    with Fake(stalls_once_taken("Half an ", "answer"), "llama-cpp-python").running() as fake:
        asked = subprocess.Popen(
            command(fake, text, "--mode", "direct", query="context_tokens=30000"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path),
        )  # fmt: skip
        assert fake.taken.wait(60)
        asked.send_signal(signal.SIGINT)
        printed, complaint = asked.communicate(timeout=60)
        assert fake.gone.acquire(timeout=30)
    assert asked.returncode == 130, complaint
    assert printed.strip() == "Half an answer"


@pytest.mark.slow
def test_a_deadline_prints_what_has_come(text: Path, tmp_path: Path) -> None:
    with Fake(stalls("Half an ", "answer"), "llama-cpp-python").running() as fake:
        for seconds in ("2", "8", "32"):  # on a slow machine it may come before the first word
            given = ["--mode", "direct", "--wall-seconds", seconds]
            done = run(command(fake, text, *given, query="context_tokens=30000"), tmp_path)
            assert done.returncode == 3, done.stderr
            if done.stdout.strip():
                break
    assert done.stdout.strip() == "Half an answer"


@pytest.mark.slow
def test_a_run_is_resumed_on_its_server(text: Path, tmp_path: Path) -> None:
    """Also after the server has failed, with what it had said before."""
    first = says("```repl\nx = 7\n```", used=usage(100, 10))
    broken = says("text", finish="abort")
    with Fake([first, broken, says("```repl\nFINAL(x * 6)\n```")]).running() as fake:
        done = run(command(fake, text, "--mode", "rlm"), tmp_path)
        assert done.returncode == 4, done.stderr
        done = run([sys.executable, "-m", "rlm_local", "runs", "resume", "last"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "42"
    assert len(fake.chats) == 3


@pytest.mark.slow
def test_a_server_has_no_file(tmp_path: Path) -> None:
    for name, code, said in (
        ("info", 4, "is a server, and has no file here"),
        ("verify", 4, "is a server, and has no file here"),
        ("plan", 2, "is on another machine, and takes no memory of this one"),
    ):
        done = run([sys.executable, "-m", "rlm_local", "models", name, "http://box/v1"], tmp_path)
        assert done.returncode == code
        assert f"http://box/v1 {said}" in done.stderr


@pytest.mark.slow
def test_the_doctor_says_what_a_server_does_not_tell(tmp_path: Path) -> None:
    with Fake(says("Hello", used=usage(9, 1))).running() as fake:
        url = fake.url()
        given = [sys.executable, "-m", "rlm_local", "doctor", "--json", "--model", url]
        done = run(given, tmp_path)
    [check] = [check for check in json.loads(done.stdout) if check["name"] == f"model {url}"]
    assert check["ok"], check
    assert "served; tokens of replies that are cut short are estimated" in check["detail"]
