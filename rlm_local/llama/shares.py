"""One memory limit for several models: what each of them may take of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rlm_local.errors import ModelMemoryError
from rlm_local.llama.memory import (
    DEFAULT_CONTEXT_TOKENS,
    SMALLEST_CONTEXT_TOKENS,
    MemoryPlan,
    in_mib,
    needs,
    plan,
)
from rlm_local.llama.modelfile import ModelFile

_STEP = 256


class Share(NamedTuple):
    """A model that is to be loaded beside others. `context_tokens`: a window that is asked for."""

    file: ModelFile
    context_tokens: int | None = None

    def at(self, window: int, memory_bytes: int) -> MemoryPlan:
        """The plan for `window` tokens, or as many as are asked for, or as there can be."""
        longest = min(self.file.context_tokens, DEFAULT_CONTEXT_TOKENS)
        smallest = min(SMALLEST_CONTEXT_TOKENS, longest)
        tokens = self.context_tokens or max(smallest, min(window, longest))
        return plan(self.file, memory_bytes=memory_bytes, context_tokens=tokens)


def divide(models: Sequence[Share], *, memory_bytes: int) -> list[MemoryPlan]:
    """A plan for each model, all together within `memory_bytes`.

    Windows grow together: none is cut below the length that another has, unless it was
    trained for less, or another length was asked for. Raises ModelMemoryError if not even
    the smallest fit, ConfigError for a window that is out of range.
    """
    least = [share.at(0, _AMPLE) for share in models]
    if _total(least) > memory_bytes:
        raise _too_large(models, least, memory_bytes)
    fits, too_many = 0, DEFAULT_CONTEXT_TOKENS + 1
    if _total([share.at(DEFAULT_CONTEXT_TOKENS, _AMPLE) for share in models]) <= memory_bytes:
        fits = DEFAULT_CONTEXT_TOKENS
    while too_many - fits > _STEP:
        middle = (fits + too_many) // 2
        if _total([share.at(middle, _AMPLE) for share in models]) <= memory_bytes:
            fits = middle
        else:
            too_many = middle
    return [share.at(fits, memory_bytes) for share in models]


_AMPLE = 1 << 62


def _total(plans: Sequence[MemoryPlan]) -> int:
    return sum(plan.total_bytes for plan in plans)


def _too_large(
    models: Sequence[Share], least: Sequence[MemoryPlan], memory_bytes: int
) -> ModelMemoryError:
    each = " and ".join(
        f"{share.file.name} needs {needs(plan)}" for share, plan in zip(models, least, strict=True)
    )
    return ModelMemoryError(
        f"{each}, {in_mib(_total(least))} in all, and the limit for both is {in_mib(memory_bytes)}",
        hint="use smaller or more strongly quantised models, or raise model_memory_bytes",
    )
