"""A run's tree as `runs show --tree` and the views tell it."""

from __future__ import annotations

import io

import msgspec
import pytest

from rlm_local.live import TerminalView
from rlm_local.outline import outline
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    NodeEnded,
    NodeStarted,
    Observation,
    Ran,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
    Usage,
)
from rlm_local.views import PlainView, Tally, View

DONE = Completion(
    text="",
    finish="stop",
    prompt_tokens=100,
    cached_tokens=60,
    completion_tokens=10,
    seconds=0.5,
)


def turn(node: str, code: str = "x = 1") -> list[Event]:
    depth = node.count(".")
    return [
        TurnStarted(turn=1, node=node, depth=depth),
        Replied(turn=1, text="so", code=code, completion=DONE, node=node, depth=depth),
    ]


def ran(node: str) -> Ran:
    return Ran(
        turn=1,
        observation=Observation(stdout=f"out of {node}\n"),
        shown="",
        turn_seconds=1.0,
        model_seconds=0.5,
        overhead_seconds=0.0,
        node=node,
        depth=node.count("."),
    )


def child(node: str, index: int, question: str, chars: int = 500) -> NodeStarted:
    return NodeStarted(
        node=node,
        depth=node.count("."),
        turn=1,
        call=1,
        index=index,
        question=question,
        prompt={"chars": chars, "documents": 1},
    )


def ended(node: str, stop: StopReason = StopReason.ANSWERED, message: str = "") -> NodeEnded:
    usage = Usage(seconds=1.25, turns=1, sub_calls=2, prompt_tokens=50)
    return NodeEnded(
        node=node, depth=node.count("."), text="t", stop=stop, message=message, usage=usage
    )


def events() -> list[Event]:
    """A root with two children at work at once, the second one with a child of its own."""
    return [
        RunStarted(
            run_id="r",
            time=0.0,
            question="why?",
            model="m",
            mode="rlm",
            prompt={"chars": 9_000},
            limits={"wall_seconds": 60.0, "turns": 20, "sub_calls": 100, "tokens": 10_000},
        ),
        *turn("0"),
        child("0.1", 0, "first?"),
        child("0.2", 1, "second?"),
        *turn("0.2"),
        *turn("0.1"),
        child("0.2.1", 0, "deep?"),
        *turn("0.2.1"),
        SubCalled(
            turn=1,
            prompts=("p", "q"),
            replies=("", ""),
            completions=(DONE, DONE),
            seconds=0.1,
            node="0.2.1",
            depth=3,
        ),
        ran("0.2.1"),
        ended("0.2.1"),
        ran("0.1"),
        ended("0.1", StopReason.TOKENS, "out of tokens"),
        ran("0.2"),
        ended("0.2"),
        ran("0"),
        RunEnded(
            time=1.0,
            answer=Answer(
                text="because",
                stop=StopReason.ANSWERED,
                usage=Usage(seconds=2.0, turns=4, sub_calls=5, prompt_tokens=300),
                run_id="r",
                model="m",
            ),
        ),
    ]


def test_children_follow_their_parents_and_each_has_its_own_figures() -> None:
    nodes = outline(events())
    assert [node.node for node in nodes] == ["0", "0.1", "0.2", "0.2.1"]
    deep = nodes[-1]
    assert (deep.depth, deep.question, deep.chars) == (2, "deep?", 500)
    assert (deep.turns, deep.calls, deep.tokens, deep.seconds) == (1, 2, 150, 1.25)
    assert [node.stop for node in nodes] == ["answered", "tokens", "answered", "answered"]
    assert nodes[1].message == "out of tokens"
    assert sum(node.tokens for node in nodes) == 4 * 50 + 2 * 50


def test_ten_children_stand_in_the_order_of_their_numbers() -> None:
    start = events()[:1]
    nodes = outline([*start, *(child(f"0.{n}", n, "q") for n in (10, 2, 1, 9))])
    assert [node.node for node in nodes] == ["0", "0.1", "0.2", "0.9", "0.10"]


@pytest.mark.parametrize("length", range(20))
def test_a_record_that_breaks_off_shows_what_there_is(length: int) -> None:
    nodes = outline(events()[:length])
    assert len(nodes) <= 4
    if 0 < length < 19:
        assert nodes[0].stop is None
        assert nodes[0].seconds is None


def test_the_tally_counts_the_whole_tree_but_the_roots_turns() -> None:
    tally = Tally()
    most = 0
    for event in events():
        tally.add(event)
        most = max(most, tally.children)
    assert (tally.turns, tally.sub_calls, tally.tokens) == (1, 5, 300)
    assert (most, tally.children) == (3, 0)


def test_plain_lines_say_whose_they_are() -> None:
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in events():
            view.event(event)
    lines = stream.getvalue().splitlines()
    for line in (
        "[0.1] a child on 500 characters: first?",
        "[0.2.1] turn 1",
        "[0.2.1]   so",
        "[0.2.1]   | x = 1",
        "[0.2.1]   2 sub-calls in 100.0 ms, 100 tokens",
        "[0.2.1]   > out of 0.2.1",
        "[0.1] tokens (out of tokens) in 1.25 s: 1 turn, 2 sub-calls, 50 tokens",
        "  > out of 0",
    ):
        assert line in lines
    assert lines[1].startswith("turn 1 (left: ")


@pytest.mark.parametrize("moving", [True, False])
def test_a_terminal_shows_children_further_in(moving: bool) -> None:
    stream = io.StringIO()
    view: View = TerminalView(stream, moving=moving)
    with view:
        for event in events():
            view.event(event)
    lines = stream.getvalue().splitlines()
    assert any(line.startswith("  [0.1] a child on 500 characters") for line in lines)
    assert any(line.startswith("    [0.2.1] turn 1") for line in lines)
    assert any(line.startswith("      out of 0.2.1") for line in lines)


def gone_on() -> list[Event]:
    """A run that was interrupted with a child at work, and goes on."""
    start = events()[0]
    answer = Answer(text="", stop=StopReason.INTERRUPTED, usage=Usage(), run_id="r", model="m")
    return [
        start,
        *turn("0"),
        child("0.1", 0, "first?"),
        ended("0.1", StopReason.INTERRUPTED, "the run was interrupted"),
        RunEnded(time=20.0, answer=answer),
        Resumed(time=500.0, used_seconds=20.0),
    ]


def test_what_goes_on_has_not_ended():
    assert [node.stop for node in outline(gone_on())] == [None, None]
    assert [node.stop for node in outline([*gone_on(), ended("0.1")])] == [None, "answered"]


def test_what_was_cut_short_and_asked_again_is_told_once():
    begun, *rest = gone_on()
    whole = SubCalled(
        turn=1, prompts=("p",), replies=("r",), completions=(DONE,), seconds=0.1, call=2
    )
    cut = msgspec.structs.replace(DONE, finish="deadline", completion_tokens=3)
    [root, _] = outline([begun, msgspec.structs.replace(whole, completions=(cut,)), *rest, whole])
    assert (root.calls, root.tokens) == (1, 2 * DONE.work_tokens)


def test_the_tally_of_a_run_that_goes_on():
    tally = Tally()
    for event in [*gone_on(), ended("0.1")]:
        tally.add(event)
    assert tally.children == 0
    assert tally.left().startswith(("left: 40.0 s", "left: 39."))
