"""A replay comes out equal, whatever the model refused and whatever nobody asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from rlm_local import rerun
from rlm_local.errors import WindowError
from rlm_local.eventfile import RunWriter
from rlm_local.forms.outgoing import outgoing
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import (
    Answer,
    Completion,
    NodeEnded,
    Ran,
    Request,
    RunStarted,
    StopReason,
    SubCalled,
)
from rlm_local.runs import EVENTS, RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from tests.fakes import cell

WINDOW = 3_000
LONG = "'word ' * 4_000"


class Refusing(ScriptedModel):
    """Refuses, as real ones do, what does not fit and forms that cannot be kept to."""

    def __init__(self, cells: Callable[[Request], str]) -> None:
        super().__init__(
            lambda request: cell(cells(request)), lambda _: "a reply", context_tokens=WINDOW
        )

    def complete(self, requests: object, *, deadline: float, token_limit: int) -> list[Completion]:
        for index, request in enumerate(requests):  # type: ignore[arg-type, var-annotated]
            outgoing(request, index)
            tokens = sum(self.count_tokens(message.content) for message in request.messages)
            if tokens > WINDOW:
                raise WindowError(tokens, WINDOW, index=index)
        return super().complete(
            requests,  # type: ignore[arg-type]
            deadline=deadline,
            token_limit=token_limit,
        )


class RefusingLate(Refusing):
    """Refuses when it has completed what comes before, as a server may."""

    def complete(self, requests: object, *, deadline: float, token_limit: int) -> list[Completion]:
        try:
            return super().complete(requests, deadline=deadline, token_limit=token_limit)
        except WindowError as error:
            done = super().complete(
                requests[: error.index],  # type: ignore[index]
                deadline=deadline,
                token_limit=token_limit,
            )
            nothing = msgspec.structs.replace(
                done[0], text="", finish="deadline", prompt_tokens=0, completion_tokens=0
            )
            error.completions = (*done, nothing)
            raise


def ask(store: RunStore, sandbox: WasmSandbox, model: ScriptedModel, **limits: int) -> Answer:
    with Runtime(
        model=model, sandbox=sandbox, store=store, limits=Limits(**{"depth": 2, **limits})
    ) as runtime:
        return runtime.ask("the question", "a text", mode="rlm")


@pytest.mark.parametrize(
    "call",
    [
        f"llm_query({LONG})",
        f"llm_query_batched(['short', {LONG}])",
        "llm_query('p', schema={'type': 'string', 'pattern': 'x'})",
        f"gather([submit('short'), submit({LONG})])",
        f"await asyncio.gather(llm_query('p'), llm_query({LONG}), return_exceptions=True)",
        f"await asyncio.gather(llm_query({LONG}), llm_query('p'), llm_query({LONG}))",
        "await llm_query('p', schema={'type': 'string', 'pattern': 'x'})",
        f"rlm_query({LONG}, 'x')",
        f"rlm_query_batched([('q', 'x'), ({LONG}, 'x')])",
        "rlm_query('grow', 'x')",
    ],
)
def test_what_the_model_refused_is_refused_again(
    store: RunStore, sandbox: WasmSandbox, call: str
) -> None:
    def cells(request: Request) -> str:
        if request.depth == 1:
            grows = "Question: grow" in request.messages[1].content
            return f"print({LONG})" if grows else "FINAL('one')"
        return f"import asyncio\ntry:\n    print({call})\nexcept Exception as error:\n" + (
            "    print(error, getattr(error, 'results', ''))\nFINAL(question)"
        )

    answer = ask(store, sandbox, Refusing(cells))
    assert answer.text == "the question"
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert (replay.differences, replay.passed_over) == ((), ())


def test_what_a_refused_call_has_cost_counts_again(store: RunStore, sandbox: WasmSandbox) -> None:
    """It was all that was left: the run has no further turn in a replay either."""
    call = f"llm_query_batched(['word ' * 2_000, {LONG}])"
    model = RefusingLate(lambda _: f"try: {call}\nexcept ValueError as error: print(error)")
    answer = ask(store, sandbox, model, tokens=2_000)
    assert (answer.stop, answer.usage.work_tokens) == (StopReason.TOKENS, 2_000)
    assert [request.turn for request in model.requests if request.dialogue] == [1]
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert (replay.differences, replay.passed_over) == ((), ())


class Hanging(ScriptedModel):
    """What is asked to hang is cut short at the end of the run; the root's turn 2 takes long."""

    def __init__(self, cells: Callable[[Request], str]) -> None:
        super().__init__(lambda request: cell(cells(request)), lambda _: "a reply")
        self._hanging = threading.Semaphore(0)
        self._over = threading.Event()

    def _complete(self, request: Request) -> Completion:
        whole = super()._complete(request)
        if request.messages[-1].content == "hang":
            self._hanging.release()
            assert self._over.wait(60)
            return msgspec.structs.replace(whole, text="a re", finish="deadline")
        if request.messages[-1].content == "while it hangs":
            assert self._hanging.acquire(timeout=60)
        if request.dialogue and (request.node, request.turn) == ("0", 2):
            time.sleep(0.2)
        return whole

    def cancel(self, node: str = "") -> None:
        super().cancel(node)
        if not node:
            self._over.set()


@pytest.mark.parametrize(
    "first",
    [
        "submit('hang')\nllm_query('while it hangs')",
        "aside = [submit('hang') for _ in range(12)]\nllm_query('while it hangs')",
        "submit('a question', 'a context')",
        "aside = [submit('a question', 'x'), submit('other')]\nprint(aside[1].result())",
    ],
)
def test_what_nobody_asked_for_may_come_as_far_as_it_likes(
    store: RunStore, sandbox: WasmSandbox, first: str
) -> None:
    def cells(request: Request) -> str:
        if request.depth == 1:
            return "print(len(context))" if request.turn < 3 else "FINAL('one')"
        return first if request.turn == 1 else "FINAL('done')"

    answer = ask(store, sandbox, Hanging(cells))
    assert (answer.stop, answer.text) == (StopReason.ANSWERED, "done")
    for _ in range(3):
        assert rerun.replay(store, answer.run_id, sandbox).differences == ()


def test_a_slower_machine_comes_to_the_same_end(store: RunStore, sandbox: WasmSandbox) -> None:
    code = "for n in range(300_000): n = n * n % 7\nFINAL(n)"
    answer = ask(store, sandbox, Refusing(lambda _: code))
    events = store.read(answer.run_id).events
    (store.folder / answer.run_id / EVENTS).unlink()
    with RunWriter(answer.run_id, store.folder / answer.run_id / EVENTS) as writer:
        for event in events:
            if isinstance(event, RunStarted):  # as if a cell that takes so long were just in time
                limits = {**event.limits, "cell_seconds": 0.001}
                event = msgspec.structs.replace(event, limits=limits)
            writer.append(event)
    assert rerun.replay(store, answer.run_id, sandbox).differences == ()


def test_what_a_child_was_given_need_not_be_as_much_again(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """It is a share of what was left, and that depends on what ran beside."""

    def cells(request: Request) -> str:
        if request.depth == 1:
            return f"print(question, {request.turn})"
        return [
            "told = rlm_query_batched([('one', 'x'), ('two', 'x')], budget=0.1)\nprint(told)",
            "FINAL(' '.join(told))",
        ][request.turn - 1]

    answer = ask(store, sandbox, Refusing(cells))
    assert answer.text == "one 1 two 1"
    events = store.read(answer.run_id).events
    (store.folder / answer.run_id / EVENTS).unlink()
    with RunWriter(answer.run_id, store.folder / answer.run_id / EVENTS) as writer:
        for event in events:
            if isinstance(event, NodeEnded | Ran):  # as if more had been left then
                event = msgspec.convert(_reworded(msgspec.to_builtins(event)), type=type(event))
            writer.append(event)
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert replay.differences == ()
    assert set(replay.passed_over) == {"node 0.1 from turn 1 on", "node 0.2 from turn 1 on"}


def _reworded(value: object) -> object:
    match value:
        case str():
            return value.replace("all its 1 turns", "all its 3 turns")
        case dict():
            return {key: _reworded(each) for key, each in value.items()}
    return value


def test_what_the_code_asked_for_is_compared(store: RunStore, sandbox: WasmSandbox) -> None:
    answer = ask(store, sandbox, Refusing(lambda _: "h = submit('p')\nFINAL(h.result())"))
    assert rerun.replay(store, answer.run_id, sandbox).equal
    events = store.read(answer.run_id).events
    path = store.folder / answer.run_id / EVENTS
    path.unlink()
    with RunWriter(answer.run_id, path) as writer:
        for event in events:
            if isinstance(event, SubCalled):
                told = [msgspec.structs.replace(c, text="another") for c in event.completions]
                event = msgspec.structs.replace(event, completions=tuple(told))
            writer.append(event)
    changed = {each.event for each in rerun.replay(store, answer.run_id, sandbox).differences}
    assert changed == {"call 1 of node 0", "the run's end"}
