"""Two models and their adapters through the command line: real files, workers and the wall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import models
from rlm_local.confine import VARIABLE
from rlm_local.limits import MIB
from rlm_local.paths import cache_folder
from tests.confine.test_wall import offered
from tests.llama import build, lora

ROOT = Path(__file__).parent.parent.parent
CELL = [
    b"```repl\n",
    b"said = llm_query_batched(['hello there', 'other', 'hello there'])\n",
    b"FINAL(said)\n",
    b"```",
]


class Files:
    """A root that runs CELL, a reader of random weights, and an adapter for each."""

    def __init__(self, folder: Path) -> None:
        self.text = folder / "text.txt"
        self.text.write_text("It rained all day.\nThe access code for the mill is 8402915.\n")
        self.root = build.talker(folder, CELL, context=8_192)
        self.reader = models.write(models.SHAPES["tiny"], folder / "reader.gguf")
        # One that changes nothing: the root must say what it says.
        query = lora.matrices(self.root, ("blk.0.attn_q.weight",))
        nothing = {name: (a, 0 * b) for name, (a, b) in query.items()}
        self.nothing = lora.write(folder / "nothing.gguf", nothing)
        self.style = lora.write(
            folder / "style.gguf", lora.matrices(self.reader, ("output.weight",)), alpha=4.0
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("two"))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))


def command(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rlm_local", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def ask(files: Files, *options: object, model: object = "", code: int = 0) -> dict[str, object]:
    shown = command(
        *("ask", "--json", "--mode", "rlm", "What is the access code for the mill?", files.text),
        *("--sub-call-tokens", 6, "--model", model or files.root, *options),
        code=code,
    )
    found: dict[str, object] = {"error": shown} if code else json.loads(shown)
    return found


def test_rlm_nano_with_a_sub_model(files: Files) -> None:
    answer = ask(files, "--sub-model", files.reader, model="rlm-nano")
    assert (answer["model"], answer["sub_model"]) == ("rlm-nano", "reader")
    assert answer["answer"] == "8402915"


@pytest.mark.slow
def test_each_call_is_answered_by_the_sub_model(files: Files) -> None:
    alone = ask(files)
    assert "sub_model" not in alone
    two = ask(files, "--sub-model", files.reader)
    styled = ask(files, "--sub-model", files.reader, "--sub-lora", files.style)
    half = ask(files, "--sub-model", files.reader, "--sub-lora", f"{files.style}:0.5")
    said = [answer["answer"] for answer in (alone, two, styled, half)]
    assert len(set(said)) == 4
    assert [each["model"] for each in (alone, two, styled, half)] == ["model"] * 4
    assert [each["sub_model"] for each in (two, styled, half)] == [
        *("reader", "reader+style", "reader+style:0.5")
    ]
    usage = two["usage"]
    assert isinstance(usage, dict)
    assert usage["call_tokens"] > 0
    assert usage["reused_calls"] == 1


def test_adapters_of_the_root(files: Files) -> None:
    plain, adapted = ask(files), ask(files, "--lora", files.nothing, "--lora", f"{files.nothing}:2")
    assert adapted["answer"] == plain["answer"]
    assert adapted["model"] == "model+nothing+nothing:2"


def test_a_second_worker_of_the_same_model(files: Files) -> None:
    answer = ask(files, "--sub-lora", files.nothing)
    assert (answer["model"], answer["sub_model"]) == ("model", "model+nothing")
    assert answer["answer"] == ask(files)["answer"]


@pytest.mark.slow
def test_settings_from_a_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        f'sub_model = "{files.reader}"\nsub_lora = ["{files.style}:0.5"]\nlora = []\n'
    )
    answer = ask(files, "--config", tmp_path / "settings.toml")
    assert answer["sub_model"] == "reader+style:0.5"
    answer = ask(files, "--config", tmp_path / "settings.toml", "--sub-lora", files.style)
    assert answer["sub_model"] == "reader+style"


@pytest.mark.slow
def test_going_through_a_run_again(files: Files) -> None:
    first = ask(
        *(files, "--lora", files.nothing, "--sub-model", files.reader),
        *("--sub-lora", f"{files.style}:0.5"),
    )
    run_id = first["run_id"]
    assert json.loads(command("runs", "replay", "--json", run_id))["equal"]
    forked = json.loads(command("runs", "fork", "--json", run_id, "--turn", 0))
    for key in ("answer", "model", "sub_model"):
        assert forked[key] == first[key]
    other = json.loads(
        command("runs", "fork", "--json", run_id, "--turn", 0, "--sub-lora", files.style)
    )
    assert other["sub_model"] == "reader+style"
    assert "for sub-calls" in command("runs", "show", run_id)


@pytest.mark.slow
def test_replies_of_earlier_runs(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "cache"
    own.mkdir(mode=0o700)
    for name in ("guest", "compiled", "snapshot"):  # what takes long to make
        (own / name).symlink_to(cache_folder(name))
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(own))
    options = ("--sub-model", files.reader, "--sub-lora", files.style, "--reuse-calls")
    first, again = ask(files, *options), ask(files, *options)
    other = ask(files, "--sub-model", files.reader, "--reuse-calls")
    assert first["answer"] == again["answer"] != other["answer"]
    used = [each["usage"] for each in (first, again, other)]
    assert [each["reused_calls"] for each in used] == [1, 3, 1]  # type: ignore[index]
    assert used[1]["call_tokens"] == 0  # type: ignore[index]
    # A run that is forked goes on as it was asked to.
    forked = json.loads(command("runs", "fork", "--json", again["run_id"], "--turn", 0))
    assert forked["usage"]["reused_calls"] == 3
    [kept] = (own / "replies").glob("*.sqlite3")
    kept.write_bytes(b"damaged" * 1_000)
    for rest in (own / "replies").glob("*-*"):
        rest.unlink()
    assert ask(files, *options)["answer"] == first["answer"]
    assert kept.read_bytes() == b"damaged" * 1_000


@pytest.mark.skipif(offered() < 6, reason="needs Linux with Landlock 6")
def test_the_wall_stands_around_both(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the other tests ran behind it: what is not named cannot be read."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom rlm_local import wall\n"
        "from rlm_local.records import Adapter\n"
        "root, reader, style, nothing = map(Path, sys.argv[1:])\n"
        "wall.put_up([], models=[root, str(reader)], adapters=[Adapter(path=str(style))])\n"
        "for path in (root, reader, style, nothing):\n"
        "    try:\n        path.read_bytes()\n        print('read')\n"
        "    except PermissionError:\n        print('refused')\n"
    )
    monkeypatch.delenv(VARIABLE, raising=False)
    paths = (files.root, files.reader, files.style, files.nothing)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["read", "read", "read", "refused"], done.stderr


def test_what_cannot_be(files: Files) -> None:
    error = ask(files, "--sub-model", files.reader, "--memory", 120 * MIB, code=4)["error"]
    assert "model needs" in str(error)
    assert "random-tiny needs" in str(error)
    assert "the limit for both is 120 MiB" in str(error)
    assert "--memory" in str(error)
    error = ask(files, "--lora", files.style, code=4)["error"]
    assert "'output.weight.lora_a' has the shape (64, 4)" in str(error)
    error = ask(files, "--lora", files.root, code=4)["error"]
    assert "it holds a model, not an adapter" in str(error)
    error = ask(files, "--sub-model", "nope", code=4)["error"]
    assert "no model named 'nope'" in str(error)
