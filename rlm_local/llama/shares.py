"""One memory limit for several models: what each of them may take of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rlm_local.errors import ModelMemoryError
from rlm_local.llama.memory import (
    DEFAULT_CONTEXT_TOKENS,
    SMALLEST_CONTEXT_TOKENS,
    MemoryPlan,
    can_store,
    in_mib,
    needs,
    plan,
)
from rlm_local.llama.modelfile import ModelFile
from rlm_local.records import KvChoice

_STEP = 256


class Share(NamedTuple):
    """A model that is to be loaded beside others. `context_tokens`: a window that is asked for."""

    file: ModelFile
    context_tokens: int | None = None
    kv_type: KvChoice = "auto"

    def at(self, window: int, *, small: bool = False) -> MemoryPlan:
        """The plan for `window` tokens, or as many as are asked for, or as there can be.

        `small`: with the KV cache in the form that takes least, if that is left to us.
        """
        longest = min(self.file.context_tokens, DEFAULT_CONTEXT_TOKENS)
        smallest = min(SMALLEST_CONTEXT_TOKENS, longest)
        tokens = self.context_tokens or max(smallest, min(window, longest))
        kv_type = self.kv_type
        if small and kv_type == "auto" and can_store(self.file, "q8_0"):
            kv_type = "q8_0"
        return plan(self.file, memory_bytes=_AMPLE, context_tokens=tokens, kv_type=kv_type)


def divide(models: Sequence[Share], *, memory_bytes: int) -> list[MemoryPlan]:
    """A plan for each model, all together within `memory_bytes`.

    Windows grow together: none is cut below the length that another has, unless it was
    trained for less, or another length was asked for. Where they would be cut, KV caches are
    q8_0. Raises ModelMemoryError if not even the smallest fit, ConfigError for a window that
    is out of range.
    """
    for small in (False, True):
        whole = [share.at(DEFAULT_CONTEXT_TOKENS, small=small) for share in models]
        if _total(whole) <= memory_bytes:
            return _within(memory_bytes, whole)
    least = [share.at(0, small=True) for share in models]
    if _total(least) > memory_bytes:
        raise _too_large(models, least, memory_bytes)
    fits, too_many = 0, DEFAULT_CONTEXT_TOKENS
    while too_many - fits > _STEP:
        middle = (fits + too_many) // 2
        if _total([share.at(middle, small=True) for share in models]) <= memory_bytes:
            fits = middle
        else:
            too_many = middle
    return _within(memory_bytes, [share.at(fits, small=True) for share in models])


_AMPLE = 1 << 62


def _within(memory_bytes: int, plans: Sequence[MemoryPlan]) -> list[MemoryPlan]:
    return [replace(plan, limit_bytes=memory_bytes) for plan in plans]


def _total(plans: Sequence[MemoryPlan]) -> int:
    return sum(plan.total_bytes for plan in plans)


def _too_large(
    models: Sequence[Share], least: Sequence[MemoryPlan], memory_bytes: int
) -> ModelMemoryError:
    each = " and ".join(
        f"{share.file.name} needs {needs(plan)}" for share, plan in zip(models, least, strict=True)
    )
    whom = "both" if len(models) == 2 else "all"
    return ModelMemoryError(
        f"{each}, {in_mib(_total(least))} in all, and the limit for {whom} is "
        f"{in_mib(memory_bytes)}",
        hint="use smaller or more strongly quantised models, or raise model_memory_bytes",
    )
