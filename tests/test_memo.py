"""Equal sub-calls are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import pytest

from rlm_local import controller
from rlm_local.errors import WindowError
from rlm_local.limits import Limits
from rlm_local.memo import MemoModel
from rlm_local.model import ModelWrapper, ScriptedModel
from rlm_local.prompt import prompt_from_text
from rlm_local.records import (
    Completion,
    Event,
    Message,
    NodeStarted,
    Request,
    RunStarted,
    SubCalled,
)
from rlm_local.wasm import WasmSandbox
from tests.fakes import cell

PLENTY = 1 << 40


def ask(text: str, **how: object) -> Request:
    return Request(messages=(Message("user", text),), max_tokens=9, **how)  # type: ignore[arg-type]


def complete(model: MemoModel, *requests: Request, limit: int = PLENTY) -> list[Completion]:
    return model.complete(requests, deadline=math.inf, token_limit=limit)


@pytest.fixture
def scripted() -> ScriptedModel:
    """Each reply is another one."""
    return ScriptedModel(
        turns=[f"turn {n}" for n in range(99)], sub_calls=[f"reply {n}" for n in range(99)]
    )


@pytest.fixture
def model(scripted: ScriptedModel) -> MemoModel:
    return MemoModel(scripted)


def test_again_in_another_call(model: MemoModel, scripted: ScriptedModel) -> None:
    [first] = complete(model, ask("x", node="0", call=1))
    [again] = complete(model, ask("x", node="0.1", depth=2, call=7))
    assert (first.text, first.reused) == ("reply 0", False)
    assert (again.text, again.reused, again.work_tokens) == ("reply 0", True, 0)
    assert len(scripted.requests) == 1


def test_again_in_the_same_batch(model: MemoModel, scripted: ScriptedModel) -> None:
    done = complete(model, *map(ask, "abacb"))
    assert [one.text for one in done] == [f"reply {n}" for n in (0, 1, 0, 2, 1)]
    assert [one.reused for one in done] == [False, False, True, False, True]
    assert len(scripted.requests) == 3


@pytest.mark.parametrize(
    "other",
    [
        ask("y"),
        ask("x", stop="fence"),
        ask("x", choices=("a", "b")),
        ask("x", schema={"type": "null"}),
        Request(messages=(Message("system", "x"),), max_tokens=9),
        Request(messages=(Message("user", "x"),), max_tokens=8),
    ],
)
def test_what_differs_is_asked(model: MemoModel, other: Request) -> None:
    complete(model, ask("x"))
    [done] = complete(model, other)
    assert (done.text, done.reused) == ("reply 1", False)


def test_a_form_that_many_share_is_read_once(model: MemoModel) -> None:
    """However long: nothing can end a host call in the middle of it."""
    read = 0

    class Long(str):
        def __repr__(self) -> str:
            nonlocal read
            read += 1
            return super().__repr__()

    choices = (Long("yes"), Long("no"))
    asked = [ask(f"question {n}", choices=choices) for n in range(50)]
    first = complete(model, *asked)
    assert read == 2
    again = complete(model, *asked)
    assert [one.text for one in again] == [one.text for one in first]
    assert all(one.reused for one in again)


@pytest.mark.parametrize("how", [{"temperature": 0.5}, {"dialogue": "0"}])
def test_what_need_not_be_the_same_is_asked(model: MemoModel, how: dict[str, object]) -> None:
    done = complete(model, ask("x", **how), ask("x", **how))
    assert done[0].text != done[1].text
    assert not any(one.reused for one in done)


def test_what_a_limit_cut_short_is_not_kept(model: MemoModel) -> None:
    [cut] = complete(model, ask("one two three"), limit=2)
    assert cut.finish == "tokens"
    [whole] = complete(model, ask("one two three"))
    assert (whole.finish, whole.reused) == ("stop", False)


def test_which_request_does_not_fit() -> None:
    def script(request: Request) -> str:
        if request.messages[0].content == "long":
            error = WindowError(9, 5, index=1)  # of what it is asked: x is not
            error.others = (WindowError(8, 5, index=2),)
            raise error
        return "ok"

    model = MemoModel(ScriptedModel(sub_calls=script))
    complete(model, ask("x"))
    with pytest.raises(WindowError) as caught:
        complete(model, ask("x"), ask("y"), ask("x"), ask("long"), ask("y"), ask("longer"))
    assert [each.index for each in (caught.value, *caught.value.others)] == [3, 5]


def test_what_came_before_a_batch_failed_is_not_asked_again() -> None:
    """A server may tell of a prompt that does not fit when others are done."""
    scripted = ScriptedModel(sub_calls=lambda request: "fine")

    class Late(ModelWrapper):
        def complete(
            self, requests: Sequence[Request], *, deadline: float, token_limit: int
        ) -> list[Completion]:
            done = super().complete(requests, deadline=deadline, token_limit=token_limit)
            if len(requests) < 3:
                return done
            error = WindowError(9, 5, index=2)
            cut = msgspec.structs.replace(done[1], finish="deadline")
            error.completions = (done[0], cut, *done[2:])
            raise error

    late = MemoModel(Late(scripted))
    with pytest.raises(WindowError) as caught:
        complete(late, ask("x"), ask("x"), ask("y"), ask("z"))
    assert caught.value.index == 3
    again = complete(late, ask("x"), ask("y"), ask("z"))
    assert [one.reused for one in again] == [True, False, True]
    assert [one.messages[0].content for one in scripted.requests] == ["x", "y", "z", "y"]


def test_nothing_at_all(model: MemoModel) -> None:
    assert complete(model) == []


def started(model: str = "scripted", **limits: object) -> RunStarted:
    limits = {"sub_call_tokens": 9, "sub_call_thought_tokens": 0, **limits}
    return RunStarted(
        run_id="r", time=0.0, question="q", model=model, mode="rlm", prompt={}, limits=limits
    )


def called(prompts: tuple[str, ...], completions: list[Completion]) -> SubCalled:
    replies = tuple(one.text for one in completions)
    return SubCalled(
        turn=1, prompts=prompts, replies=replies, completions=tuple(completions), seconds=0.0
    )


def test_a_run_that_goes_on_knows_what_was_said(scripted: ScriptedModel) -> None:
    said = complete(MemoModel(scripted), ask("x"), ask("y"))
    past: list[Event] = [started(), called(("x", "y"), said)]
    model = MemoModel(scripted, past=past)
    assert [one.text for one in complete(model, ask("y"), ask("x"))] == ["reply 1", "reply 0"]
    # Nothing of it holds for another model.
    other = MemoModel(scripted, past=[started("another"), *past[1:]])
    assert complete(other, ask("x"))[0].text == "reply 2"


@pytest.mark.parametrize("limit", ["sub_call_tokens", "sub_call_thought_tokens"])
def test_a_past_under_other_limits_says_nothing(scripted: ScriptedModel, limit: str) -> None:
    """A fork may allow longer replies than the run that it begins with had."""
    said = complete(MemoModel(scripted), ask("x"))
    past: list[Event] = [started(**{limit: 5}), called(("x",), said)]
    assert complete(MemoModel(scripted, past=past), ask("x"))[0].text == "reply 1"


def test_a_fork_does_not_know_what_another_model_said(scripted: ScriptedModel) -> None:
    """Up to the turn that it was forked at, and in the children that were called for by then."""
    said = complete(MemoModel(scripted), ask("x"), ask("y"), ask("z"))
    forked = msgspec.structs.replace(started(), others_turns=1)
    child = NodeStarted(
        node="0.1", depth=1, turn=1, call=2, index=0, question="q", prompt={}, share=None
    )
    past: list[Event] = [
        forked,
        called(("x",), said[:1]),
        child,
        msgspec.structs.replace(called(("y",), said[1:2]), turn=3, node="0.1.1"),
        msgspec.structs.replace(called(("z",), said[2:]), turn=2),
    ]
    model = MemoModel(scripted, past=past)
    told = [one.text for one in complete(model, ask("x"), ask("y"), ask("z"))]
    assert told == ["reply 3", "reply 4", "reply 2"]


@pytest.mark.parametrize(
    ("finish", "tokens", "known"),
    [
        ("stop", 9, True),
        ("stop", 10, False),
        ("length", 9, True),
        ("length", 5, False),
        ("length", 12, False),
    ],
)
def test_a_fork_knows_the_replies_that_its_own_limit_would_give(
    scripted: ScriptedModel, finish: Literal["stop", "length"], tokens: int, known: bool
) -> None:
    """What it has taken over may have been said under another one."""
    [said] = complete(MemoModel(scripted), ask("x"))
    taken = msgspec.structs.replace(said, finish=finish, completion_tokens=tokens)
    model = MemoModel(scripted, past=[started(), called(("x",), [taken])])
    assert complete(model, ask("x"))[0].reused is known


def test_the_plain_calls_of_a_run_are_known_by_their_record() -> None:
    """What `subcalls` asks and what the record is taken to mean have one key."""
    code = "llm_query('the prompt', choices=['yes', 'no'])\nllm_query('the prompt')"
    model = ScriptedModel([cell(code), cell("FINAL(1)")], ["yes", "free"])
    events: list[Event] = []
    limits = Limits()
    with prompt_from_text("text") as prompt, WasmSandbox() as sandbox:
        controller.answer(
            "question",
            prompt,
            model=model,
            sandbox=sandbox,
            limits=limits,
            run_id="r",
            mode="rlm",
            record=events.append,
        )
    asked = [one for one in model.requests if not one.dialogue]
    memo = MemoModel(model, past=events)
    assert [one.text for one in complete(memo, *asked)] == ["yes", "free"]
