"""`runs export --sft`: a sample is what the model was asked and what it said, to the letter."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlm_local import cli, rerun
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.records import Completion, Message, Replied, Request, TurnStarted
from rlm_local.runs import EVENTS, RunStore
from rlm_local.runtime import Runtime
from rlm_local.wasm import WasmSandbox
from tests.fakes import FakeSandbox


def cell(code: str) -> str:
    """A turn as it is stopped: at its closing fence."""
    return f"I look.\n```repl\n{code}\n```"


LOOK = cell("print(context[:5])")
END = cell("FINAL(len(context))")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLM_LOCAL_DATA", str(tmp_path))
    return tmp_path


def ask(model: ScriptedModel, *, sandbox: Any = None, mode: Any = "rlm", **limits: int) -> str:
    """The id of a run about a short text."""
    with Runtime(model=model, sandbox=sandbox or FakeSandbox(), limits=Limits(**limits)) as runtime:
        return runtime.ask("How long?", "one two three", mode=mode).run_id


Export = Callable[..., tuple[list[dict[str, Any]], dict[str, int]]]


@pytest.fixture
def export(capfd: pytest.CaptureFixture[str]) -> Export:
    """Runs the command; the samples and the counts."""

    def run(*arguments: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
        assert cli.run(["runs", "export", "--sft", *arguments]) == 0
        sys.stderr.flush()
        out, err = capfd.readouterr()
        counts = {}
        for line in err.splitlines():
            number, _, what = line.strip().partition("  ")
            counts[what] = int(number.replace(",", ""))
        return [json.loads(line) for line in out.splitlines()], counts

    return run


def as_sample(request: Request, said: str) -> list[dict[str, str]]:
    return [
        *({"role": m.role, "content": m.content} for m in request.messages),
        {"role": "assistant", "content": said},
    ]


def test_a_sample_is_what_was_asked_and_said(export: Export) -> None:
    model = ScriptedModel([LOOK, END], name="teacher")
    run_id = ask(model)
    found, counts = export()
    assert [each["messages"] for each in found] == [
        as_sample(request, said) for request, said in zip(model.requests, [LOOK, END], strict=True)
    ]
    assert [{k: v for k, v in each.items() if k != "messages"} for each in found] == [
        {
            "run_id": run_id,
            "node": "0",
            "turn": turn,
            "call": 0,
            "role": "root",
            "model": "teacher",
            "score": None,
        }
        for turn in (1, 2)
    ]
    assert counts == {"runs": 1, "dialogues": 1, "kept dialogues": 1, "kept turns": 2}


def test_children_and_calls_are_samples_too(export: Export) -> None:
    def turns(request: Request) -> str:
        first = sum(m.role == "assistant" for m in request.messages) == 0
        if request.depth == 0:
            return cell("x = rlm_query('Which?', 'abc'); print(x)") if first else cell("FINAL(x)")
        return cell("y = llm_query('say b')") if first else cell("FINAL(y)")

    model = ScriptedModel(turns, lambda _: " b ")
    with WasmSandbox() as sandbox:
        ask(model, sandbox=sandbox, depth=3)
    found, counts = export("--roles", "root,child,sub")
    assert [(each["role"], each["node"], each["turn"], each["call"]) for each in found] == [
        ("root", "0", 1, 0),
        ("root", "0", 2, 0),
        ("child", "0.1", 1, 0),
        ("child", "0.1", 2, 0),
        ("sub", "0.1", 0, 1),
    ]
    asked = {request.messages: request for request in model.requests}
    for each in found:
        messages = tuple(Message(m["role"], m["content"]) for m in each["messages"][:-1])
        said = turns(asked[messages]) if asked[messages].dialogue else "b"
        assert each["messages"][-1]["content"] == said
    assert counts["kept dialogues"] == 3
    assert [each["role"] for each in export("--roles", "sub")[0]] == ["sub"]


def test_what_teaches_nothing_is_dropped_and_counted(export: Export) -> None:
    ask(ScriptedModel([END]))
    ask(ScriptedModel(["three"]), mode="direct")
    ask(ScriptedModel([LOOK, LOOK]), turns=2)
    ask(
        ScriptedModel(
            [LOOK, LOOK, cell("1/0"), "hm", cell("FINAL_VAR(n)"), f"{END}\nThe output is 13."]
        )
    )
    found, counts = export()
    said = [each["messages"][-1]["content"] for each in found]
    assert said == [LOOK, END]
    assert "12" not in said[-1]
    assert counts == {
        "runs": 4,
        "dialogues": 4,
        "dropped: a single turn": 1,
        "dropped: its first messages are not on record": 1,
        "dropped: the run was not answered": 1,
        "turns not learned: a repeat": 1,
        "turns not learned: an error": 2,
        "turns not learned: no code": 1,
        "repaired: text after the block": 1,
        "kept dialogues": 1,
        "kept turns": 2,
    }


def test_scores_decide_where_they_are_given(export: Export, tmp_path: Path) -> None:
    ids = [ask(ScriptedModel([LOOK, END])) for _ in range(4)]
    scores = tmp_path / "scores.jsonl"
    lines = [
        {"run_id": run_id, "score": score}
        for run_id, score in zip(ids[:3], (0, 0.4, 1.0), strict=True)
    ]
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, counts = export("--scores", str(scores))
    assert [each["score"] for each in found] == [0.4, 0.4, 1.0, 1.0]
    assert counts["runs left out: without a score"] == 1
    assert counts["dropped: score 0"] == 1
    assert "scores of runs that are not here" not in counts
    with scores.open("a") as file:
        file.write('{"run_id": "20260101-000000-000-0000", "score": 1}\n')
    found, counts = export("--scores", str(scores), "--min-score", "0.5")
    assert {each["run_id"] for each in found} == {ids[2]}
    assert counts["dropped: score below 0.5"] == 1
    assert counts["scores of runs that are not here"] == 1


def test_runs_are_chosen_by_name_and_by_model(export: Export) -> None:
    first = ask(ScriptedModel([LOOK, END], name="one"))
    second = ask(ScriptedModel([LOOK, END], name="two"))
    assert {each["run_id"] for each in export("last", second)[0]} == {second}
    found, counts = export("--model", "one")
    assert {each["run_id"] for each in found} == {first}
    assert counts["dialogues left out: of another model, two"] == 1


def test_each_dialogue_is_of_the_model_that_spoke_in_it(export: Export) -> None:
    turns = [cell("x = llm_query('say b')"), cell("FINAL(x)")]
    with Runtime(
        model=ScriptedModel(turns, name="root"),
        sub_model=ScriptedModel(sub_calls=["b"], name="reader"),
        sandbox=FakeSandbox(),
    ) as runtime:
        runtime.ask("How long?", "one two three", mode="rlm")
    found, _ = export("--roles", "root,sub")
    assert [(each["role"], each["model"]) for each in found] == [
        ("root", "root"),
        ("root", "root"),
        ("sub", "reader"),
    ]
    assert [each["role"] for each in export("--roles", "root,sub", "--model", "reader")[0]] == [
        "sub"
    ]


def test_what_a_fork_took_from_another_model_is_not_its_own(export: Export) -> None:
    call = cell("print(llm_query('say b'))")
    first = ask(ScriptedModel([call, LOOK, END], ["b"], name="one"))
    with Runtime(
        model=ScriptedModel([LOOK, END], ["c"], name="two"), sandbox=FakeSandbox()
    ) as runtime:
        other = rerun.fork(runtime, first, 1).run_id
    roles = ("--roles", "root,sub")
    found, counts = export(other, "--model", "two", *roles)
    assert [(each["role"], each["turn"]) for each in found] == [("root", 2), ("root", 3)]
    assert found[0]["messages"][-3]["content"] == call
    assert counts["turns not learned: taken from a run of another model"] == 1
    assert counts["dropped: taken from a run of another model"] == 1
    with Runtime(model=ScriptedModel([END], name="two"), sandbox=FakeSandbox()) as runtime:
        again = rerun.fork(runtime, other, 2).run_id
    assert [each["turn"] for each in export(again, *roles)[0]] == [2, 3]
    assert len(export(first, *roles)[0]) == 4


class Unfaithful(ScriptedModel):
    """Keeps to no form in its sub-calls, and is cut short in the second."""

    def _complete(self, request: Request) -> Completion:
        finish = "stop" if request.dialogue else "form" if request.call == 1 else "length"
        return msgspec.structs.replace(super()._complete(request), finish=finish)


def test_replies_that_are_no_whole_ones_are_told_apart(export: Export) -> None:
    asks = cell("try:\n    llm_query('a')\nexcept Exception:\n    print(llm_query('b'))")
    ask(Unfaithful([asks, END], ["x", "y"]))
    found, counts = export("--roles", "sub")
    assert found == []
    assert counts["dropped: a reply that was not in its form"] == 1
    assert counts["dropped: a reply that was cut short"] == 1


class Thinker(ScriptedModel):
    """Thinks before it says anything."""

    def _complete(self, request: Request) -> Completion:
        thought = f"<think>turn {request.turn}</think>"
        return msgspec.structs.replace(super()._complete(request), thought=thought)


def test_thoughts_are_learned_on_request_and_never_shown(export: Export) -> None:
    ask(Thinker([LOOK, END]))
    assert "<think>" not in str(export()[0])
    found, _ = export("--thoughts")
    said = [each["messages"][-1]["content"] for each in found]
    assert said == [f"<think>turn 1</think>{LOOK}", f"<think>turn 2</think>{END}"]
    assert not any("<think>" in str(each["messages"][:-1]) for each in found)


def test_a_file_is_written_whole_or_not_at_all(
    export: Export, tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = ask(ScriptedModel([LOOK, END]))
    out = tmp_path / "samples.jsonl"
    out.write_text("old\n")
    record = folder / "runs" / run_id / EVENTS
    content = record.read_bytes()
    record.write_bytes(content.replace(b'"n":2', b'"n":3'))
    assert cli.run(["runs", "export", "--sft", run_id, "--out", str(out)]) == 2
    assert "line 2" in capfd.readouterr().err
    assert out.read_text() == "old\n"
    assert not list(tmp_path.glob("*.partial"))
    assert export("--out", str(out)) == ([], {"runs left out: damaged": 1})
    record.write_bytes(content)
    assert export("--out", str(out))[0] == []
    assert len(out.read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none" / "samples.jsonl"
    assert cli.run(["runs", "export", "--sft", "--out", str(out)]) == 2
    first, hint = capfd.readouterr().err.splitlines()
    assert first == f"error: {out} cannot be written: No such file or directory"
    assert hint.startswith("hint: name a file in a folder that is there")


def test_what_is_no_file_is_written_to_and_stays(export: Export, tmp_path: Path) -> None:
    ask(ScriptedModel([LOOK, END]))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    export("--out", str(pipe))
    assert pipe.is_fifo()
    reader.join(60)
    assert len(read[0].splitlines()) == 2


def test_half_a_surrogate_pair_is_what_the_model_saw_of_it(export: Export) -> None:
    ask(ScriptedModel([cell("print(chr(0xd800))"), END]))
    found, _ = export()
    assert found[-1]["messages"][-2]["content"] == "?"


def test_the_first_messages_are_on_record_once_and_a_direct_prompt_never(folder: Path) -> None:
    ask(ScriptedModel([LOOK, END]))
    ask(ScriptedModel(["three"]), mode="direct")
    worked, direct = (RunStore().read(run_id).events for run_id in RunStore().ids())
    openings = [event.opening for event in worked if isinstance(event, TurnStarted)]
    assert [bool(opening) for opening in openings] == [True, False]
    assert not any(event.opening for event in direct if isinstance(event, TurnStarted))


def test_a_record_from_before_them_is_left_alone(export: Export) -> None:
    run_id = ask(ScriptedModel([LOOK, END]))
    events = [
        msgspec.structs.replace(event, opening=()) if isinstance(event, TurnStarted) else event
        for event in RunStore().read(run_id).events
    ]
    with RunStore().new() as run:
        for event in events:
            run.append(event)
    _, counts = export(run.run_id)
    assert counts["dropped: its first messages are not on record"] == 1


def test_a_run_without_an_end_is_left_alone(export: Export) -> None:
    run_id = ask(ScriptedModel([LOOK, END]))
    events = RunStore().read(run_id).events
    cut = next(n for n, e in enumerate(events) if isinstance(e, Replied) and e.turn == 2)
    with RunStore().new() as broken:
        for event in events[:cut]:
            broken.append(event)
    assert export(broken.run_id)[1]["dropped: the run was not answered"] == 1
    with RunStore().new() as empty:
        pass
    assert export(empty.run_id)[1]["runs left out: empty"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "export"], "add --sft"),
        (["runs", "export", "--sft", "--min-score", "1"], "--scores"),
        (["runs", "export", "--sft", "--roles", "root,boss"], "'boss' is none of"),
        (["runs", "export", "--sft", "--scores", "none.jsonl"], "No such file"),
        (["runs", "export", "--sft", "20200101"], "there is no run"),
        (["runs", "export", "--sft", "--most-chars", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: Sequence[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("line", ['{"run_id": "x"}', '{"run_id": 1, "score": 1}', "x", "\xff"])
def test_a_bad_line_of_scores_is_named(
    line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b'{"run_id": "a", "score": 1}\n\n' + line.encode("latin-1") + b"\n")
    assert cli.run(["runs", "export", "--sft", "--scores", str(path)]) == 2
    assert "line 3" in capfd.readouterr().err
