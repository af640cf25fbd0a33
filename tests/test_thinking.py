"""Runs of models that think before they answer, and the forms that turns are asked for in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlm_local import controller
from rlm_local.journal import Journal
from rlm_local.limits import Limits
from rlm_local.llama import LlamaModel
from rlm_local.memo import MemoModel
from rlm_local.model import ModelWrapper, ScriptedModel
from rlm_local.past import Past
from rlm_local.prompt import prompt_from_text
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    ModelInfo,
    Replied,
    Request,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
)
from rlm_local.wasm import WasmSandbox
from tests.llama import build
from tests.llama.conftest import MEMORY
from tests.llama.test_thoughts import CODE, KNOWS, LINES

TEXT = "The gate code is 4711.\n" * 400


@pytest.fixture(scope="module")
def sandbox() -> Iterator[WasmSandbox]:
    made = WasmSandbox()
    yield made
    made.close()


class Thinker(ScriptedModel):
    """Its replies are given as `thought|text`; what it thinks in a turn costs 10 tokens."""

    @property
    def info(self) -> ModelInfo:
        return msgspec.structs.replace(super().info, thinks=True)

    def _complete(self, request: Request) -> Completion:
        made = super()._complete(request)
        if request.begun:
            thought, mark, text = made.text.rpartition("</think>")
            return msgspec.structs.replace(made, text=text, thought=thought + mark)
        thought, _, text = made.text.rpartition("|")
        if not request.thought_tokens or not thought:
            return msgspec.structs.replace(made, text=text)
        return msgspec.structs.replace(
            made,
            text=text,
            thought=f"<think>{thought}</think>",
            thought_tokens=10,
            completion_tokens=made.completion_tokens + 10,
        )


class Run:
    def __init__(self, sandbox: WasmSandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.events: list[Event] = []

    def __call__(self, model: Any, *, past: Sequence[Event] = (), **how: Any) -> Answer:
        journal = Journal(self.events.append, past=Past(past))
        limits = Limits(**how.pop("limits", {}))
        with prompt_from_text(how.pop("text", TEXT), folder=self.folder) as prompt:
            return controller.answer(
                "What is the code?",
                prompt,
                model=model,
                sandbox=self.sandbox,
                limits=limits,
                run_id="test",
                record=journal.record,
                journal=journal,
                **{"mode": "rlm", **how},
            )

    @property
    def replies(self) -> list[Replied]:
        return [event for event in self.events if isinstance(event, Replied)]


@pytest.fixture
def run(sandbox: WasmSandbox, tmp_path: Path) -> Run:
    return Run(sandbox, tmp_path)


def cell(code: str) -> str:
    return f"I look.\n```repl\n{code}\n```\n"


TURNS = [
    f"FINAL('plan')\n{cell('FINAL(1)')}|" + cell("print('seen')"),
    "|" + cell("FINAL(llm_query('which?'))"),
]


def test_thoughts_are_neither_run_nor_remembered(run: Run) -> None:
    model = Thinker(TURNS, sub_calls=["hm|4711"])
    answer = run(model, limits={"thought_tokens": 50, "sub_call_thought_tokens": 20})
    assert (answer.text, answer.stop) == ("4711", StopReason.ANSWERED)
    first, second, call = model.requests
    assert [one.content for one in second.messages[len(first.messages) :]] == [
        cell("print('seen')"),
        "seen",
    ]
    assert (first.thought_tokens, call.thought_tokens) == (50, 20)
    thought = run.replies[0].completion
    assert thought.thought.startswith("<think>FINAL('plan')")
    [called] = [event for event in run.events if isinstance(event, SubCalled)]
    assert called.completions[0].thought == "<think>hm</think>"
    assert answer.usage.thought_tokens == 20
    assert [one.thought_tokens for one in answer.usage.by_depth] == [10, 10]
    assert answer.usage.completion_tokens >= 20


def test_the_budget_counts_what_is_thought(run: Run) -> None:
    """A turn that would go over the limit while it thinks ends the run."""
    answer = run(Thinker(TURNS), limits={"tokens": 300})
    assert answer.stop is StopReason.TOKENS
    assert answer.usage.work_tokens <= 300


def test_no_thoughts_where_none_are_wanted(run: Run) -> None:
    model = Thinker(TURNS, sub_calls=["hm|4711"])
    assert run(model, limits={"thought_tokens": 0}).usage.thought_tokens == 0


def test_thoughts_go_into_no_answer(run: Run) -> None:
    answer = run(Thinker(["It says 4711.|4711"]), mode="direct", text="The code is 4711.")
    assert (answer.text, answer.usage.thought_tokens) == ("4711", 10)


def test_a_run_that_goes_on_pays_for_its_thoughts_once(run: Run) -> None:
    limits = {"thought_tokens": 50, "sub_call_thought_tokens": 20, "syntax_retries": 1}
    replies = [TURNS[0].replace("print('seen')", "print('seen'"), "print('seen')\n```", TURNS[1]]
    whole = run(Thinker(replies, sub_calls=["hm|4711"]), limits=limits)
    assert [reply.completion.retries for reply in run.replies] == [1, 0]
    assert run.replies[0].text == cell("print('seen')").rstrip()
    events = list(run.events)
    for until in range(1, len(events)):
        run.events.clear()
        spent = len([event for event in events[:until] if isinstance(event, Replied)])
        asked = len([event for event in events[:until] if isinstance(event, SubCalled)])
        left = replies[[0, 2, 3][spent] :]
        model = Thinker(left, sub_calls=["hm|4711"][asked:])
        answer = run(model, past=events[:until], limits=limits)
        assert answer.text == whole.text
        for name in ("completion_tokens", "prompt_tokens", "thought_tokens", "turns"):
            assert getattr(answer.usage, name) == getattr(whole.usage, name), (until, name)


def test_equal_calls_are_known_again_with_their_thoughts() -> None:
    said = Completion(
        text="4711",
        finish="stop",
        prompt_tokens=5,
        cached_tokens=0,
        completion_tokens=12,
        seconds=0.1,
        thought="<think>hm</think>",
        thought_tokens=9,
    )
    past = [
        RunStarted(
            run_id="r",
            time=0,
            question="",
            model="scripted",
            mode="rlm",
            prompt={},
            limits={"sub_call_tokens": 64, "sub_call_thought_tokens": 30},
        ),
        SubCalled(turn=1, prompts=("which?",), replies=("4711",), completions=(said,), seconds=0.1),
    ]
    model = MemoModel(ScriptedModel(), past=past)
    from rlm_local.dialogue import sub_call

    request = Request(messages=sub_call("which?"), max_tokens=64, thought_tokens=30)
    [again] = model.complete([request], deadline=1e12, token_limit=100)
    assert (again.text, again.reused, again.work_tokens, again.thought_tokens) == (
        "4711",
        True,
        0,
        0,
    )


# ------------------------------------------------------------------ the form of turns


class Named(ModelWrapper):
    def __init__(self, model: ScriptedModel, profile: str) -> None:
        super().__init__(model)
        self._profile = profile

    @property
    def info(self) -> ModelInfo:
        return msgspec.structs.replace(self._model.info, profile=self._profile)


@pytest.mark.parametrize(
    ("profile", "form", "block"),
    [
        ("generic", "auto", True),
        ("generic", "free", False),
        ("nano", "auto", False),
        ("nano", "block", True),
    ],
)
def test_who_must_write_a_block(run: Run, profile: str, form: str, block: bool) -> None:
    model = ScriptedModel([cell("FINAL(1)")])
    run(Named(model, profile), turn_form=form)
    assert [(one.block, one.stop) for one in model.requests] == [(block, "fence")]
    started = run.events[0]
    assert isinstance(started, RunStarted)
    assert started.turn_form == form


def test_an_answer_to_a_prompt_that_was_read_is_no_turn(run: Run) -> None:
    model = ScriptedModel(["So:\n```python\nx\n```\nThat is all."])
    answer = run(model, mode="direct", text="short", turn_form="block")
    assert answer.text.endswith("That is all.")
    assert [(one.block, one.stop) for one in model.requests] == [(False, "")]


# ------------------------------------------------------------------ with the real engine


def test_a_model_that_thinks(run: Run, tmp_path: Path) -> None:
    said = [
        b"<think>",
        *CODE,
        b"</think>",
        b"\n\n",
        b"So\n",
        b"```python\n",
        b"FINAL(42)",
        b"\n```",
    ]
    path = build.talker(tmp_path, said, template=KNOWS, context=8_192)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        answer = run(model)
    assert answer.text == "42"
    [reply] = run.replies
    assert reply.text == "So\n```python\nFINAL(42)\n```"
    assert reply.completion.thought_tokens == answer.usage.thought_tokens == 7
    assert isinstance(run.events[-1], RunEnded)


def test_code_is_written_again_from_the_cache(run: Run, tmp_path: Path) -> None:
    """After a line break it says 7 again, and then the fence that was its opening one closes."""
    said = [b"7", b"\n```", b"repl\n", b"8 8", b"\n``` "]
    path = build.talker(tmp_path, said, template=LINES, context=8_192)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        answer = run(model, limits={"turns": 1, "syntax_retries": 1})
    assert answer.text == "7"
    [reply] = run.replies
    assert reply.text == "7\n```repl\n7\n```"
    made = reply.completion
    assert (made.retries, made.completion_tokens) == (1, 5 + 2)
    assert made.prompt_tokens > 2 * 2_000
    assert made.prompt_tokens - made.cached_tokens < made.prompt_tokens / 2 + 20


def test_a_model_that_ends_without_code_gets_a_block(run: Run, tmp_path: Path) -> None:
    path = build.talker(tmp_path, [b"FINAL ", b"= 4"], template=LINES, context=8_192)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        run(model, limits={"turns": 1})
        run(model, limits={"turns": 1}, turn_form="free")
    assert [reply.text for reply in run.replies] == [
        "FINAL = 4\n```repl\nFINAL = 4\n```",
        "FINAL = 4",
    ]
    assert [reply.code for reply in run.replies] == ["FINAL = 4\n", ""]
