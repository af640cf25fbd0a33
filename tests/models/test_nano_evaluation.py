"""The evaluation of the families: who always chooses right scores 1, who cheats scores 0."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from models.nano import programs
from models.nano.cells.profile import PROFILE
from models.nano.evaluate import SEED
from models.nano.families import catalog, evaluate, topics
from models.nano.families.task import Task
from models.nano.families.workers import worker
from models.nano.underway import UnderWay
from rlm_local.errors import DiskError, ModelError
from rlm_local.model import ScriptedModel
from rlm_local.records import Request
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.sandbox import Sandbox
from rlm_local.wasm import WasmSandbox

CHARS = 1_500


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = WasmSandbox()
    yield sandbox
    sandbox.close()


class Perfect:
    """Knows what to do in each task, and is told which there are."""

    def __init__(self, *tasks: Task) -> None:
        children = [task.child for task in tasks if task.child]
        self.tasks = {task.question: task for task in [*tasks, *children]}

    def turn(self, request: Request) -> str:
        question = request.messages[0].content.rpartition("\n")[0]
        said = sum(message.role == "assistant" for message in request.messages)
        return programs.turn((PROFILE, *self.tasks[question].plan)[said])

    def call(self, request: Request) -> str:
        prompt = request.messages[0].content
        for task in self.tasks.values():
            reply = task.reply(prompt) if task.reply else ""
            if reply not in ("", "0"):
                return reply
        return ""


def model_of(perfect: Perfect) -> ScriptedModel:
    return ScriptedModel(turns=perfect.turn, sub_calls=perfect.call, profile="nano")


@pytest.mark.parametrize("family", sorted(catalog.FAMILIES))
def test_who_chooses_right_gets_it_right(family: str, sandbox: Sandbox, tmp_path: Path) -> None:
    tasks = [catalog.task(family, SEED + CHARS + n, "held", CHARS) for n in range(2)]
    with Runtime(
        model=model_of(Perfect(*tasks)),
        sandbox=sandbox,
        limits=evaluate.LIMITS,
        store=RunStore(tmp_path),
    ) as runtime:
        results = evaluate.evaluate(runtime, [family], [CHARS], 2)
    assert [result.score for result in results] == [1.0] * 2
    assert all(result.stop == "answered" for result in results)
    (cell,) = evaluate.cells(results).values()
    assert cell["valid code"] == 1.0
    assert family in evaluate.table(evaluate.cells(results))


def test_labels_that_the_sub_prompts_do_not_name_do_not_count(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    task = next(
        found
        for seed in range(100)
        if (found := catalog.task("labels", seed, "train", CHARS)).kind == "more"
    )
    cheat = f"llm_query('food or not?')\nFINAL({task.gold!r})"
    model = ScriptedModel(
        turns=lambda _: programs.turn(cheat), sub_calls=lambda _: "1", profile="nano"
    )
    with Runtime(
        model=model, sandbox=sandbox, limits=evaluate.LIMITS, store=RunStore(tmp_path)
    ) as runtime:
        result = evaluate.run(runtime, task, CHARS)
    assert result.answer == task.gold
    assert result.score == 0.0


def test_workers_are_scored_alone(tmp_path: Path) -> None:
    right = {
        worker(SEED + n, "held", role).prompt: worker(SEED + n, "held", role).reply
        for role in ("label", "read", "yes-no", "spell")
        for n in range(4)
    }
    model = ScriptedModel(sub_calls=lambda request: right[request.messages[0].content])
    with Runtime(model=model, store=RunStore(tmp_path), sandbox=None) as runtime:
        results = evaluate.evaluate(runtime, ["workers"], [], 4)
    assert [result.score for result in results] == [1.0] * 16
    assert all(result.tokens for result in results)
    assert set(evaluate.cells(results)) == {
        "workers label",
        "workers read",
        "workers yes-no",
        "workers spell",
    }


def test_tokens_and_calls_of_a_needle_are_counted_too(sandbox: Sandbox, tmp_path: Path) -> None:
    asks = programs.turn("FINAL(llm_query('which?'))")
    with Runtime(
        model=ScriptedModel(lambda _: asks, lambda _: "this one", profile="nano"),
        sandbox=sandbox,
        store=RunStore(tmp_path),
    ) as runtime:
        (result,) = evaluate.evaluate(runtime, ["needle"], [CHARS], 1)
    assert (result.answer, result.sub_calls) == ("this one", 1)
    assert result.tokens > 4


def test_a_reply_to_a_menu_is_a_number_of_it() -> None:
    assert topics.reply("Which fits? law; food\nthe soup was good") == "food"
    assert topics.reply("Which fits? law; sport\nthe soup was good") == ""
    assert topics.reply("How are you?") == ""


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ModelError("it is gone"), DiskError("it is full")]
)
def test_a_run_that_ended_from_outside_is_no_wrong_one(
    error: BaseException, sandbox: Sandbox, tmp_path: Path
) -> None:
    def fail(request: Request) -> str:
        raise error

    with Runtime(
        model=ScriptedModel(fail, profile="nano"), sandbox=sandbox, store=RunStore(tmp_path)
    ) as runtime:
        for family in ("tables", "needle"):
            with pytest.raises(type(error)):
                evaluate.evaluate(runtime, [family], [CHARS], 1)


def test_an_evaluation_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    model, out = tmp_path / "a.gguf", tmp_path / "found.json"
    model.write_bytes(b"weights")
    made: list[str] = []

    def making(name: str) -> evaluate.Result:
        made.append(name)
        return evaluate.Result(name, 1, "", 1, 1.0, 0.5, "", "", "", "answered")

    first = UnderWay(out, model, evaluate.Result)
    results = [first.once(name, partial(making, name)) for name in ("one", "two")]
    part = out.with_suffix(".part.jsonl")
    part.write_bytes(part.read_bytes()[:-3])  # stopped within a line
    second = UnderWay(out, model, evaluate.Result)
    assert [second.once(name, partial(making, name)) for name in ("one", "two")] == results
    assert made == ["one", "two", "two"]
    model.write_bytes(b"other weights")
    UnderWay(out, model, evaluate.Result).once("one", partial(making, "one"))
    assert made[3:] == ["one"]
    second.end()
    assert not part.exists()
