"""Against servers that others have written: llama-cpp-python's, and llama.cpp's own if it is built.

They serve rlm-nano, so that replies mean something and can be compared with our own engine's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_local import dialogue
from rlm_local.errors import WindowError
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel
from rlm_local.records import Message, Request
from rlm_local.remote.model import RemoteModel
from tests.remote.servers import NANO, WINDOW, free_port, llama_server, running
from tests.remote.test_model import in_thread

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUESTION = "What is the access code for the mill?"
KEY = "sk-secret-0123456789"
KINDS = [
    pytest.param(
        "llama.cpp",
        marks=pytest.mark.skipif(llama_server() is None, reason="llama-server is not built"),
    ),
    "llama-cpp-python",
]


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    with running(request.param, NANO, port=port, log=log):
        tells = request.param == "llama.cpp"
        yield f"http://127.0.0.1:{port}/v1" + ("" if tells else f"?context_tokens={WINDOW}")


@pytest.fixture(scope="module")
def model(url: str) -> Iterator[RemoteModel]:
    with RemoteModel(url) as made:
        yield made


@pytest.fixture(scope="module")
def local() -> Iterator[LlamaModel]:
    with LlamaModel(NANO, memory_bytes=2_048 * MIB, threads=1) as made:
        yield made


def soon() -> float:
    """A deadline that a busy machine does not meet."""
    return time.monotonic() + 250


def say(text: str, **fields: object) -> Request:
    return Request(messages=(Message("user", text),), **{"max_tokens": 64, **fields})  # type: ignore[arg-type]


def opening(**fields: object) -> Request:
    facts = dialogue.PromptFacts(documents=1, single=True, chars=10**6, head="")
    messages = dialogue.opening(dialogue.profile_of("nano"), QUESTION, facts)
    return Request(messages=messages, max_tokens=1_500, stop="fence", **fields)  # type: ignore[arg-type]


def test_what_it_says_of_itself(model: RemoteModel) -> None:
    assert model.info.name == "rlm-nano"
    assert model.info.profile == "nano"
    assert model.info.context_tokens == WINDOW
    assert model.server.counts


def test_a_turn_is_what_our_own_engine_writes(model: RemoteModel, local: LlamaModel) -> None:
    asked = [opening(dialogue="0")]
    [there] = model.complete(asked, deadline=soon(), token_limit=100_000)
    [here] = local.complete(asked, deadline=soon(), token_limit=100_000)
    assert there.text == here.text
    assert there.finish == here.finish == "stop"
    assert there.text.endswith("```")
    assert here.prompt_tokens <= there.prompt_tokens <= here.prompt_tokens + 64 + 16
    assert abs(there.completion_tokens - here.completion_tokens) <= 8


def test_a_turn_that_has_begun(model: RemoteModel) -> None:
    """It is gone on with: not as it would have, since its end is cut into tokens anew. A server
    that cannot writes all of it anew."""
    [whole] = model.complete([opening()], deadline=soon(), token_limit=100_000)
    begun = whole.text[: whole.text.index("\n", len(whole.text) // 2) + 1]
    [again] = model.complete([opening(begun=begun)], deadline=soon(), token_limit=100_000)
    if model.server.kind == "llama.cpp":
        assert again.text.startswith(begun)
        # All of it, to its last token; a whole line of a program may be a single one.
        assert again.prompt_tokens >= whole.prompt_tokens + model.count_tokens(begun) - 1
    else:
        assert again.text == whole.text


def test_counts_are_its_own(model: RemoteModel, local: LlamaModel) -> None:
    text = "The access code for the mill is 8402915.\n" * 40
    assert 0 <= model.count_tokens(text) - local.count_tokens(text) <= 1  # with a first token


def test_a_batch(model: RemoteModel) -> None:
    done = model.complete(
        [say(f"Does food fit? yes or no\nthe soup {number}", max_tokens=8) for number in range(12)],
        deadline=soon(), token_limit=100_000,
    )  # fmt: skip
    assert [c.finish in ("stop", "length") for c in done] == [True] * 12
    assert all(0 < completion.completion_tokens <= 8 for completion in done)


def test_forms(model: RemoteModel) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"sort": {"enum": ["a", "b"]}, "count": {"type": "integer", "minimum": 0,
                                                               "maximum": 9}},
        "required": ["sort", "count"],
    }  # fmt: skip
    choice, made = model.complete(
        [say("Which?", choices=("red", 'light "blue"\n')), say("What?", schema=schema)],
        deadline=soon(), token_limit=100_000,
    )  # fmt: skip
    assert choice.text in ("red", 'light "blue"\n')
    assert made.finish in ("stop", "length")
    if made.finish == "stop":
        assert set(json.loads(made.text)) == {"sort", "count"}


def test_a_prompt_that_does_not_fit(model: RemoteModel) -> None:
    with pytest.raises(WindowError) as raised:
        model.complete([say("word " * 4_000)], deadline=soon(), token_limit=100_000)
    assert raised.value.fits == WINDOW - 32
    # Just too long, so that only the server can tell where it counts as we do.
    room = WINDOW - 32 - model.count_tokens("word " * 100) // 100
    [done] = model.complete([say("word " * (room // 2))], deadline=soon(), token_limit=100_000)
    assert done.finish in ("stop", "length")


def test_tokens_and_deadlines_end_replies(model: RemoteModel) -> None:
    [few] = model.complete([opening()], deadline=soon(), token_limit=150)
    assert few.finish == "tokens"
    assert 0 < few.work_tokens <= 150
    [cut] = model.complete([opening()], deadline=time.monotonic() + 0.4, token_limit=100_000)
    [whole] = model.complete([opening()], deadline=soon(), token_limit=100_000)
    # A fast machine may be done by then.
    assert cut.finish == "deadline" or (cut.finish, cut.text) == ("stop", whole.text)
    assert whole.text.startswith(few.text)
    assert whole.text.startswith(cut.text)


def test_a_cancelled_call_frees_the_server(model: RemoteModel) -> None:
    thread, got = in_thread(model, [opening(node="0.1"), opening(node="0.1")])
    time.sleep(0.3)
    model.cancel("0.1")
    thread.join(30)
    assert len(got) == 2
    [done] = model.complete([say("Go on.", max_tokens=4)], deadline=soon(), token_limit=100_000)
    assert done.completion_tokens > 0


# ------------------------------------------------------------------- the whole program


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    filler = "The rain fell on a grey hill and nobody came to see it.\n"
    path.write_text(filler * 30_000 + "The access code for the mill is 8402915.\n" + filler * 9_000)
    return path


def rlm_local(*arguments: str | Path, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlm_local", *map(str, arguments)],
        capture_output=True, text=True, timeout=240,
        env={**os.environ, "RLM_LOCAL_DATA": str(data), "RLM_LOCAL_API_KEY": KEY},
    )  # fmt: skip


def test_a_needle_is_found_over_the_wire(url: str, book: Path, tmp_path: Path) -> None:
    """Behind the wall, with a key that is nowhere on record."""
    data = tmp_path / "data"
    done = rlm_local("ask", "--json", "--mode", "rlm", QUESTION, book, "--model", url, data=data)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["answer"], found["model"]) == ("8402915", "rlm-nano")
    assert found["usage"]["completion_tokens"] > 0
    written = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert url.encode() in written
    assert KEY.encode() not in written


def test_the_doctor_tries_a_server(url: str, tmp_path: Path) -> None:
    done = rlm_local("doctor", "--json", "--model", url, data=tmp_path)
    [check] = [c for c in json.loads(done.stdout) if c["name"] == f"model {url}"]
    assert check["ok"], check
    assert "window 2,048 tokens" in check["detail"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_outlives_its_server(kind: str, book: Path, tmp_path: Path) -> None:
    """The server is killed between two turns: the run says so, and goes on when asked."""
    port, data, log = free_port(), tmp_path / "data", tmp_path / "log"
    url = f"http://127.0.0.1:{port}/v1?context_tokens={WINDOW}"
    with running(kind, NANO, port=port, log=log) as server:
        run = subprocess.Popen(
            [sys.executable, "-m", "rlm_local", "ask", "--events", "--mode", "rlm", QUESTION,
             str(book), "--model", url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "RLM_LOCAL_DATA": str(data)},
        )  # fmt: skip
        assert run.stdout is not None
        for line in run.stdout:
            if json.loads(line)["type"] == "ran":
                server.kill()
                break
        rest, complaint = run.communicate(timeout=120)
    ended = json.loads(rest.splitlines()[-1])
    assert run.returncode == 4, complaint
    assert ended["answer"]["stop"] == "model"
    assert f"http://127.0.0.1:{port}/v1 failed in 6 attempts" in ended["answer"]["message"]
    with running(kind, NANO, port=port, log=log):
        done = rlm_local("runs", "resume", "last", "--json", data=data)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["answer"], found["stop"]) == ("8402915", "answered")
