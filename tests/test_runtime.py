"""Wiring: contexts of every kind, what is on record, and who is closed when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rlm_local
from bench import models
from rlm_local import runtime
from rlm_local.asked import Context
from rlm_local.errors import ModelError, ModelFileError, PromptError, SandboxError, UsageError
from rlm_local.limits import Limits
from rlm_local.llama import model as llama_model
from rlm_local.model import ScriptedModel
from rlm_local.options import ModelOptions
from rlm_local.records import Event, RunEnded, RunStarted, StopReason
from rlm_local.runs import RunState, RunStore
from rlm_local.runtime import Runtime
from tests.fakes import FakeSandbox, cell


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_LOCAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path / "data"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeSandbox]]:
    """The sandboxes that were started."""
    sandboxes: list[FakeSandbox] = []

    def start(notice: object) -> FakeSandbox:
        sandboxes.append(FakeSandbox())
        return sandboxes[-1]

    monkeypatch.setattr(runtime, "start_sandbox", start)
    yield sandboxes
    assert all(sandbox.closed for sandbox in sandboxes)


def say(code: str) -> ScriptedModel:
    return ScriptedModel([cell(f"FINAL({code})")])


def test_the_library_answers(made: list[FakeSandbox]):
    events: list[Event] = []
    answer = rlm_local.ask(
        "How long?", "four", model=say("len(context)"), mode="rlm", on_event=events.append
    )
    assert (answer.text, answer.stop) == ("4", StopReason.ANSWERED)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    record = RunStore().read(answer.run_id)
    assert list(record.events) == events
    assert record.state is RunState.ENDED
    assert len(made) == 1


def test_every_kind_of_context(made: list[FakeSandbox], tmp_path: Path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("ein")
    two.write_text("zwei")
    contexts: list[tuple[Context, str]] = [
        ("a text", "a text"),
        ("one.txt", "one.txt"),  # a str is a text, never a path
        (one, "ein"),
        ([one], "ein"),
        ([one, two], "['ein', 'zwei']"),
        (["a", "b"], "['a', 'b']"),
        ({"x": "a", "y": "b"}, "['a', 'b']"),
    ]
    for context, seen in contexts:
        answer = rlm_local.ask("What?", context, model=say("str(context)"), mode="rlm")
        assert answer.text == seen


def test_a_prompt_may_be_asked_about_many_times(made: list[FakeSandbox]):
    model = ScriptedModel([cell("FINAL(1)"), cell("FINAL(2)")])
    with Runtime(model=model) as session, session.open("text") as prompt:
        answers = [session.ask("q", prompt, mode="rlm").text for _ in range(2)]
        assert not prompt.closed
    assert answers == ["1", "2"]
    assert len(made) == 1
    assert len(RunStore().ids()) == 2


@pytest.mark.parametrize(
    ("question", "context", "mode", "message"),
    [
        (" ", "text", "auto", "the question is empty"),
        ("q", "text", "fast", "there is no mode 'fast'"),
        ("q", ["text", Path("x")], "auto", "the context holds PosixPath, str"),
        ("q", ["text", 3], "auto", "the context holds int, str"),
        ("q", b"text", "auto", "the context holds int"),
        ("q", None, "auto", "the context is of the type NoneType"),
        ("q", {"name": 3}, "auto", "the context's texts hold int"),
        ("q", {3: "text"}, "auto", "the context's texts hold int"),
        (3, "text", "auto", "the question is of the type int"),
    ],
)
def test_what_cannot_be_asked(
    made: list[FakeSandbox], question: str, context: Context, mode: str, message: str
):
    with pytest.raises(UsageError, match=message):
        rlm_local.ask(question, context, model=say("1"), mode=mode)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 3}, "the model is of the type int"),
        ({"sub_model": 3}, "the model is of the type int"),
        ({"limits": {"turns": 3}}, "the limits are of the type dict"),
        ({"seed": "x"}, "the seed is of the type str"),
    ],
)
def test_what_is_of_another_type_is_told(
    made: list[FakeSandbox], given: dict[str, Any], message: str
):
    with pytest.raises(UsageError, match=message) as caught:
        rlm_local.ask("q", "text", **{"model": say("1"), **given})
    assert caught.value.hint


def test_bad_prompts_come_out_as_they_are(made: list[FakeSandbox], tmp_path: Path):
    for context in ("", [], tmp_path / "none.txt"):
        with pytest.raises(PromptError):
            rlm_local.ask("q", context, model=say("1"))


def test_a_model_handed_over_stays_open(made: list[FakeSandbox]):
    model = say("1")
    rlm_local.ask("q", "text", model=model, mode="rlm")
    assert not model.closed


def test_a_model_by_name_is_loaded_with_the_limits_and_closed(
    made: list[FakeSandbox], monkeypatch: pytest.MonkeyPatch
):
    loaded: list[dict[str, object]] = []
    model = say("1")

    def load(name: str, **options: object) -> ScriptedModel:
        loaded.append({"name": name, **options})
        return model

    monkeypatch.setattr(runtime, "load_model", load)
    limits = Limits(model_memory_bytes=12345)
    asked = ModelOptions(context_tokens=99, threads=3, kv_type="q8_0", gpu_layers=7)
    with Runtime(model="some", limits=limits, options=asked) as session:
        assert session.ask("q", "text", mode="rlm").text == "1"
        assert not model.closed
    assert model.closed
    [options] = loaded
    assert callable(options.pop("progress"))
    assert callable(options.pop("notice"))
    assert options == {
        "name": "some", "adapters": (), "memory_bytes": 12345, "gpu_share": 1.0, "draft": None,
        "options": asked,
    }  # fmt: skip


def test_what_a_model_does_without_is_told(
    made: list[FakeSandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A GPU that fails is gone without, and the runtime's watcher hears of it."""

    def broken() -> tuple[()]:
        raise ModelError("the GPUs cannot be asked")

    monkeypatch.setattr(llama_model, "find_gpus", broken)
    path = models.write(models.SHAPES["tiny"], tmp_path / "tiny.gguf")
    told: list[tuple[str, int, int]] = []
    with Runtime(model=path, progress=lambda *what: told.append(what)) as session:
        assert session.model.info.path
    assert ("the GPUs cannot be asked; the model computes without", 0, 0) in told


def test_an_unknown_model_is_a_clear_error(made: list[FakeSandbox]):
    with pytest.raises(ModelFileError, match="no model named 'nope'"):
        rlm_local.ask("q", "text", model="nope")


def test_a_sandbox_that_does_not_start(monkeypatch: pytest.MonkeyPatch):
    def fail(notice: object) -> FakeSandbox:
        raise SandboxError("no guest")

    monkeypatch.setattr(runtime, "start_sandbox", fail)
    with pytest.raises(SandboxError, match="no guest"):
        rlm_local.ask("q", "text", model=say("1"))


def test_parts_start_side_by_side(monkeypatch: pytest.MonkeyPatch):
    """Each start waits for the other one to have begun."""
    barrier = threading.Barrier(2, timeout=10)

    def load(*_: object, **__: object) -> ScriptedModel:
        barrier.wait()
        return say("1")

    def start(notice: object) -> FakeSandbox:
        barrier.wait()
        return FakeSandbox()

    monkeypatch.setattr(runtime, "load_model", load)
    monkeypatch.setattr(runtime, "start_sandbox", start)
    assert rlm_local.ask("q", "text", mode="rlm").text == "1"


def test_a_long_prompt_is_not_read_for_a_model_that_is_not_there(
    made: list[FakeSandbox], tmp_path: Path
):
    path = tmp_path / "long.txt"
    path.write_bytes(b"line\n" * 4_000_000)
    seen: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "reading":
            seen.append(done)
            time.sleep(0.05)

    with (
        pytest.raises(ModelFileError, match="no model named"),
        Runtime(model="nope", progress=progress) as session,
    ):
        session.ask("q", path)
    assert not seen or seen[-1] < path.stat().st_size


def test_closing_ends_a_start_that_is_under_way(made: list[FakeSandbox]):
    """As on Ctrl-C while a large model loads: its own progress report breaks it off."""
    loading, ended = threading.Event(), threading.Event()

    def load(*_: object, progress: object, **__: object) -> ScriptedModel:
        assert callable(progress)
        try:
            while True:
                progress(1, 2)
                loading.set()
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "load_model", load)
        session = Runtime(model="some")
        assert loading.wait(10)
        session.close()
        session.close()
    assert ended.wait(10)


def test_what_a_watcher_raises_comes_out(made: list[FakeSandbox]):
    def gone(event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        rlm_local.ask("q", "text", model=say("1"), on_event=gone)


def test_the_package_exports_lazily():
    for name in rlm_local.__all__:
        assert getattr(rlm_local, name) is not None
        assert name in dir(rlm_local)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        rlm_local.nope  # noqa: B018
