"""The ledger as a tree: shares, who is ended, grants side by side, and that all sums agree."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.budget import Budget
from rlm_local.errors import LimitReached, ModelError
from rlm_local.limits import Limits
from rlm_local.records import Completion, StopReason
from tests.test_limits import Clock, completion


def used(tokens: int) -> Completion:
    return completion(tokens, 0, 0)


def by_four_threads(work: Callable[[range], None], count: int) -> None:
    """`work` on the numbers below `count`, a quarter on each thread."""
    threads = [threading.Thread(target=work, args=[range(first, count, 4)]) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestShares:
    def test_a_child_without_a_share_may_use_all_that_is_left(self) -> None:
        root = Budget(Limits(tokens=100, sub_calls=10, turns=3))
        child = root.child("0.1")
        child.charge_completions([used(100)], depth=1)
        with pytest.raises(LimitReached) as caught:
            child.require_tokens()
        assert caught.value.node == "0"

    def test_a_share_is_of_what_is_left(self) -> None:
        clock = Clock()
        root = Budget(Limits(tokens=1000, sub_calls=10, turns=10, wall_seconds=100.0), clock=clock)
        root.charge_completions([used(200)], depth=0)
        root.charge_sub_calls(2)
        root.charge_turn()
        clock.now += 20
        child = root.child("0.1", share=0.5)
        limits = child.limits
        assert (limits.tokens, limits.sub_calls, limits.turns) == (400, 4, 4)
        assert limits.wall_seconds == pytest.approx(40.0)
        assert child.deadline == pytest.approx(clock.now + 40.0)

    def test_time_that_is_over_is_told_from_the_call_on(self) -> None:
        """A child may have waited long for its turn: its deadline does not wait."""
        clock = Clock()
        child = Budget(Limits(wall_seconds=100.0), clock=clock).child("0.1", share=0.12)
        clock.now += 11.8
        child.begin()
        child.check()
        clock.now += 0.2
        with pytest.raises(LimitReached, match=r"0\.1 took 12\.0 s, and its limit is 12\.0 s"):
            child.check()
        assert child.usage().seconds == pytest.approx(0.2)

    def test_a_batch_divides_tokens_and_calls_but_not_time(self) -> None:
        root = Budget(Limits(tokens=1000, sub_calls=100, turns=10, wall_seconds=100.0))
        limits = root.child("0.1", share=0.5, among=5).limits
        assert (limits.tokens, limits.sub_calls, limits.turns) == (100, 10, 5)
        assert limits.wall_seconds == pytest.approx(50.0, abs=1)

    def test_the_smallest_share_lets_one_turn_begin(self) -> None:
        root = Budget(Limits(tokens=10, sub_calls=1, turns=1))
        root.charge_turn()
        limits = root.child("0.1", share=1e-9).limits
        assert (limits.tokens, limits.turns, limits.sub_calls) == (1, 1, 0)

    def test_nothing_is_given_of_nothing(self) -> None:
        root = Budget(Limits(tokens=10))
        root.charge_completions([used(10)], depth=0)
        with pytest.raises(LimitReached):
            root.child("0.1", share=0.5)

    def test_an_exhausted_share_names_the_child(self) -> None:
        root = Budget(Limits(tokens=1000))
        child = root.child("0.1", share=0.1)
        below = child.child("0.1.1")
        below.charge_completions([used(100)], depth=2)
        for budget in (child, below):
            with pytest.raises(LimitReached, match=r"child 0\.1 ") as caught:
                budget.require_tokens()
            assert caught.value.node == "0.1"
        root.require_tokens()

    def test_turns_are_each_nodes_own(self) -> None:
        root = Budget(Limits(turns=1))
        root.charge_turn()
        child = root.child("0.1")
        child.charge_turn()
        with pytest.raises(LimitReached) as caught:
            child.charge_turn()
        assert (caught.value.stop, caught.value.node) == (StopReason.TURNS, "0.1")
        assert root.usage().turns == 2

    def test_what_is_refused_at_one_level_is_charged_at_none(self) -> None:
        root = Budget(Limits(sub_calls=100))
        child = root.child("0.1", share=0.05)
        with pytest.raises(LimitReached):
            child.charge_sub_calls(6)
        assert root.usage().sub_calls == child.usage().sub_calls == 0
        child.charge_sub_calls(5)
        assert root.usage().sub_calls == 5


class TestEnding:
    def test_an_end_holds_for_all_below_and_none_above(self) -> None:
        root = Budget(Limits())
        child, sibling = root.child("0.1"), root.child("0.2")
        below = child.child("0.1.1")
        child.end(LimitReached(StopReason.CANCELLED, "enough", node="0.1"))
        for budget in (child, below):
            for charge in (
                budget.check,
                budget.charge_turn,
                lambda b=budget: b.charge_sub_calls(1),
            ):
                with pytest.raises(LimitReached, match="enough"):
                    charge()
        root.check()
        sibling.check()

    def test_the_first_reason_counts(self) -> None:
        root = Budget(Limits())
        root.end(ModelError("first"))
        root.end(ModelError("second"))
        with pytest.raises(ModelError, match="first"):
            root.check()

    def test_the_level_that_an_error_ends(self) -> None:
        root = Budget(Limits())
        child = root.child("0.1")
        below = child.child("0.1.1")
        assert below.level_of(LimitReached(StopReason.TOKENS, "", node="0.1")) is child
        assert below.level_of(LimitReached(StopReason.TOKENS, "")) is root
        assert below.level_of(ModelError("")) is root
        assert below.is_below(child)
        assert below.is_below(below)
        assert not child.is_below(below)


class TestGrants:
    def test_alone_a_call_gets_what_there_is(self) -> None:
        root = Budget(Limits(tokens=100))
        with root.grant(60) as grant:
            assert grant.tokens == 60
        with root.grant(1_000) as grant:
            assert grant.tokens == 100

    def test_a_call_waits_for_what_others_may_give_back(self) -> None:
        root = Budget(Limits(tokens=100))
        got: list[int] = []

        def ask() -> None:
            with root.grant(50) as grant:
                got.append(grant.tokens)

        with root.grant(80) as grant:
            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(0.05)
            assert got == []
            grant.charge([used(10)], depth=0)
        thread.join(5)
        assert got == [50]

    def test_a_call_does_not_wait_for_ever(self) -> None:
        root = Budget(Limits(tokens=100, wall_seconds=0.2))
        with root.grant(100), pytest.raises(LimitReached) as caught, root.grant(1):
            pass
        assert caught.value.stop is StopReason.WALL_CLOCK

    def test_a_share_is_kept_to_as_well(self) -> None:
        root = Budget(Limits(tokens=1000))
        child = root.child("0.1", share=0.1)
        with child.grant(500) as grant:
            assert grant.tokens == 100

    @pytest.mark.parametrize(
        ("most", "requests", "tokens"),
        [
            ([75, 1], 1, 75),
            ([25, 25, 25], 3, 75),
            ([25, 25, 26], 2, 50),
            ([25, 26, 25], 2, 51),
            ([76, 1], 1, 76),
            ([100, 1], 1, 100),
            ([101, 1], 1, 100),
            ([101], 1, 100),
            ([76], 1, 76),
            ([0, 0], 2, 0),
        ],
    )
    def test_requests_together_leave_a_quarter(
        self, most: list[int], requests: int, tokens: int
    ) -> None:
        """Unless the first of them can use more by itself."""
        with Budget(Limits(tokens=100)).grant(*most) as grant:
            assert (grant.requests, grant.tokens) == (requests, tokens)

    def test_of_what_others_leave_they_take_their_part_at_once(self) -> None:
        root = Budget(Limits(tokens=4_000))
        child, other = root.child("0.1"), root.child("0.2", share=0.1)
        with child.grant(*[10] * 999) as first, root.grant(*[10] * 999) as second:
            assert (first.requests, second.requests) == (300, 75)
            with other.grant(*[10] * 999) as third, root.grant(70) as single:
                assert (third.requests, single.tokens) == (18, 70)
                first.charge([used(2_000)], depth=1)
        with root.grant(*[10] * 999) as again:
            assert again.requests == 150

    def test_one_of_many_waits_as_one_alone(self) -> None:
        root = Budget(Limits(tokens=100))
        got: list[tuple[int, int]] = []

        def ask() -> None:
            with root.grant(50, 10, 10) as grant:
                got.append((grant.requests, grant.tokens))

        with root.grant(80):
            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(0.05)
            assert got == []
        thread.join(5)
        assert got == [(3, 70)]

    @settings(max_examples=20, deadline=None)
    @given(
        st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=9), min_size=1, max_size=20),
        st.integers(50, 400),
        st.integers(1, 3),
    )
    def test_batches_in_parts_never_use_more_than_there_is(
        self, batches: list[list[int]], tokens: int, use: int
    ) -> None:
        """And no request has less than it can use while there is more."""
        root = Budget(Limits(tokens=tokens))
        short: list[int] = []

        def ask(number: int, most: list[int]) -> None:
            budget = root.child(f"0.{number}") if number % 2 else root
            while most:
                with budget.grant(*most) as grant:
                    part, most = most[: grant.requests], most[grant.requests :]
                    if grant.tokens < sum(part):
                        short.append(number)
                    grant.charge([used(min(grant.tokens, sum(part) // use))], depth=1)

        def try_all(numbers: range) -> None:
            with contextlib.suppress(LimitReached):
                for number in numbers:
                    ask(number, batches[number])

        by_four_threads(try_all, len(batches))
        assert root.usage().work_tokens <= tokens
        if short:
            assert root.tokens_left < 30

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(50, 400))
    def test_side_by_side_they_never_use_more_than_there_is(
        self, wanted: list[int], tokens: int
    ) -> None:
        root = Budget(Limits(tokens=tokens))
        refused: list[int] = []

        def ask(number: int, most: int) -> None:
            budget = root.child(f"0.{number}") if number % 2 else root
            try:
                with budget.grant(most) as grant:
                    budget.charge_completions([used(min(grant.tokens, most - most // 3))], depth=1)
            except LimitReached:
                refused.append(number)

        def try_all(numbers: range) -> None:
            for number in numbers:
                try:
                    ask(number, wanted[number])
                except LimitReached:
                    refused.append(number)

        by_four_threads(try_all, len(wanted))
        assert root.usage().work_tokens <= tokens
        if refused:
            assert root.usage().work_tokens == tokens


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["child", "turn", "calls", "tokens"])),
        max_size=60,
    )
)
def test_every_level_holds_the_sum_of_what_is_below(steps: list[tuple[int, str]]) -> None:
    root = Budget(Limits(depth=8))
    budgets = [root]
    own: dict[str, list[int]] = {"0": [0, 0, 0]}
    for which, step in steps:
        budget = budgets[which % len(budgets)]
        turns_calls_tokens = own[budget.node]
        if step == "child":
            node = f"{budget.node}.{sum(b.node.startswith(budget.node) for b in budgets)}"
            budgets.append(budget.child(node))
            own[node] = [0, 0, 0]
        elif step == "turn" and turns_calls_tokens[0] < root.limits.turns:
            budget.charge_turn()
            turns_calls_tokens[0] += 1
        elif step == "calls":
            budget.charge_sub_calls(3)
            turns_calls_tokens[1] += 3
        elif step == "tokens":
            budget.charge_completions([completion(10, 4, 1)], depth=budget.node.count("."))
            turns_calls_tokens[2] += 7
    for budget in budgets:
        inside = [
            sums
            for node, sums in own.items()
            if node == budget.node or node.startswith(f"{budget.node}.")
        ]
        usage = budget.usage()
        assert usage.turns == sum(sums[0] for sums in inside)
        assert usage.sub_calls == sum(sums[1] for sums in inside)
        assert usage.work_tokens == sum(sums[2] for sums in inside)
    total = root.usage()
    for field in ("turns", "sub_calls", "prompt_tokens", "cached_tokens", "completion_tokens"):
        assert getattr(total, field) == sum(getattr(each, field) for each in total.by_depth)
