"""Limits, and the one meter that holds them.

`Limits` are plain data. `Budget` is the only ledger of a run: everything that
costs is charged here before it is done, and a charge that does not fit raises
LimitReached with the figure and the limit. It may be used from any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from rlm_local.errors import ConfigError, LimitReached
from rlm_local.records import Completion, Record, StopReason, Usage

MIB = 1 << 20


class Limits(Record, frozen=True):
    """What one run may use, over the whole tree of its calls.

    `tokens` counts what the model processes: prompt tokens that were not in its
    cache, and generated ones. `turn_tokens` and `sub_call_tokens` bound a single
    completion, `cell_seconds` a single cell. `guest_memory_bytes` is on top of
    the mapped prompt. `output_chars` is what one observation shows the model.
    """

    wall_seconds: float = 600.0
    cell_seconds: float = 120.0
    turns: int = 20
    depth: int = 1
    sub_calls: int = 2_000
    tokens: int = 4_000_000
    turn_tokens: int = 2_048
    sub_call_tokens: int = 512
    guest_memory_bytes: int = 512 * MIB
    model_memory_bytes: int = 16 * 1024 * MIB
    output_chars: int = 4_000
    answer_bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in ("depth", "sub_calls") else 1
            if isinstance(value, float):
                if not (math.isfinite(value) and value > 0):
                    raise ConfigError(
                        f"the limit {field.name} is {value:g}; it must be above 0",
                        hint="give a time in seconds",
                    )
            elif value < lowest:
                raise ConfigError(
                    f"the limit {field.name} is {value}; it must be at least {lowest}"
                )
        if self.depth > 1:
            raise ConfigError(f"the limit depth is {self.depth}; this version goes to depth 1")


class Budget:
    """The ledger of one run. The clock starts when it is made.

    `clock` is for tests; deadlines are on its scale.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._turns = 0
        self._sub_calls = 0
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._completion_tokens = 0

    @property
    def deadline(self) -> float:
        """When the wall clock runs out, on the clock's scale."""
        return self._started + self.limits.wall_seconds

    @property
    def seconds(self) -> float:
        """Time since the run began."""
        return self._clock() - self._started

    @property
    def tokens_left(self) -> int:
        return self.limits.tokens - self._work_tokens

    @property
    def _work_tokens(self) -> int:
        return self._prompt_tokens - self._cached_tokens + self._completion_tokens

    def check_clock(self) -> None:
        """Raise LimitReached if no time is left."""
        if self._clock() >= self.deadline:
            raise LimitReached(
                StopReason.WALL_CLOCK,
                f"the run took {self.seconds:.1f} s, and its limit is "
                f"{self.limits.wall_seconds:g} s",
                hint="raise wall_seconds",
            )

    def charge_turn(self) -> None:
        """Charge one turn of the root, before it is asked for."""
        self.check_clock()
        self.require_tokens()
        with self._lock:
            if self._turns >= self.limits.turns:
                raise LimitReached(
                    StopReason.TURNS,
                    f"the run used all its {self.limits.turns} turns without an answer",
                    hint="raise turns",
                )
            self._turns += 1

    def charge_sub_calls(self, count: int) -> None:
        """Charge a batch of sub-calls, before it starts: all of it fits or none."""
        self.check_clock()
        self.require_tokens()
        with self._lock:
            wanted = self._sub_calls + count
            if wanted > self.limits.sub_calls:
                raise LimitReached(
                    StopReason.SUB_CALLS,
                    f"a batch of {count:,} sub-calls would make {wanted:,}, and the limit is "
                    f"{self.limits.sub_calls:,}",
                    hint="raise sub_calls",
                )
            self._sub_calls = wanted

    def charge_completions(self, completions: Iterable[Completion]) -> None:
        """Enter what completions used. The model has kept to `tokens_left` by itself."""
        with self._lock:
            for completion in completions:
                self._prompt_tokens += completion.prompt_tokens
                self._cached_tokens += completion.cached_tokens
                self._completion_tokens += completion.completion_tokens

    def require_tokens(self) -> None:
        """Raise LimitReached if no token is left."""
        if self.tokens_left <= 0:
            raise LimitReached(
                StopReason.TOKENS,
                f"the run processed {self._work_tokens:,} tokens, and its limit is "
                f"{self.limits.tokens:,}",
                hint="raise tokens",
            )

    def usage(self) -> Usage:
        """What the run has used so far."""
        with self._lock:
            return Usage(
                seconds=self.seconds,
                turns=self._turns,
                sub_calls=self._sub_calls,
                prompt_tokens=self._prompt_tokens,
                cached_tokens=self._cached_tokens,
                completion_tokens=self._completion_tokens,
            )
