"""Runs with children go on, whatever their threads were at when the run was broken off."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlm_local import rerun
from rlm_local.errors import ModelError
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel, is_within
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    NodeEnded,
    Request,
    StopReason,
    SubCalled,
)
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from tests.fakes import cell


class Failing(ScriptedModel):
    """Fails at what `fails` names, "turn NODE" or "call NODE PROMPT". What `hangs` names is
    being computed before what `awaits` names comes back, and until it is cut short."""

    def __init__(
        self,
        cells: Callable[[Request], str],
        *,
        fails: str = "",
        hangs: Sequence[str] = (),
        awaits: str = "",
    ) -> None:
        super().__init__(lambda request: cell(cells(request)), lambda request: "a reply")
        self._fails, self._hangs, self._awaits = fails, hangs, awaits or fails
        self._hanging = threading.Semaphore(0)
        self._cancelled = threading.Condition()
        self._gone: list[str] = []

    def _complete(self, request: Request) -> Completion:
        turn = f"turn {request.node}"
        name = turn if request.dialogue else f"call {request.node} {request.messages[-1].content}"
        if name == self._awaits:
            for _ in self._hangs:
                assert self._hanging.acquire(timeout=60)
        if name == self._fails:
            raise ModelError("the server is gone")
        whole = super()._complete(request)
        if name not in self._hangs:
            return whole
        self._hanging.release()
        with self._cancelled:
            assert self._cancelled.wait_for(lambda: self._is_cancelled(request.node), 60)
        return msgspec.structs.replace(whole, text=whole.text[:3], finish="deadline")

    def cancel(self, node: str = "") -> None:
        super().cancel(node)
        with self._cancelled:
            self._gone.append(node)
            self._cancelled.notify_all()

    def _is_cancelled(self, node: str) -> bool:
        return any(not gone or is_within(node, gone) for gone in self._gone)


def ask(store: RunStore, sandbox: WasmSandbox, model: ScriptedModel, **limits: object) -> Answer:
    with Runtime(
        model=model,
        sandbox=sandbox,
        store=store,
        limits=Limits(**{"depth": 3, **limits}),  # type: ignore[arg-type]
    ) as runtime:
        return runtime.ask("the question", "a text", mode="rlm")


def resume(store: RunStore, run_id: str, sandbox: WasmSandbox, model: ScriptedModel) -> Answer:
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        return rerun.resume(runtime, run_id)


def events(store: RunStore, run_id: str) -> tuple[Event, ...]:
    return store.read(run_id).events


# ------------------------------------------------------- replies that an end has cut short


def tree(request: Request) -> str:
    """Two children beside a call that the root's code goes on beside."""
    if request.node == "0.1":
        return "FINAL(llm_query('of the first'))"
    if request.node == "0.2":
        return "FINAL('two')"
    return """aside = submit('aside')
told = rlm_query_batched([('one', 'x'), ('two', 'x')])
FINAL(' '.join([*told, aside.result()]))"""


@pytest.mark.parametrize(
    "hangs", [["turn 0.2"], ["call 0 aside"], ["turn 0.2", "call 0 aside"]], ids=" ".join
)
def test_what_was_cut_short_as_the_model_failed_is_asked_again(
    store: RunStore, sandbox: WasmSandbox, hangs: list[str]
) -> None:
    stopped = ask(store, sandbox, Failing(tree, fails="call 0.1 of the first", hangs=hangs))
    assert stopped.stop is StopReason.MODEL
    answer = resume(store, stopped.run_id, sandbox, Failing(tree))
    assert (answer.stop, answer.message) == (StopReason.ANSWERED, "")
    assert answer.text == "a reply two a reply"
    whole = ask(store, sandbox, Failing(tree))
    assert timeless(answer) == timeless(whole)
    with Runtime(model=Failing(tree), sandbox=sandbox, store=store) as runtime:
        assert rerun.replay(store, answer.run_id, sandbox).equal
        forked = rerun.fork(runtime, whole.run_id, 0)
    assert timeless(forked) == timeless(whole)


def timeless(answer: Answer) -> object:
    return msgspec.structs.replace(answer.usage, seconds=0.0)


def test_what_a_child_did_not_wait_for_stays_cut_short(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    def cells(request: Request) -> str:
        if request.node == "0.1.1":
            return "FINAL('late')"
        if request.node == "0.1":
            return "submit('deeper', 'x')\nllm_query('wait')\nFINAL('one')"
        return "told = rlm_query('one', 'x')\nFINAL(told + llm_query('and then'))"

    cut: dict[str, Any] = {"hangs": ["turn 0.1.1"], "awaits": "call 0.1 wait"}
    whole = ask(store, sandbox, Failing(cells, **cut))
    assert whole.text == "onea reply"
    for _ in range(20):  # whether a helper begins it in time is chance
        assert rerun.replay(store, whole.run_id, sandbox).differences == ()
    model = Failing(cells, **cut, fails="call 0 and then")
    stopped = ask(store, sandbox, model)
    assert stopped.stop is StopReason.MODEL
    answer = resume(store, stopped.run_id, sandbox, Failing(cells))
    assert answer.text == "onea reply"
    assert rerun.replay(store, answer.run_id, sandbox).differences == ()


def test_polls_before_a_call_on_record_come_out_as_they_did(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """A submitted call has come back since the code last asked whether it had."""

    def cells(request: Request) -> str:
        return """aside, waited = submit('aside'), 0
while not aside.done():
    waited += 1
    llm_query(f'wait {waited}')
llm_query('after')
FINAL(waited)"""

    came_back = threading.Event()

    class Model(ScriptedModel):
        def _complete(self, request: Request) -> Completion:
            prompt = request.messages[-1].content
            if prompt == "wait 3" and not came_back.is_set():
                released.set()
                assert came_back.wait(60)
                raise ModelError("the server is gone")
            if prompt == "aside":
                assert released.wait(60)
            return super()._complete(request)

    def look(event: Event) -> None:
        if isinstance(event, SubCalled) and event.prompts == ("aside",):
            came_back.set()

    released = threading.Event()
    model = Model(lambda request: cell(cells(request)), lambda _: "a reply")
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        stopped = runtime.ask("the question", "a text", mode="rlm", on_event=look)
        assert stopped.stop is StopReason.MODEL
        answer = rerun.resume(runtime, stopped.run_id)
    assert answer.stop is StopReason.ANSWERED
    assert int(answer.text) >= 2


@pytest.mark.parametrize("given", [["lines.txt"], ["folder"], ["lines.txt", "folder"], ["-"]])
def test_a_child_with_the_whole_prompt_is_the_same_however_that_was_named(
    store: RunStore,
    sandbox: WasmSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    """A run that goes on reads it by its absolute path, or from what was kept of a stream."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("lines.txt", "folder/other.txt"):
        (tmp_path / name).write_text("a text")

    def cells(request: Request) -> str:
        if request.depth == 0:
            return "told = rlm_query('one', context)\nFINAL(told)"
        return "FINAL(len(context))"

    def runtime(model: ScriptedModel) -> Runtime:
        return Runtime(model=model, sandbox=sandbox, store=store, limits=Limits(depth=2))

    with runtime(Failing(cells, fails="turn 0.1")) as failing:
        with failing.open(list(map(Path, given)), stdin=io.BytesIO(b"a text")) as prompt:
            stopped = failing.ask("the question", prompt, mode="rlm")
        assert stopped.stop is StopReason.MODEL
    (tmp_path / "folder" / "image").write_bytes(bytes(99))  # no text, and skipped
    model = Failing(cells)
    with runtime(model) as again:
        answer = rerun.resume(again, stopped.run_id)
        assert answer.stop is StopReason.ANSWERED, answer.message
        assert rerun.replay(store, answer.run_id, sandbox).equal
        asked = len(model.requests)
        assert rerun.fork(again, answer.run_id, 1).text == answer.text
        assert len(model.requests) == asked


class Killed(BaseException):
    pass


def test_a_batch_that_was_asked_in_parts_is_known_as_a_whole(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """Killed when it had come back, and before it had."""

    class Counting(ScriptedModel):
        parts = 0

        def complete(self, requests: Sequence[Request], **limits: Any) -> list[Completion]:
            self.parts += not requests[0].dialogue
            if self.parts == kill_at:
                raise Killed
            return super().complete(requests, **limits)

    def die(event: Event) -> None:
        if isinstance(event, SubCalled):
            raise Killed

    def model() -> Counting:
        cells = ["said = llm_query_batched([f'part {n}' for n in range(30)])", "FINAL(said)"]
        return Counting(lambda r: cell(cells[r.turn - 1]), lambda r: r.messages[-1].content.upper())

    kill_at = -1  # the part that the model does not complete
    whole = ask(store, sandbox, model(), tokens=20_000)
    assert whole.text == str([f"PART {n}" for n in range(30)])
    assert rerun.replay(store, whole.run_id, sandbox).equal
    for kill_at, asked_again in ((-1, 0), (2, 30)):
        one, other = model(), model()
        with Runtime(
            model=one, sandbox=sandbox, store=store, limits=Limits(depth=3, tokens=20_000)
        ) as runtime:
            on_event = die if kill_at < 0 else None
            with pytest.raises(Killed):
                runtime.ask("the question", "a text", mode="rlm", on_event=on_event)
        assert one.parts > 1
        kill_at = -1
        answer = resume(store, store.ids()[-1], sandbox, other)
        assert (answer.text, timeless(answer)) == (whole.text, timeless(whole))
        assert sum(not request.dialogue for request in other.requests) == asked_again
        assert rerun.replay(store, answer.run_id, sandbox).equal


def test_a_child_that_its_clock_ended_does_not_run_again(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """The run was killed after the child's end, before its parent was told."""

    def cells(request: Request) -> str:
        if request.depth == 1:
            time.sleep(0.1)
            return "FINAL('in time')"
        return "try: FINAL(rlm_query('one', 'x', budget=1e-4))\nexcept RuntimeError as e: FINAL(e)"

    def die(event: Event) -> None:
        if isinstance(event, NodeEnded):
            raise Killed

    with Runtime(
        model=Failing(cells), sandbox=sandbox, store=store, limits=Limits(depth=2)
    ) as runtime:
        with pytest.raises(Killed):
            runtime.ask("the question", "a text", mode="rlm", on_event=die)
        [run_id] = store.ids()
        said = rerun.resume(runtime, run_id).text
    assert re.match(r"it ended without an answer: the child 0\.1 took \d", said), said


# ------------------------------------------------------------------------------- forks


def test_a_fork_asks_again_what_is_to_have_another_form(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    cells = ["label = llm_query('which?', choices=question.split())", "FINAL(label)"]
    model = ScriptedModel(
        lambda request: cell(cells[request.turn - 1]), lambda request: request.choices[0]
    )
    with Runtime(model=model, sandbox=sandbox, store=store) as runtime:
        answer = runtime.ask("yes no", "a text", mode="rlm")
        forked = rerun.fork(runtime, answer.run_id, 2, question="up down")
    assert (answer.text, forked.text) == ("yes", "up")


def test_a_child_that_has_ended_ends_no_fork_with_lower_limits(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """It was within those of its own run."""

    def cells(request: Request) -> str:
        if request.depth == 0:
            return ["told = rlm_query('one', 'x')", "FINAL(told)"][request.turn - 1]
        return "llm_query_batched(['a', 'b'])" if request.turn < 4 else "FINAL('one')"

    whole = ask(store, sandbox, Failing(cells))
    with Runtime(model=Failing(cells), sandbox=sandbox, store=store) as runtime:
        for limits in (Limits(depth=3, turns=2), Limits(depth=3, sub_calls=2)):
            forked = rerun.fork(runtime, whole.run_id, 1, limits=limits)
            assert (forked.text, forked.message) == ("one", "")
            assert timeless(forked) == timeless(whole)
        limits = Limits(depth=3, tokens=1_000)  # of which the child took more
        forked = rerun.fork(runtime, whole.run_id, 1, limits=limits)
        assert forked.stop is StopReason.TOKENS


def test_events_of_a_fork_are_told_one_at_a_time(store: RunStore, sandbox: WasmSandbox) -> None:
    def cells(request: Request) -> str:
        if request.depth == 0:
            return "told = rlm_query_batched([('one', 'x')] * 6)\nFINAL(len(told))"
        return "FINAL('one')"

    telling = threading.Lock()

    def tell(event: Event) -> None:
        assert telling.acquire(blocking=False)
        time.sleep(0.001)
        telling.release()

    whole = ask(store, sandbox, Failing(cells))
    with Runtime(model=Failing(cells), sandbox=sandbox, store=store) as runtime:
        assert rerun.fork(runtime, whole.run_id, 1, on_event=tell).text == "6"


def test_a_fork_whose_code_makes_other_calls_is_a_whole_run(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """With another question, the same child may be asked for by another call."""

    def cells(request: Request) -> str:
        if request.depth == 1:
            return "FINAL('one')"
        return [
            "if question == 'more?': llm_query('more')",
            "told = rlm_query('one', 'x')",
            "FINAL(told)",
        ][request.turn - 1]

    whole = ask(store, sandbox, Failing(cells))
    with Runtime(model=Failing(cells), sandbox=sandbox, store=store) as runtime:
        forked = rerun.fork(runtime, whole.run_id, 2, question="more?")
    assert forked.text == "one"
    assert rerun.replay(store, forked.run_id, sandbox).differences == ()


def test_a_fork_of_another_depth_has_children_of_its_own(
    store: RunStore, sandbox: WasmSandbox
) -> None:
    """What calls a child itself there is a plain call here."""

    def cells(request: Request) -> str:
        if request.depth == 2:
            return "FINAL('deep')"
        if request.depth == 1:
            return "FINAL(rlm_query('two', 'x'))"
        return ["told = rlm_query('one', 'x')", "FINAL(told)"][request.turn - 1]

    whole = ask(store, sandbox, Failing(cells))
    assert whole.text == "deep"
    with Runtime(model=Failing(cells), sandbox=sandbox, store=store) as runtime:
        forked = rerun.fork(runtime, whole.run_id, 1, limits=Limits(depth=2))
    assert forked.text == "a reply"
    assert rerun.replay(store, forked.run_id, sandbox).differences == ()
