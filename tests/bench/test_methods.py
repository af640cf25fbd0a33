"""What each method gives the model to read, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import pytest

from bench.baselines import rated
from bench.methods import (
    GAP_OF_CHUNKS,
    NOTES_TOKENS,
    Compaction,
    Direct,
    Outcome,
    Retrieval,
    Rlm,
    best,
    whole,
)
from models.nano.families.task import Task
from rlm_local.errors import ModelError
from rlm_local.limits import MIB, Limits
from rlm_local.model import ScriptedModel
from rlm_local.options import ModelOptions
from rlm_local.records import Request
from rlm_local.runs import RunStore
from rlm_local.runtime import load_model
from rlm_local.wasm import WasmSandbox
from tests.fakes import FakeSandbox, cell

WINDOW = 600
LIMITS = Limits(wall_seconds=30.0, sub_call_tokens=32)
QUESTION = "What is the code of the mill?"
NEEDLE = "The code of the mill is 4711."


def task(*texts: str, question: str = QUESTION, gold: str = "4711") -> Task:
    return Task("needle", 1, question, texts, gold, plan=(), kind="number")


def hay(lines: int, needle_at: int = -1) -> str:
    return "".join(
        f"{NEEDLE}\n" if n == needle_at else f"Line {n} says that it rains.\n" for n in range(lines)
    )


def reader(reply: Callable[[str], str]) -> ScriptedModel:
    """Answers what it is given to read. Asserts that it fits."""

    def read(request: Request) -> str:
        (message,) = request.messages
        assert len(message.content.split()) + request.max_tokens <= WINDOW
        return reply(message.content)

    return ScriptedModel(turns=read, context_tokens=WINDOW)


def find(text: str) -> str:
    return "4711" if "4711" in text else "not there"


def asked(model: ScriptedModel) -> list[str]:
    return [request.messages[0].content for request in model.requests]


def test_direct_shows_a_short_text_whole() -> None:
    model = reader(find)
    text = hay(50, 25)
    assert Direct(model, LIMITS).answer(task(text)).answer == "4711"
    assert asked(model)[0].startswith(text)


@pytest.mark.parametrize(("at", "answer"), [(1, "4711"), (200, "not there"), (398, "4711")])
def test_direct_shows_the_ends_of_a_long_one(at: int, answer: str) -> None:
    outcome = Direct(reader(find), LIMITS).answer(task(hay(400, at)))
    assert outcome.answer == answer
    assert outcome.calls == 1
    assert outcome.stop == "answered"


def test_retrieval_finds_what_shares_the_questions_words() -> None:
    for at in (1, 777, 1_998):
        outcome = Retrieval(reader(find), LIMITS).answer(task(hay(2_000, at)))
        assert outcome.answer == "4711"
        assert outcome.calls == 1


def test_the_best_chunks_come_in_the_texts_order() -> None:
    chunks = ["a mill and a mill", "rain", "the mill", "snow"]
    count = cast("Callable[[str], int]", lambda text: len(text.split()))
    assert best("which mill?", chunks, 16, count) == GAP_OF_CHUNKS.join([chunks[0], chunks[2]])
    assert best("which mill?", chunks, 9, count) in (chunks[0], chunks[2])
    assert best("which mill?", ["the", "of"], 16, count) == ""
    assert best("zebra?", chunks, 100, count) == GAP_OF_CHUNKS.join(chunks)


def test_compaction_reads_everything_once_and_carries_its_notes() -> None:
    text = hay(1_000, 500)
    model = reader(lambda shown: "noted: 4711" if "4711" in shown else "nothing yet")
    outcome = Compaction(model, LIMITS).answer(task(text))
    assert outcome.answer == "noted: 4711"
    prompts = asked(model)
    assert outcome.calls == len(prompts) > 10
    parts = [p.split(":\n", 2)[2].rsplit("\n\nWrite the notes", 1)[0] for p in prompts[:-1]]
    assert "".join(parts) == text
    seen = next(n for n, part in enumerate(parts) if "4711" in part)
    assert all("noted: 4711" in prompt for prompt in prompts[seen + 1 :])
    assert not any("noted: 4711" in prompt for prompt in prompts[: seen + 1])
    assert {request.max_tokens for request in model.requests[:-1]} == {NOTES_TOKENS}


def test_compaction_reads_a_short_text_at_once() -> None:
    outcome = Compaction(reader(find), LIMITS).answer(task(hay(50, 25)))
    assert (outcome.answer, outcome.calls) == ("4711", 1)


def test_time_is_the_same_for_all_and_what_it_cuts_is_no_answer() -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=1e-9)
    for method in (Direct, Compaction, Retrieval):
        outcome = method(reader(find), limits).answer(task(hay(400, 1)))
        assert outcome == Outcome("", "wall_clock", 0, 0)


def test_rlm_counts_turns_and_calls(tmp_path: Path) -> None:
    model = ScriptedModel(
        [cell("x = llm_query('read this')\nFINAL(x)")], ["4711"], context_tokens=WINDOW
    )
    method = Rlm(1, model, LIMITS, sandbox=FakeSandbox(), store=RunStore(tmp_path))
    outcome = method.answer(task(hay(400, 200)))
    assert (outcome.answer, outcome.stop, outcome.calls) == ("4711", "answered", 2)


def test_depth_0_has_no_calls(tmp_path: Path) -> None:
    model = ScriptedModel(
        [cell("print('llm_query' in globals())"), cell("FINAL(4711)")], context_tokens=WINDOW
    )
    method = Rlm(0, model, LIMITS, sandbox=FakeSandbox(), store=RunStore(tmp_path))
    assert method.answer(task("a text")).calls == 2
    assert "False" in model.requests[-1].messages[-1].content


def test_several_texts_are_read_as_one() -> None:
    assert whole(task("a", "b")) == "[text 1]\na\n\n[text 2]\nb"
    assert whole(task("a")) == "a"


def test_what_ended_from_outside_is_no_result(tmp_path: Path) -> None:
    def interrupted(request: Request) -> str:
        raise KeyboardInterrupt

    for turns, error in ((interrupted, KeyboardInterrupt), ((), ModelError)):
        model = ScriptedModel(turns, context_tokens=WINDOW)
        method = Rlm(0, model, LIMITS, sandbox=FakeSandbox(), store=RunStore(tmp_path))
        with pytest.raises(error):
            method.answer(task("a text"))


def test_a_child_is_no_call_but_its_turns_and_calls_are(tmp_path: Path) -> None:
    def turns(request: Request) -> str:
        if request.depth:
            return cell("FINAL(llm_query('say b'))")
        return cell("FINAL(rlm_query('which?', 'some text') + llm_query_batched(['c', 'c'])[0])")

    model = ScriptedModel(turns, lambda _: "x", context_tokens=WINDOW)
    with WasmSandbox() as sandbox:
        method = Rlm(2, model, LIMITS, sandbox=sandbox, store=RunStore(tmp_path))
        outcome = method.answer(task("a text"))
    assert (outcome.answer, outcome.calls) == ("xx", len(model.requests))
    assert len(model.requests) == 4


@pytest.mark.parametrize(
    ("depth", "code", "guessed"),
    [
        (0, "FINAL('law')", True),
        (1, "FINAL('law')", True),
        (1, "llm_query('Is it law?')\nFINAL('law')", True),
        (1, "llm_query('Is it law or art?')\nFINAL('law')", False),
        (1, "rlm_query('Is it law or art?', 'a text')\nFINAL('law')", False),
        (1, "llm_query('law or art?')\nllm_query('What else?')\nFINAL('law')", True),
    ],
)
def test_labels_that_no_sub_call_was_asked_for_are_guessed(
    depth: int, code: str, guessed: bool, tmp_path: Path
) -> None:
    sorting = replace(task("a text", gold="law"), labels=("law", "art"))
    for asked, expected in ((sorting, guessed), (replace(sorting, labels=()), False)):
        model = ScriptedModel([cell(code)], lambda _: "law", context_tokens=WINDOW)
        with WasmSandbox() as sandbox:
            method = Rlm(depth, model, LIMITS, sandbox=sandbox, store=RunStore(tmp_path))
            outcome = method.answer(asked)
        assert (outcome.answer, outcome.guessed) == ("law", expected)
        assert rated(outcome, asked) == (not expected)


def test_no_method_finds_what_another_has_left_in_the_cache(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=600.0, turns=5, sub_call_tokens=1)
    # Whether tokens are guessed is a matter of time, and near-ties are one of the batch's size.
    options = ModelOptions(speculate=False)
    with load_model("rlm-nano", memory_bytes=1024 * MIB, options=options) as model:
        asked = task(hay(50, 25))
        outcomes = [method(model, limits).answer(asked) for method in (Direct, Compaction, Direct)]
        with WasmSandbox() as sandbox:
            runs = [
                Rlm(depth, model, limits, sandbox=sandbox, store=RunStore(tmp_path)).answer(asked)
                for depth in (0, 1)
            ]
    assert len(set(outcomes)) == 1
    assert outcomes[0].tokens > 200
    assert len(set(runs)) == 1
    assert runs[0].calls > 1
