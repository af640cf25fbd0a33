"""How much memory a model will take, before any of it is taken.

Weights and KV cells are exact; the compute buffer follows llama.cpp's graph for
the Llama family and carries a margin for others. The window is the longest that
fits; cells for sub-calls come on top of it, so that a batch of them does not
push the root's dialogue out of the cache.
"""

from __future__ import annotations

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama.modelfile import ModelFile
from rlm_local.records import Record

DEFAULT_CONTEXT_TOKENS = 32_768
SMALLEST_CONTEXT_TOKENS = 512
SUB_CALL_CELLS = 8_192
PARALLEL = 32  # sequences decoded together, at most: see `places`
SEQUENCES = 64  # those, and prefixes that are kept
BATCH_TOKENS = 512
_CELL_STEP = 256
_KV_BYTES = 2  # f16
_PROCESS_BYTES = 64 * MIB  # Python, numpy, libraries, the vocabulary
_COMPUTE_MARGIN = 1.1
_FLASH_HEAD_WIDTH = 64


class MemoryPlan(Record, frozen=True):
    """What a model will take. `context_tokens`: the window of one prompt and its reply.

    `cells`: tokens that the KV cache holds over all sequences. `flash`: whether
    attention is computed without storing its scores. `adapter_bytes`: LoRA adapters.
    """

    weight_bytes: int
    adapter_bytes: int
    kv_bytes: int
    compute_bytes: int
    output_bytes: int
    process_bytes: int
    limit_bytes: int
    context_tokens: int
    trained_tokens: int
    cells: int
    parallel: int
    batch_tokens: int
    flash: bool
    mapped: bool

    @property
    def total_bytes(self) -> int:
        return (
            self.weight_bytes
            + self.adapter_bytes
            + self.kv_bytes
            + self.compute_bytes
            + self.output_bytes
            + self.process_bytes
        )


def plan(file: ModelFile, *, memory_bytes: int, context_tokens: int | None = None) -> MemoryPlan:
    """The plan for `file` within `memory_bytes`.

    Without `context_tokens` the window is the longest that fits, up to the
    trained context and DEFAULT_CONTEXT_TOKENS. Raises ModelMemoryError if the
    window does not fit, ConfigError if it is out of range.
    """
    smallest = min(SMALLEST_CONTEXT_TOKENS, file.context_tokens)
    if context_tokens is not None:
        if not smallest <= context_tokens <= file.context_tokens:
            raise ConfigError(
                f"a window of {context_tokens:,} tokens was asked for, and this model takes "
                f"{smallest:,} to {file.context_tokens:,}"
            )
        wanted = _plan(file, memory_bytes, context_tokens)
        if wanted.total_bytes > memory_bytes:
            raise _too_large(wanted, f"lower context_tokens from {context_tokens:,}")
        return wanted
    longest = min(file.context_tokens, DEFAULT_CONTEXT_TOKENS)
    best = _plan(file, memory_bytes, longest)
    if best.total_bytes <= memory_bytes:
        return best
    if (least := _plan(file, memory_bytes, smallest)).total_bytes > memory_bytes:
        raise _too_large(least, "use a smaller or more strongly quantised model")
    fits, too_many = smallest, longest
    while too_many - fits > _CELL_STEP:
        middle = (fits + too_many) // 2
        if _plan(file, memory_bytes, middle).total_bytes <= memory_bytes:
            fits = middle
        else:
            too_many = middle
    return _plan(file, memory_bytes, fits)


def _plan(file: ModelFile, memory_bytes: int, context_tokens: int) -> MemoryPlan:
    wanted_cells = context_tokens + min(SUB_CALL_CELLS, 4 * context_tokens)
    cells = -(-wanted_cells // _CELL_STEP) * _CELL_STEP
    # Small heads compute faster without flash attention, and their scores are small.
    flash = file.head_width >= _FLASH_HEAD_WIDTH
    return MemoryPlan(
        weight_bytes=file.weight_bytes,
        adapter_bytes=sum(adapter.weight_bytes for adapter in file.adapters),
        kv_bytes=cells * file.kv_floats * _KV_BYTES,
        compute_bytes=int(_compute_bytes(file, cells, flash=flash) * _COMPUTE_MARGIN),
        output_bytes=4 * file.vocabulary * SEQUENCES,
        process_bytes=_PROCESS_BYTES + 512 * file.vocabulary,
        limit_bytes=memory_bytes,
        context_tokens=context_tokens,
        trained_tokens=file.context_tokens,
        cells=cells,
        parallel=PARALLEL,
        batch_tokens=BATCH_TOKENS,
        flash=flash,
        mapped=file.mapped,
    )


def _compute_bytes(file: ModelFile, cells: int, *, flash: bool) -> int:
    """The scratch of one batch's graph: the mask, then the widest of its steps."""
    feed_forward = 4 * (3 * file.feed_forward + 4 * file.width)
    if flash:
        attention = 2 * cells
        widest = max(feed_forward, 4 * (5 * file.width + 2 * file.kv_width))
    else:
        attention = 4 * cells * (file.heads + 1)
        widest = 4 * (5 * file.width + 2 * file.kv_width)
    layers = BATCH_TOKENS * (attention + widest)
    outputs = 4 * SEQUENCES * file.vocabulary + 8 * BATCH_TOKENS * file.width
    # An adapter's change is computed beside what it is added to.
    changes = 4 * max((a.rank + a.widest for a in file.adapters), default=0)
    return max(layers, BATCH_TOKENS * feed_forward, outputs) + BATCH_TOKENS * changes + MIB


def needs(plan: MemoryPlan) -> str:
    """`83 MiB (weights 1 MiB, …)`: what a plan comes to, for a refusal."""
    adapters = f"adapters {in_mib(plan.adapter_bytes)}, " if plan.adapter_bytes else ""
    return (
        f"{in_mib(plan.total_bytes)} (weights {in_mib(plan.weight_bytes)}, {adapters}KV cache "
        f"{in_mib(plan.kv_bytes)} for {plan.cells:,} tokens, computing "
        f"{in_mib(plan.compute_bytes + plan.output_bytes)}, process {in_mib(plan.process_bytes)})"
    )


def in_mib(size: int) -> str:
    return f"{-(-size // MIB):,} MiB"


def _too_large(least: MemoryPlan, advice: str) -> ModelMemoryError:
    return ModelMemoryError(
        f"the model needs {needs(least)}, and the limit is {in_mib(least.limit_bytes)}",
        hint=f"{advice}, or raise model_memory_bytes",
    )
