"""A prompt that is larger than the memory of any REPL: its tree, killed, resumed and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_local import rerun
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import Event, NodeStarted, Ran, Request, Resumed
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox, mapping, ondemand
from tests.recursion.conftest import cell
from tests.test_resume import Death, Killed

MIB = 1 << 20
COUNT = 16

#: The root gives all of it to a child, and parts of it to others, some of which fit.
ROOT = [
    "first = [text[:12] for text in context[::5]]\nheld = context[3]\nprint(type(context), first)",
    """parts = [context[start:start + 4] for start in range(0, len(context), 4)]
counts = rlm_query_batched([('count', part) for part in parts])
print(counts, held[:9])""",
    "small = rlm_query('count', context[5:7])\nwhole = rlm_query('count', context)\nprint(whole)",
    "found = grep('number 15,')\nprint(found[0].name, cite(0, 12, '11.txt'))",
    "FINAL(f'{counts} {small} {whole} {held[:9]} {llm_query(context[9][:12])}')",
]
CHILD = [
    "kind = type(context).__name__\nn = sum(text.count('number') for text in context)\nprint(kind)",
    "FINAL(f'{n} in {len(context)} of {kind}, {context[0][:10]}, {context_names[-1]}')",
]
ANSWER = (
    "['4 in 4 of list, number 0, , 03.txt', '4 in 4 of list, number 4, , 07.txt', "
    "'4 in 4 of list, number 8, , 11.txt', '4 in 4 of list, number 12,, 15.txt'] "
    "2 in 2 of list, number 5, , 06.txt 16 in 16 of Documents, number 0, , 15.txt "
    "number 3, SEEN NUMBER 9, XX"
)


def turn(request: Request) -> str:
    return cell((ROOT, CHILD)[request.depth][request.turn - 1])


def model() -> ScriptedModel:
    return ScriptedModel(turn, lambda request: f"SEEN {request.messages[-1].content.upper()}")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long ones, 5 MiB each."""
    folder = tmp_path_factory.mktemp("documents")
    for number in range(COUNT):
        (folder / f"{number:02}.txt").write_text(f"number {number}, " + "x" * (5 * MIB))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture(autouse=True)
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapping, ondemand):
        monkeypatch.setattr(module, "ADDRESS_SPACE", 140 * MIB)


def runtime(store: RunStore, sandbox: WasmSandbox) -> Runtime:
    limits = Limits(depth=2, guest_memory_bytes=64 * MIB)
    return Runtime(model=model(), sandbox=sandbox, store=store, limits=limits)


def test_children_have_parts_of_it(
    store: RunStore, documents: Path, sandbox: WasmSandbox, events: list[Event]
) -> None:
    with runtime(store, sandbox) as running:
        answer = running.ask("how many?", documents, mode="rlm", on_event=events.append)
    assert answer.text == ANSWER
    assert answer.complete
    started = [event for event in events if isinstance(event, NodeStarted)]
    # What the guest's memory does not hold together is not copied together either.
    assert [event.prompt["documents"] for event in started] == [4, 4, 4, 4, 2, COUNT]
    replay = rerun.replay(store, answer.run_id, sandbox)
    assert replay.equal
    assert replay.cells == sum(isinstance(event, Ran) for event in events)


@pytest.mark.parametrize(
    "after", [12, 33, *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 64, 4))]
)
def test_it_goes_on_after_a_kill(
    store: RunStore, documents: Path, sandbox: WasmSandbox, after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, after, written=True)
        with runtime(store, sandbox) as running, pytest.raises(Killed):
            running.ask("how many?", documents, mode="rlm")
    (run_id,) = store.ids()
    with runtime(store, sandbox) as running:
        answer = rerun.resume(running, run_id)
    assert answer.text == ANSWER
    events = store.read(run_id).events
    assert sum(isinstance(event, Resumed) for event in events) == 1
    assert sum(isinstance(event, Ran) for event in events) == len(ROOT) + 6 * len(CHILD)


def test_the_model_is_told(store: RunStore, documents: Path, sandbox: WasmSandbox) -> None:
    with runtime(store, sandbox) as running:
        running.ask("how many?", documents, mode="rlm")
        requests = running.model.requests  # type: ignore[attr-defined]
    said = [each.messages[1].content for each in requests if each.dialogue and each.turn == 1]
    assert said[0].startswith("`context` is a sequence of 16 str, which do not fit the memory")
    assert any(each.startswith("`context` is a list of 4 str,") for each in said)
