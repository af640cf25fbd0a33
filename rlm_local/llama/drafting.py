"""A draft model beside the model that it guesses for: what must fit, and how it shares memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

from msgspec.structs import replace

from rlm_local.errors import DraftError, ModelMemoryError
from rlm_local.llama import gguf
from rlm_local.llama.devices import Device
from rlm_local.llama.memory import SMALLEST_CONTEXT_TOKENS, MemoryPlan, in_mib, plan
from rlm_local.llama.modelfile import ModelFile, inspect
from rlm_local.records import KvChoice, LayerChoice, Record

# Vocabularies of one family are filled up to different lengths with tokens that nobody uses.
PADDING = 128
_AMPLE = 1 << 62


class Draft(Record, frozen=True):
    """A draft model's file, and what it will take."""

    path: str
    plan: MemoryPlan


def plan_with(
    model: ModelFile,
    draft: Path | None,
    *,
    memory_bytes: int,
    context_tokens: int | None = None,
    kv_type: KvChoice = "auto",
    gpus: Sequence[Device] = (),
    gpu_layers: LayerChoice = "auto",
) -> tuple[MemoryPlan, Draft | None]:
    """The plan of `model`, see `plan`, and that of the draft model at `draft`, if there is one."""

    def planned(memory_bytes: int) -> MemoryPlan:
        return plan(
            model,
            memory_bytes=memory_bytes,
            context_tokens=context_tokens,
            kv_type=kv_type,
            gpus=gpus,
            gpu_layers=gpu_layers,
        )

    if draft is None:
        return planned(memory_bytes), None
    return beside(draft, model, planned, memory_bytes=memory_bytes)


def beside(
    path: Path,
    model: ModelFile,
    planned: Callable[[int], MemoryPlan],
    *,
    memory_bytes: int,
) -> tuple[MemoryPlan, Draft]:
    """The plan of `model` and that of the draft model at `path`, together within `memory_bytes`.

    `planned` plans for `model` within as many bytes as it is given. The draft model has
    the same window, if it was trained for as much. Raises DraftError if it has other
    tokens, ModelFileError, and ModelMemoryError if both do not fit.
    """
    draft = inspect(path)
    check_vocabulary(draft, model)

    def leaving(small: MemoryPlan) -> MemoryPlan:
        try:
            return planned(memory_bytes - small.host_bytes)
        except ModelMemoryError as error:
            planned(memory_bytes)  # raises what is so without a draft model, too
            both = error.least_bytes + small.host_bytes
            raise ModelMemoryError(
                f"{model.name} needs {in_mib(error.least_bytes)} and its draft model {draft.name} "
                f"{in_mib(small.host_bytes)}, {in_mib(both)} in all, and the limit for both is "
                f"{in_mib(memory_bytes)}",
                hint="leave the draft model out, or raise model_memory_bytes",
                least_bytes=both,
            ) from None

    main = leaving(_plan(draft, SMALLEST_CONTEXT_TOKENS))
    small = _plan(draft, main.context_tokens)
    if main.host_bytes + small.host_bytes > memory_bytes:
        main = leaving(small)
        small = _plan(draft, main.context_tokens)
    return (
        replace(main, limit_bytes=memory_bytes),
        Draft(path=draft.path, plan=replace(small, limit_bytes=memory_bytes)),
    )


def check_vocabulary(draft: ModelFile, model: ModelFile) -> None:
    """Raise DraftError unless both have the same tokens, apart from what fills them up."""
    tokens = [
        gguf.read(Path(file.path)).metadata["tokenizer.ggml.tokens"] for file in (draft, model)
    ]
    ours, theirs = (list(each) for each in tokens if isinstance(each, list))
    shared = min(len(ours), len(theirs))
    different = [at for at, (a, b) in enumerate(zip_longest(ours, theirs)) if a != b]
    if draft.tokenizer == model.tokenizer and (
        not different or (different[0] >= shared and len(different) <= PADDING)
    ):
        return
    raise DraftError(
        f"{draft.name} cannot guess for {model.name}: of {len(ours):,} and {len(theirs):,} tokens "
        f"{len(different):,} differ",
        hint="a draft model is a smaller one of the same family",
    )


def _plan(draft: ModelFile, context_tokens: int) -> MemoryPlan:
    window = max(min(context_tokens, draft.context_tokens), 1)
    smallest = min(SMALLEST_CONTEXT_TOKENS, draft.context_tokens)
    return plan(draft, memory_bytes=_AMPLE, context_tokens=max(smallest, window))
