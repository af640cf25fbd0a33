"""A model for the turns and another for plain calls: who is asked what, and where that shows."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence

import pytest

from rlm_local import rerun
from rlm_local.errors import RunError, WorkerDied
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import (
    Answer,
    Event,
    Ran,
    Request,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
)
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.views import PlainView
from rlm_local.wasm import WasmSandbox
from tests.fakes import cell
from tests.test_resume import Death, Killed

TEXT = "".join(f"line {number}\n" for number in range(1_000))
ROOT = [
    "label = llm_query('label this')\nprint(label)",
    "print(rlm_query('count', context), llm_query_batched(['a', 'b'], choices=['x', 'y']))",
    "FINAL(label)",
]
CHILD = ["told = llm_query('as a child')", "FINAL(told)"]


def turns(request: Request) -> str:
    return cell((ROOT, CHILD)[request.depth][request.turn - 1])


def no_turns(request: Request) -> str:
    raise AssertionError("the sub-model was asked for a turn")


def no_calls(request: Request) -> str:
    raise AssertionError("the model was asked by a plain call")


def reader(
    replies: Callable[[Request], str] | Sequence[str] = lambda request: "said",
) -> ScriptedModel:
    return ScriptedModel(no_turns, replies, name="reader", context_tokens=2_000)


def planner(script: Callable[[Request], str] | Sequence[str] = turns) -> ScriptedModel:
    return ScriptedModel(script, no_calls, name="planner")


Ask = Callable[..., Answer]


@pytest.fixture
def ask(sandbox: WasmSandbox, store: RunStore) -> Ask:
    def run(
        model: ScriptedModel,
        sub_model: ScriptedModel | None,
        *,
        events: list[Event] | None = None,
        **limits: object,
    ) -> Answer:
        with Runtime(
            model=model,
            sub_model=sub_model,
            sandbox=sandbox,
            store=store,
            limits=Limits(**{"depth": 2, **limits}),  # type: ignore[arg-type]
        ) as session:
            told = events.append if events is not None else None
            return session.ask("what?", TEXT, mode="rlm", on_event=told)

    return run


def test_turns_to_one_and_plain_calls_to_the_other(ask: Ask) -> None:
    model, sub_model = planner(), reader()
    answer = ask(model, sub_model)
    assert (answer.text, answer.stop) == ("said", StopReason.ANSWERED)
    assert [(r.node, r.turn) for r in model.requests] == [
        *(("0", 1), ("0", 2), ("0.1", 1), ("0.1", 2), ("0", 3))
    ]
    assert [r.messages[-1].content for r in sub_model.requests] == [
        "label this", "as a child", "a", "b",
    ]  # fmt: skip
    assert (answer.model, answer.sub_model) == ("planner", "reader")


def test_the_record_and_the_usage_say_who_did_what(ask: Ask) -> None:
    events: list[Event] = []
    model, sub_model = planner(), reader()
    usage = ask(model, sub_model, events=events).usage
    started = events[0]
    assert isinstance(started, RunStarted)
    assert (started.model, started.sub_model) == ("planner", "reader")
    calls = [one for event in events if isinstance(event, SubCalled) for one in event.completions]
    assert usage.call_tokens == sum(one.work_tokens for one in calls) > 0
    assert usage.work_tokens > usage.call_tokens
    assert [depth.call_tokens for depth in usage.by_depth] == [
        0,
        sum(one.work_tokens for one in calls if one is not calls[1]),
        calls[1].work_tokens,
    ]


def test_one_model_is_not_told_of_as_two(ask: Ask) -> None:
    events: list[Event] = []
    answer = ask(ScriptedModel(turns, ["said"] * 9, name="one"), None, events=events)
    assert answer.sub_model == ""
    assert isinstance(events[0], RunStarted)
    assert events[0].sub_model == ""
    assert answer.usage.call_tokens > 0


def test_what_is_shown(ask: Ask) -> None:
    events: list[Event] = []
    usage = ask(planner(), reader(), events=events).usage
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in events:
            view.event(event)
    shown = stream.getvalue().splitlines()
    assert "planner with reader for sub-calls on 8,890 characters (rlm): what?" in shown[0]
    each = (
        f"({usage.work_tokens - usage.call_tokens:,} of planner, {usage.call_tokens:,} of reader)"
    )
    assert each in shown[-1]


# ----------------------------------------------------------------------- windows


def test_a_call_must_fit_the_sub_models_window(ask: Ask) -> None:
    code = [
        "try:\n    llm_query('x' * 300_000)\nexcept ValueError as error:\n    print(error)",
        "FINAL('went on')",
    ]
    events: list[Event] = []
    answer = ask(planner([cell(each) for each in code]), reader(), events=events)
    assert answer.text == "went on"
    [ran] = [event.observation.stdout for event in events if isinstance(event, Ran)][:1]
    assert "the model's window of 2,000 tokens" in ran


def test_what_fits_a_call_is_told_by_the_sub_models_window(ask: Ask) -> None:
    def told(sub_model: ScriptedModel | None) -> str:
        model = ScriptedModel([cell("FINAL(1)")], name="planner")
        ask(model, sub_model)
        return model.requests[0].messages[0].content

    assert told(None) == told(ScriptedModel(context_tokens=32_768))
    assert told(None) != told(ScriptedModel(context_tokens=2_000))


def test_tokens_are_set_aside_by_the_sub_models_window(ask: Ask) -> None:
    """A call is granted at most a window of its model, so others side by side need not wait."""
    model = planner(
        [
            cell("a, b = submit('x ' * 500), submit('y ' * 500)\nprint(gather([a, b]))"),
            cell("FINAL('x')"),
        ]
    )
    together = threading.Barrier(2, timeout=30)

    def both(request: Request) -> str:
        together.wait()
        return "said"

    # For each: 500 words and what a template may add, 2,000 tokens at most.
    assert ask(model, reader(both), tokens=8_000).text == "x"


# ------------------------------------------------------------------------- endings


def test_a_sub_model_that_dies_ends_the_run(ask: Ask) -> None:
    def dead(request: Request) -> str:
        raise WorkerDied("the model's process died")

    answer = ask(planner(), reader(dead))
    assert answer.stop is StopReason.MODEL
    assert "process died" in answer.message


def test_both_are_cancelled(ask: Ask) -> None:
    """A run that ends in a call ends the call; and what was kept of a child is let go by both."""
    told: dict[str, list[str]] = {"planner": [], "reader": []}

    class Told(ScriptedModel):
        def cancel(self, node: str = "") -> None:
            told[self.info.name].append(node)
            super().cancel(node)

    ask(Told(turns, name="planner"), Told(no_turns, lambda request: "said", name="reader"))
    assert "0.1" in told["planner"]
    assert "0.1" in told["reader"]


# --------------------------------------------------------------- going through it again


@pytest.fixture
def killed(ask: Ask, store: RunStore) -> str:
    """A run that was killed after its first sub-call."""
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 4, written=True)
        with pytest.raises(Killed):
            ask(planner(), reader())
    run_id = store.ids()[-1]
    assert isinstance(store.read(run_id).events[-1], SubCalled)
    return run_id


def resume(
    store: RunStore,
    run_id: str,
    sandbox: WasmSandbox,
    model: ScriptedModel,
    sub: ScriptedModel | None,
) -> Answer:
    with Runtime(model=model, sub_model=sub, sandbox=sandbox, store=store) as session:
        return rerun.resume(session, run_id)


def test_a_run_goes_on_with_both(
    ask: Ask, killed: str, store: RunStore, sandbox: WasmSandbox
) -> None:
    whole = ask(planner(), reader())
    model, sub_model = planner(), reader()
    answer = resume(store, killed, sandbox, model, sub_model)
    assert (answer.text, answer.sub_model) == (whole.text, "reader")
    assert answer.usage.call_tokens == whole.usage.call_tokens
    assert [r.messages[-1].content for r in sub_model.requests] == ["as a child", "a", "b"]
    assert (model.requests[0].node, model.requests[0].turn) == ("0", 2)


def test_equal_calls_of_before_are_known_to_be_the_sub_models(
    store: RunStore, sandbox: WasmSandbox, ask: Ask
) -> None:
    codes = ["a = llm_query('same')", "b = llm_query('same')", "FINAL(a + b)"]

    def script(request: Request) -> str:
        return cell(codes[request.turn - 1])

    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 5, written=True)
        with pytest.raises(Killed):
            ask(planner(script), reader())
    sub_model = reader()
    answer = resume(store, store.ids()[-1], sandbox, planner(script), sub_model)
    assert (answer.text, answer.usage.reused_calls) == ("saidsaid", 1)
    assert sub_model.requests == []


@pytest.mark.parametrize("other", [None, ScriptedModel(name="another")])
def test_not_with_another_sub_model(
    killed: str, store: RunStore, sandbox: WasmSandbox, other: ScriptedModel | None
) -> None:
    with pytest.raises(RunError, match="was made with the model reader, not with"):
        resume(store, killed, sandbox, planner(), other)


def test_nor_one_that_had_none(store: RunStore, sandbox: WasmSandbox, ask: Ask) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 4, written=True)
        with pytest.raises(Killed):
            ask(ScriptedModel(turns, ["said"], name="planner"), None)
    with pytest.raises(RunError, match="was made with the model planner, not with reader"):
        resume(store, store.ids()[-1], sandbox, planner(), reader())


def test_a_replay_knows_both_windows(ask: Ask, store: RunStore, sandbox: WasmSandbox) -> None:
    """A call that the sub-model's window refused is refused again."""
    codes = [
        "try:\n    llm_query('x' * 300_000)\nexcept ValueError as error:\n    print(error)",
        "print(llm_query('short'))",
        "FINAL('end')",
    ]
    answer = ask(planner([cell(code) for code in codes]), reader())
    replayed = rerun.replay(store, answer.run_id, sandbox)
    assert replayed.equal, replayed.differences
    assert replayed.cells == 3


def test_a_fork_with_another_sub_model(ask: Ask, store: RunStore, sandbox: WasmSandbox) -> None:
    run_id = ask(planner(), reader()).run_id
    sub_model = ScriptedModel(no_turns, lambda request: "other", name="another")
    with Runtime(model=planner(), sub_model=sub_model, sandbox=sandbox, store=store) as session:
        answer = rerun.fork(session, run_id, 1)
    # The turn that was taken over had its reply from the record; what comes after is asked anew.
    assert (answer.text, answer.sub_model) == ("said", "another")
    assert "label this" not in {r.messages[-1].content for r in sub_model.requests}
    events = store.read(answer.run_id).events
    assert isinstance(events[-1], RunEnded)
    assert rerun.replay(store, answer.run_id, sandbox).equal


def test_a_turn_and_calls_side_by_side(ask: Ask) -> None:
    """The code goes on beside a call, and the next turn is written while that is answered."""
    codes = ["handle = submit('slow')", "FINAL(handle.result())"]
    together = threading.Barrier(2, timeout=30)

    def script(request: Request) -> str:
        if request.turn == 2:
            together.wait()
        return cell(codes[request.turn - 1])

    def slow(request: Request) -> str:
        together.wait()
        return "said"

    assert ask(planner(script), reader(slow)).text == "said"
