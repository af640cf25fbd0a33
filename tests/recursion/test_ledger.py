"""One ledger for the tree: limits hold over all of it at once, and its sums are exact."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from rlm_local.errors import WindowError
from rlm_local.model import ScriptedModel
from rlm_local.records import (
    CallRaised,
    Completion,
    Event,
    NodeEnded,
    NodeStarted,
    Replied,
    Request,
    StopReason,
    SubCalled,
    TurnStarted,
)
from tests.recursion.conftest import Asker, by_depth, cell, question_of

#: Fans out: the root has `n` children, each of them has three, and all of them call the model.
FAN = "rlm_query_batched([('q', 'x')] * {n})\nFINAL(llm_query('r'))"


def work_tokens(events: list[Event]) -> int:
    """What the model processed, by the record alone."""
    total = 0
    for event in events:
        if isinstance(event, Replied):
            total += event.completion.work_tokens
        elif isinstance(event, SubCalled | CallRaised):
            total += sum(completion.work_tokens for completion in event.completions)
    return total


def calls_made(events: list[Event]) -> int:
    """Children and plain calls, by the record alone."""
    plain = sum(len(event.prompts) for event in events if isinstance(event, SubCalled))
    return plain + sum(isinstance(event, NodeStarted) for event in events)


class SlowModel(ScriptedModel):
    """Takes its time, and may be in several threads at once."""

    def __init__(self, *arguments: Any, seconds: float = 0.01) -> None:
        super().__init__(*arguments)
        self.seconds = seconds
        self.at_once = 0
        self.most_at_once = 0
        self._counting = threading.Lock()

    def complete(self, *arguments: Any, **options: Any) -> list[Completion]:
        with self._counting:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.seconds)
            return super().complete(*arguments, **options)
        finally:
            with self._counting:
                self.at_once -= 1


def test_the_sums_are_those_of_the_record_at_every_depth(ask: Asker, events: list[Event]) -> None:
    below = "FINAL(llm_query('s') + rlm_query('q', 'x'))"
    answer = ask(by_depth(FAN.format(n=5), below, "FINAL(llm_query_batched(['a', 'b']))"))
    usage = answer.usage
    assert usage.work_tokens == work_tokens(events)
    assert usage.sub_calls == calls_made(events) == 5 + 1 + 5 * 2 + 5 * 2
    assert usage.turns == sum(isinstance(event, TurnStarted) for event in events) == 11
    assert [used.nodes for used in usage.by_depth] == [1, 5, 5, 0]
    assert [used.turns for used in usage.by_depth] == [1, 5, 5, 0]
    assert [used.sub_calls for used in usage.by_depth] == [0, 6, 10, 10]
    tokens = Counter[int]()
    for event in events:
        if isinstance(event, Replied):
            tokens[event.depth] += event.completion.work_tokens
        elif isinstance(event, SubCalled):
            tokens[event.depth] += sum(done.work_tokens for done in event.completions)
    for used in usage.by_depth:
        assert used.prompt_tokens + used.completion_tokens == tokens[used.depth]
    for field in ("turns", "sub_calls", "prompt_tokens", "cached_tokens", "completion_tokens"):
        assert getattr(usage, field) == sum(getattr(used, field) for used in usage.by_depth)


def test_a_nodes_end_tells_what_it_cost_with_all_below_it(ask: Asker, events: list[Event]) -> None:
    answer = ask(by_depth(FAN.format(n=3), "FINAL(rlm_query('q', 'x'))", "FINAL(llm_query('s'))"))
    ended = {event.node: event.usage for event in events if isinstance(event, NodeEnded)}
    assert (ended["0.1"].turns, ended["0.1"].sub_calls) == (2, 2)
    children = [usage for node, usage in ended.items() if node.count(".") == 1]
    own = [e.completion.work_tokens for e in events if isinstance(e, Replied) and e.node == "0"]
    plain = [
        e.completions[0].work_tokens for e in events if isinstance(e, SubCalled) and e.depth == 1
    ]
    total = sum(usage.work_tokens for usage in children) + sum(own) + sum(plain)
    assert total == answer.usage.work_tokens


class TestSharedLimits:
    """Hit anywhere in the tree they end all of it, and nothing can catch that."""

    HOLD = "try:\n    {call}\nexcept BaseException:\n    pass\nwhile True: pass"

    def test_calls(self, ask: Asker, events: list[Event]) -> None:
        child = self.HOLD.format(call="llm_query_batched(['x'] * 3); llm_query('y')")
        began = time.monotonic()
        answer = ask(by_depth("rlm_query_batched([('q', 'x')] * 4)", child), sub_calls=11)
        assert answer.stop is StopReason.SUB_CALLS
        assert answer.usage.sub_calls == calls_made(events) <= 11
        assert time.monotonic() - began < 10

    def test_tokens(self, ask: Asker, events: list[Event]) -> None:
        child = "while True:\n    try: llm_query('x ' * 50)\n    except BaseException: pass"
        model = SlowModel(by_depth("rlm_query_batched([('q', 'x')] * 6)", child), lambda r: "y")
        answer = ask(model=model, tokens=10_000)
        assert answer.stop is StopReason.TOKENS
        assert 9_900 < answer.usage.work_tokens == work_tokens(events) <= 10_000
        assert model.most_at_once > 1

    def test_wall_clock(self, ask: Asker, events: list[Event]) -> None:
        child = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
        answer = ask(by_depth("rlm_query_batched([('q', 'x')] * 4)", child), wall_seconds=2.0)
        assert answer.stop is StopReason.WALL_CLOCK
        ended = [event for event in events if isinstance(event, NodeEnded)]
        assert {event.stop for event in ended} == {StopReason.WALL_CLOCK}

    def test_every_node_has_all_the_turns(self, ask: Asker) -> None:
        turns = Counter[str]()

        def script(request: Request) -> str:
            turns[request.node] += 1
            if turns[request.node] < 5:
                return cell(f"x = {turns[request.node]}\nprint(x)")
            return cell("FINAL(rlm_query('q', 'x'))" if request.depth < 2 else "FINAL(x)")

        answer = ask(script, turns=5)
        assert (answer.text, answer.usage.turns) == ("4", 15)

    def test_a_dead_model_ends_all(self, ask: Asker, events: list[Event]) -> None:
        from rlm_local.errors import WorkerDied

        def dies(request: Request) -> str:
            raise WorkerDied("the worker is gone")

        child = self.HOLD.format(call="llm_query('x')")
        answer = ask(by_depth("print('found')\nrlm_query_batched([('q', 'x')] * 3)", child), dies)
        assert answer.stop is StopReason.MODEL
        ended = [event.stop for event in events if isinstance(event, NodeEnded)]
        assert set(ended) == {StopReason.MODEL}


class LateRefusal(ScriptedModel):
    """Tells that a prompt is "long" when it has completed those before it, as a server may."""

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        long = [at for at, one in enumerate(requests) if one.messages[-1].content == "long"]
        if not long:
            return super().complete(requests, deadline=deadline, token_limit=token_limit)
        error = WindowError(9_000, 2_000, index=long[0])
        done = super().complete(requests[: long[0]], deadline=deadline, token_limit=token_limit)
        error.completions = tuple(done)
        raise error


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        ("llm_query_batched(['a b', 'c d', 'long'])", 4 + 4),
        # Without those that do not fit, the others are asked again, and once more.
        (
            "await asyncio.gather(*map(llm_query_async, ['a b', 'long', 'c d', 'e', 'long']))",
            4 + 11 + 11,
        ),
    ],
)
def test_a_batch_that_is_refused_late_is_charged(
    ask: Asker, events: list[Event], call: str, tokens: int
) -> None:
    code = f"import asyncio\ntry: {call}\nexcept ValueError as e: FINAL(str(e))"
    answer = ask(model=LateRefusal(by_depth(code), lambda request: "two words"))
    assert "9,000 tokens, and 2,000 fit" in answer.text
    assert answer.usage.call_tokens == tokens
    assert answer.usage.work_tokens == work_tokens(events)


@pytest.mark.parametrize(
    ("hold", "wall_seconds"), [("llm_query_batched(['x'] * 99)", 60.0), ("while True: pass", 4.0)]
)
def test_a_cell_that_a_limit_ends_has_told_its_answer_so_far(
    ask: Asker, hold: str, wall_seconds: float
) -> None:
    """Each call takes `answer["content"]` along: a cell without an end has no result."""
    code = (
        "print('seen')\n"
        "for n in range(3):\n"
        "    answer['content'] += llm_query(str(n))\n"
        f"llm_query('x')\ntry:\n    {hold}\nexcept BaseException:\n    while True: pass"
    )
    answer = ask(by_depth(code), sub_calls=9, wall_seconds=wall_seconds)
    assert answer.stop in (StopReason.SUB_CALLS, StopReason.WALL_CLOCK)
    assert answer.text == "012"


class TestShares:
    """A child's share is of what is left, and ends the child alone."""

    def test_tokens(self, ask: Asker, events: list[Event]) -> None:
        child = "print('half')\nllm_query('x ' * 5000)"
        answer = ask(
            by_depth("x = rlm_query('q', 'x', budget=0.1)\nFINAL([x])", child),
            lambda request: "y",
            tokens=20_000,
        )
        assert (answer.text, answer.stop) == ("['half']", StopReason.ANSWERED)
        [ended] = [event for event in events if isinstance(event, NodeEnded)]
        assert ended.stop is StopReason.TOKENS
        assert ended.usage.work_tokens <= 2_000

    def test_calls(self, ask: Asker, events: list[Event]) -> None:
        child = "print('half')\nfor n in range(99): llm_query('x')"
        root = "x = rlm_query('q', 'x', budget=0.5)\nFINAL(llm_query('on'))"
        answer = ask(by_depth(root, child), sub_calls=21)
        assert answer.text == "ON"
        [ended] = [event for event in events if isinstance(event, NodeEnded)]
        assert (ended.stop, ended.usage.sub_calls) == (StopReason.SUB_CALLS, 10)

    def test_wall_clock(self, ask: Asker, events: list[Event]) -> None:
        child = "print('half')\nwhile True:\n    try:\n        while True: pass\n    except: pass"
        began = time.monotonic()
        answer = ask(
            by_depth("x = rlm_query('q', 'x', budget=0.01)\nFINAL('on')", child), wall_seconds=60.0
        )
        assert (answer.text, answer.stop) == ("on", StopReason.ANSWERED)
        assert time.monotonic() - began < 20
        [ended] = [event for event in events if isinstance(event, NodeEnded)]
        assert ended.stop is StopReason.WALL_CLOCK

    def test_turns(self, ask: Asker, events: list[Event]) -> None:
        child = "answer['content'] = 'half'"
        ask(by_depth("x = rlm_query('q', 'x', budget=0.25)\nFINAL(x)", child), turns=9)
        [ended] = [event for event in events if isinstance(event, NodeEnded)]
        assert (ended.stop, ended.usage.turns) == (StopReason.TURNS, 2)

    def test_a_grandchild_that_exhausts_its_parents_share_ends_the_parent(
        self, ask: Asker, events: list[Event]
    ) -> None:
        hold = "while True:\n    try: {}\n    except BaseException: pass"
        child = "print('half')\n" + hold.format("rlm_query('q', 'x')")
        grandchild = hold.format("llm_query('x')")
        root = "x = rlm_query('q', 'x', budget=0.5)\nFINAL([x, 'on'])"
        answer = ask(by_depth(root, child, grandchild), sub_calls=21)
        assert answer.text == "['half', 'on']"
        ended = {event.node: event for event in events if isinstance(event, NodeEnded)}
        assert ended["0.1"].stop is ended["0.1.1"].stop is StopReason.SUB_CALLS
        assert ended["0.1"].usage.sub_calls == 10

    @pytest.mark.parametrize(
        "call",
        [
            "rlm_query('q', 'x', budget=1e-9)",
            "rlm_query_batched([('q', 'x')] * 3, budget=1e-9)",
            "submit('q', 'x', budget=1e-9).result()",
        ],
    )
    def test_a_share_of_time_that_is_over_before_the_child_begins(
        self, ask: Asker, call: str
    ) -> None:
        """As it may be for the last of a large batch: that is the child's end alone."""
        root = f"try: {call}\nexcept RuntimeError as e: FINAL(str(e))"
        answer = ask(by_depth(root, "FINAL('never')"))
        assert answer.stop is StopReason.ANSWERED
        assert "ended without an answer" in answer.text

    def test_a_batch_divides_its_share(self, ask: Asker, events: list[Event]) -> None:
        root = "rlm_query_batched([('q', 'x')] * 4, budget=0.5)\nFINAL('on')"
        child = "print('half')\nfor n in range(99): llm_query('x')"
        answer = ask(by_depth(root, child), sub_calls=84)
        assert answer.text == "on"
        ended = [event.usage.sub_calls for event in events if isinstance(event, NodeEnded)]
        assert ended == [10] * 4

    def test_no_share_is_more_than_what_is_left(self, ask: Asker, events: list[Event]) -> None:
        root = "x = [rlm_query('q', 'x', budget=1) for n in range(9)]\nFINAL(x)"
        answer = ask(
            by_depth(root, "print('half')\nfor n in range(7): llm_query('x')"), sub_calls=20
        )
        assert answer.stop is StopReason.SUB_CALLS
        assert answer.usage.sub_calls == calls_made(events) <= 20


def test_children_of_a_batch_work_side_by_side(ask: Asker) -> None:
    model = SlowModel(
        by_depth("FINAL(rlm_query_batched([('q', 'x')] * 6))", "FINAL(llm_query('x'))"),
        lambda request: "y",
        seconds=0.3,
    )
    assert ask(model=model).text == str(["y"] * 6)
    assert model.most_at_once > 2


class TestBatchesInParts:
    """Under a ledger that does not suffice for all that a batch could use at once."""

    def test_a_prompt_of_a_later_part_is_refused(self, ask: Asker, events: list[Event]) -> None:
        code = (
            "try: llm_query_batched(['a b'] * 20 + ['long', 'c'])\n"
            "except ValueError as e: FINAL(str(e))"
        )
        model = LateRefusal(by_depth(code), lambda request: "two words")
        answer = ask(model=model, tokens=20_000)
        assert answer.text.startswith("prompt 20 of the batch has 9,000 tokens")
        assert answer.usage.call_tokens == 20 * 4
        assert answer.usage.work_tokens == work_tokens(events)

    def test_the_tokens_run_out(self, ask: Asker, events: list[Event]) -> None:
        """All are used, and no reply is cut short before that."""
        answer = ask(
            by_depth("print('half')\nllm_query_batched(['a'] * 20)"),
            lambda request: "y " * 1_500,
            tokens=20_000,
        )
        assert (answer.stop, answer.text) == (StopReason.TOKENS, "half")
        assert answer.usage.work_tokens == work_tokens(events) == 20_000
        [called] = [event for event in events if isinstance(event, SubCalled)]
        whole = (answer.usage.call_tokens) // 1_501
        assert [one.finish for one in called.completions] == ["stop"] * whole + ["tokens"] * (
            20 - whole
        )

    def test_the_time_is_over_between_two_parts(self, ask: Asker, events: list[Event]) -> None:
        class Late(ScriptedModel):
            def complete(
                self, requests: Sequence[Request], *, deadline: float, token_limit: int
            ) -> list[Completion]:
                if not requests[0].dialogue:
                    time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)
                return super().complete(requests, deadline=math.inf, token_limit=token_limit)

        code = "print('half')\nllm_query_batched(['a'] * 20)"
        answer = ask(
            model=Late(by_depth(code), lambda request: "y"), tokens=20_000, wall_seconds=2.0
        )
        assert (answer.stop, answer.text) == (StopReason.WALL_CLOCK, "half")
        assert answer.usage.work_tokens == work_tokens(events)
        [called] = [event for event in events if isinstance(event, SubCalled)]
        whole = answer.usage.call_tokens // 2
        assert 1 < whole < 20
        assert [one.finish for one in called.completions] == ["stop"] * whole + ["deadline"] * (
            20 - whole
        )


LARGE = [(400, 8_000), (2_000, 2_000)]  # prompts, and characters in each


@pytest.mark.parametrize(("prompts", "chars"), LARGE)
def test_a_large_batch_leaves_tokens_to_others(ask: Asker, prompts: int, chars: int) -> None:
    """Its replies come only when a sibling has been asked beside it, and that one's call only
    when the batch is being computed."""
    begun, asked = threading.Event(), threading.Event()
    together: list[bool] = []

    class Waiting(ScriptedModel):
        def complete(
            self, requests: Sequence[Request], *, deadline: float, token_limit: int
        ) -> list[Completion]:
            if len(requests) > 1 and not begun.is_set():
                begun.set()
                together.append(asked.wait(30))
            elif requests[0].messages[-1].content == "beside":
                together.append(begun.wait(30))
            elif (requests[0].node, requests[0].turn) == ("0.2", 2):
                asked.set()
            return super().complete(requests, deadline=deadline, token_limit=token_limit)

    def turns(request: Request) -> str:
        if request.node == "0":
            return cell("FINAL(rlm_query_batched([('large', 'x'), ('beside', 'x')]))")
        if request.node == "0.1":
            return cell(f"FINAL(len(llm_query_batched(['x' * {chars}] * {prompts})))")
        return cell("said = llm_query('beside')" if request.turn == 1 else "FINAL(said)")

    answer = ask(model=Waiting(turns, lambda request: "y"), sub_calls=3_000)
    assert together == [True, True]
    assert answer.text == f"['{prompts}', 'y']"


@pytest.mark.parametrize(("prompts", "chars"), LARGE)
def test_large_batches_are_computed_side_by_side(ask: Asker, prompts: int, chars: int) -> None:
    meeting = threading.Barrier(2)
    met: Counter[str] = Counter()

    class Meeting(ScriptedModel):
        def complete(
            self, requests: Sequence[Request], *, deadline: float, token_limit: int
        ) -> list[Completion]:
            if len(requests) > 1 and not met[requests[0].node]:
                met[requests[0].node] += 1
                meeting.wait(30)
            return super().complete(requests, deadline=deadline, token_limit=token_limit)

    child = f"FINAL(len(llm_query_batched(['x' * {chars}] * {prompts})))"
    turns = by_depth("FINAL(rlm_query_batched([('q', 'x')] * 2))", child)
    answer = ask(model=Meeting(turns, lambda request: "y"), sub_calls=5_000)
    assert answer.text == str([str(prompts)] * 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_that_runs_out_somewhere_never_overshoots(
    ask: Asker, events: list[Event], seed: int
) -> None:
    """Some thirty nodes that call whatever they can, under limits that are hit in the middle."""

    def turns(request: Request) -> str:
        if request.depth < 2:
            return cell(
                "hs = [submit(str(n)) for n in range(2)]\n"
                "x = rlm_query_batched([('q', 'x' * 9)] * 5)\n"
                "FINAL(gather(hs))"
            )
        return cell("FINAL(llm_query_batched(['a b c'] * 3))")

    model = SlowModel(turns, lambda request: "d e", seconds=0.05 if seed == 2 else 0.001)
    limits = [{"tokens": 9_000}, {"sub_calls": 61}, {"wall_seconds": 0.3}][seed]
    answer = ask(model=model, **limits)
    assert answer.stop in (StopReason.TOKENS, StopReason.SUB_CALLS, StopReason.WALL_CLOCK)
    assert answer.usage.work_tokens == work_tokens(events) <= limits.get("tokens", 10**9)
    assert calls_made(events) <= answer.usage.sub_calls <= limits.get("sub_calls", 10**9)
    begun = Counter(event.node for event in events if isinstance(event, NodeStarted))
    ended = Counter(event.node for event in events if isinstance(event, NodeEnded))
    assert begun == ended
    assert set(begun.values()) <= {1}
    assert question_of(model.requests[0]) == "the question"
