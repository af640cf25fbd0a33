"""The one meter of a run, which holds its limits.

A `Budget` is the ledger of one node of a run and, through its parents, of the whole tree:
everything that costs is charged here before it is done, at every level up to the root, and
a charge that does not fit at one of them raises LimitReached with the figure, the limit and
the level's node. It may be used from any thread.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from rlm_local.clock import RunClock
from rlm_local.errors import LimitReached, NoTimeLeft, RlmError
from rlm_local.limits import Limits
from rlm_local.records import ROOT, Completion, DepthUsage, StopReason, Usage, depth_of
from rlm_local.units import counted, format_seconds

#: How often a wait for tokens looks at the clock.
_LOOK_SECONDS = 0.1
#: Of the tokens that are free, what requests side by side may be granted. The rest is for others.
_SHARE_OF_BATCH = 0.75


class Grant:
    """Tokens set aside for a call of the model, which keeps to them by itself.

    They are for the first `requests` of those that were to be made.
    """

    def __init__(self, budget: Budget, tokens: int, requests: int) -> None:
        self.tokens = tokens
        self.requests = requests
        self._budget = budget

    def charge(self, completions: Iterable[Completion], *, depth: int) -> None:
        """Enter what the call used, as spent at `depth`."""
        self._budget.charge_completions(completions, depth=depth)


class Budget:
    """The ledger of one node. Made for the root, whose clock starts then; `child` makes others.

    `limits` are what this node may use with all that is below it. `used_seconds`
    is what a run that is resumed has used before. `clock` is for tests.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        used_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        began = RunClock(clock)
        self._begin(limits, ROOT, began, began() - used_seconds + limits.wall_seconds)
        self._levels: tuple[Budget, ...] = (self,)
        self._changed = threading.Condition()
        self._by_depth: defaultdict[int, _Sums] = defaultdict(_Sums)
        self.begin()
        self._started -= used_seconds

    def _begin(self, limits: Limits, node: str, clock: RunClock, deadline: float) -> None:
        self.limits = limits
        self.node = node
        self._deadline = deadline
        self.clock = clock  # of the whole run: while it stands, no time runs out
        self._started = clock()
        self._sums = _Sums()  # of this node and all below it
        self._own_turns = 0
        self._granted = 0
        self._ended: RlmError | None = None

    def child(self, node: str, *, share: float | None = None, among: int = 1) -> Budget:
        """The ledger of the child `node`: it may use what is left here, or a share of that.

        `share` is above 0 and at most 1. Where it is for several children, `among`
        of them have an equal part of its tokens and calls; the time and the turns
        are the same for all. Raises LimitReached if nothing is left.
        """
        self.check()
        self.require_tokens()
        limits, deadline = self.limits, self._deadline
        if share is not None:
            now = self.clock()
            deadline = now + share * (self._deadline - now)
            limits = msgspec.structs.replace(
                limits,
                wall_seconds=min(limits.wall_seconds, max(1e-6, deadline - now)),
                tokens=max(1, int(share * self.tokens_left / among)),
                sub_calls=int(share * self.calls_left / among),
                turns=max(1, int(share * (limits.turns - self._own_turns))),
            )
        return self._below(node, limits, deadline)

    def known_child(self, node: str) -> Budget:
        """The ledger of a child on record: see `enter`."""
        return self._below(node, self.limits, self._deadline)

    def _below(self, node: str, limits: Limits, deadline: float) -> Budget:
        budget = Budget.__new__(Budget)
        budget._begin(limits, node, self.clock, deadline)
        budget._levels = (*self._levels, budget)
        budget._changed = self._changed
        budget._by_depth = self._by_depth
        return budget

    def begin(self) -> None:
        """The node begins: its own time runs from now on. Its deadline stays as it is."""
        self._started = self.clock()
        with self._changed:
            self._by_depth[depth_of(self.node)].nodes += 1

    # ------------------------------------------------------------- what is left

    @property
    def deadline(self) -> float:
        """When the time runs out, on the scale of `time.monotonic`."""
        return self.clock.due(self._deadline)

    @property
    def seconds(self) -> float:
        """Time since it was made."""
        return self.clock() - self._started

    @property
    def tokens_left(self) -> int:
        """Tokens that no level has used, whether they are granted or not."""
        with self._changed:
            return min(level._unused for level in self._levels)

    @property
    def calls_left(self) -> int:
        with self._changed:
            return min(level.limits.sub_calls - level._sums.sub_calls for level in self._levels)

    def usage(self) -> Usage:
        """What this node and all below it have used so far; the root's says it by depth too."""
        with self._changed:
            by_depth = sorted(self._by_depth.items()) if self.node == ROOT else []
            return Usage(
                seconds=self.seconds,
                turns=self._sums.turns,
                sub_calls=self._sums.sub_calls,
                prompt_tokens=self._sums.prompt_tokens,
                cached_tokens=self._sums.cached_tokens,
                completion_tokens=self._sums.completion_tokens,
                reused_calls=self._sums.reused_calls,
                thought_tokens=self._sums.thought_tokens,
                call_tokens=self._sums.call_tokens,
                by_depth=tuple(sums.at_depth(depth) for depth, sums in by_depth),
            )

    # ------------------------------------------------------------------ the end

    def end(self, error: RlmError) -> None:
        """End this level: from now on `check` raises `error`, here and below. The first counts."""
        with self._changed:
            self._ended = self._ended or error
            self._changed.notify_all()

    def is_below(self, level: Budget) -> bool:
        """Whether `level` is this one or above it."""
        return level in self._levels

    def level_of(self, error: RlmError) -> Budget:
        """The level that `error` ends: the one whose limit it was, else the root."""
        node = error.node if isinstance(error, LimitReached) else ROOT
        return next((level for level in self._levels if level.node == node), self._levels[0])

    def check(self) -> None:
        """Raise what ended this level or one above it, or LimitReached if no time is left."""
        now = self.clock()
        for level in self._levels:
            if level._ended is not None:
                raise level._ended
            if now >= level._deadline and not self.clock.stands:
                # Of a child, from the call on: it may have waited for its turn.
                took = level.limits.wall_seconds + now - level._deadline
                raise level._reached(
                    StopReason.WALL_CLOCK,
                    f"took {format_seconds(took)}, and its limit is "
                    f"{format_seconds(level.limits.wall_seconds)}",
                    "wall_seconds",
                )

    def require_tokens(self) -> None:
        """Raise LimitReached if no token is left."""
        with self._changed:
            for level in self._levels:
                if level._unused <= 0:
                    raise level._out_of_tokens()

    def cut_short(self) -> LimitReached:
        """What to raise for a call that stopped for want of tokens."""
        with self._changed:
            return min(self._levels, key=lambda level: level._unused)._out_of_tokens()

    def out_of_time(self, error: NoTimeLeft) -> RlmError:
        """What to raise for a call that had too little time: `error`, or the limit of a child."""
        level = min(self._levels, key=lambda level: level._deadline)
        over = level._reached(StopReason.WALL_CLOCK, f"has no time left: {error}", "wall_seconds")
        return error if level.node == ROOT else over

    def _out_of_tokens(self) -> LimitReached:
        return self._reached(
            StopReason.TOKENS,
            f"processed {self._sums.work_tokens:,} tokens, and its limit is {self.limits.tokens:,}",
            "tokens",
        )

    def _reached(self, stop: StopReason, what: str, limit: str) -> LimitReached:
        if self.node == ROOT:
            return LimitReached(stop, f"the run {what}", hint=f"raise {limit}")
        return LimitReached(
            stop, f"the child {self.node} {what}", hint="give it more", node=self.node
        )

    # ------------------------------------------------------------------ charges

    def charge_turn(self) -> None:
        """Charge one turn of this node, before it is asked for."""
        self.check()
        self.require_tokens()
        with self._changed:
            if self._own_turns >= self.limits.turns:
                raise self._reached(
                    StopReason.TURNS,
                    f"used its {counted(self.limits.turns, 'turn')} without an answer",
                    "turns",
                )
            self.enter(turns=1)

    def charge_sub_calls(self, count: int) -> None:
        """Charge calls or children that this node makes, before they start: all fit or none."""
        self.check()
        self.require_tokens()
        with self._changed:
            for level in self._levels:
                wanted = level._sums.sub_calls + count
                if wanted > level.limits.sub_calls:
                    raise level._reached(
                        StopReason.SUB_CALLS,
                        f"would make {wanted:,} sub-calls with the {count:,} wanted now, and its "
                        f"limit is {level.limits.sub_calls:,}",
                        "sub_calls",
                    )
            self.enter(sub_calls=count)

    def enter(self, *, turns: int = 0, sub_calls: int = 0) -> None:
        """Enter what this node has used, as on record: what goes beyond a limit, which may have
        been another then, ends only what is asked for next."""
        with self._changed:
            if turns:
                self._own_turns += turns
                for sums in self._books(depth_of(self.node)):
                    sums.turns += turns
            if sub_calls:
                for sums in self._books(depth_of(self.node) + 1):
                    sums.sub_calls += sub_calls

    def charge_completions(self, completions: Iterable[Completion], *, depth: int) -> None:
        """Enter what completions used that were asked for at `depth`: this node's own for its
        turns, one more for plain calls."""
        called = depth > depth_of(self.node)
        with self._changed:
            for completion in completions:
                for sums in self._books(depth):
                    sums.add(completion, called=called)

    @contextmanager
    def grant(self, *most: int) -> Iterator[Grant]:
        """Set tokens aside for a call whose requests can use `most` at most, each as many.

        They are for as many of the first as three quarters of what is free suffice for, and
        for one at least: the others are to be asked for again. So a large batch, which seldom
        uses what it can, leaves some to those who come while it is computed.

        One request gets as many as there are. While others hold grants that may yet give
        some back, one that would have to do with less waits for them: so calls side by side
        never use more than is left, and none is cut short for what another did not use.
        Raises LimitReached if no token is left, or no time.
        """
        tokens, requests = self._set_aside(most)
        try:
            yield Grant(self, tokens, requests)
        finally:
            with self._changed:
                for level in self._levels:
                    level._granted -= tokens
                self._changed.notify_all()

    def _set_aside(self, most: Sequence[int]) -> tuple[int, int]:
        with self._changed:
            while True:
                self.check()
                self.require_tokens()
                free = [level._unused - level._granted for level in self._levels]
                requests = _fitting(most, int(_SHARE_OF_BATCH * min(free)))
                wanted = sum(most[:requests])
                short = [
                    level for level, has in zip(self._levels, free, strict=True) if has < wanted
                ]
                if not any(level._granted for level in short):
                    tokens = min(wanted, *free)
                    for level in self._levels:
                        level._granted += tokens
                    return tokens, requests
                self._changed.wait(_LOOK_SECONDS)

    @property
    def _unused(self) -> int:
        return self.limits.tokens - self._sums.work_tokens

    def _books(self, depth: int) -> Iterator[_Sums]:
        """All the sums that a cost at `depth` is entered in. The lock is held."""
        yield self._by_depth[depth]
        for level in self._levels:
            yield level._sums


def _fitting(most: Sequence[int], room: int) -> int:
    """How many of the first fit into `room` together; one at least."""
    sums = itertools.accumulate(most)
    return max(1, sum(1 for _ in itertools.takewhile(lambda total: total <= room, sums)))


class _Sums:
    """Counters that only grow."""

    def __init__(self) -> None:
        self.nodes = 0
        self.turns = 0
        self.sub_calls = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.reused_calls = 0
        self.thought_tokens = 0
        self.call_tokens = 0

    @property
    def work_tokens(self) -> int:
        return self.prompt_tokens - self.cached_tokens + self.completion_tokens

    def add(self, completion: Completion, *, called: bool) -> None:
        self.prompt_tokens += completion.prompt_tokens
        self.cached_tokens += completion.cached_tokens
        self.completion_tokens += completion.completion_tokens
        self.reused_calls += completion.reused
        self.thought_tokens += completion.thought_tokens
        if called:
            self.call_tokens += completion.work_tokens

    def at_depth(self, depth: int) -> DepthUsage:
        return DepthUsage(depth=depth, **vars(self))
