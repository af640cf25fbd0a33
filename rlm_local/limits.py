"""What a run may use: limits as plain data, which `budget.Budget` holds."""

from __future__ import annotations

import msgspec

from rlm_local.clock import FAR_SECONDS
from rlm_local.errors import ConfigError
from rlm_local.records import Record

MIB = 1 << 20
#: The deepest that calls may go below the root.
MAX_DEPTH = 8
#: The most that any limit may be: sums of two still go through 64 bits.
MOST = 1 << 61
MOST_SECONDS = FAR_SECONDS  #: The longest time.

_MAY_BE_NONE = ("depth", "sub_calls", "thought_tokens", "sub_call_thought_tokens", "syntax_retries")


class Limits(Record, frozen=True):
    """What one run may use, over the whole tree of its calls.

    `tokens` counts what the model processes: prompt tokens that were not in its
    cache, and generated ones. `turns` is what each node of the tree may take;
    `sub_calls` counts calls of the model and children alike. `depth`: levels of
    calls below the root. 0 allows none, 1 plain calls, 2 children with a REPL of
    their own that make plain calls, and so on.

    `turn_tokens` and `sub_call_tokens` bound a single completion, `cell_seconds`
    a single cell. A model that thinks before it answers may do so, on top of that,
    for `thought_tokens` in a turn and `sub_call_thought_tokens` in a call; with 0 it
    does not think. `syntax_retries`: how often a turn whose code does not parse is
    written again before it is run. `guest_memory_bytes` is for each REPL,
    on top of the mapped prompt. `output_chars` is what one observation shows the model.
    """

    wall_seconds: float = 600.0
    cell_seconds: float = 120.0
    turns: int = 20
    depth: int = 1
    sub_calls: int = 2_000
    tokens: int = 4_000_000
    turn_tokens: int = 2_048
    sub_call_tokens: int = 512
    thought_tokens: int = 1_024
    sub_call_thought_tokens: int = 0
    syntax_retries: int = 1
    guest_memory_bytes: int = 512 * MIB
    model_memory_bytes: int = 16 * 1024 * MIB
    output_chars: int = 4_000
    answer_bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in _MAY_BE_NONE else 1
            if field.type is float:
                if not 0 < value <= MOST_SECONDS:
                    bound = f"at most {MOST_SECONDS:g}" if value > 0 else "above 0"
                    raise ConfigError(
                        f"the limit {field.name} is {value:g}; it must be {bound}",
                        hint="give a time in seconds",
                    )
            elif not lowest <= value <= MOST:
                bound = f"at least {lowest}" if value < lowest else f"at most {MOST:,}"
                raise ConfigError(f"the limit {field.name} is {value}; it must be {bound}")
        if self.depth > MAX_DEPTH:
            raise ConfigError(f"the limit depth is {self.depth}; it may be at most {MAX_DEPTH}")
