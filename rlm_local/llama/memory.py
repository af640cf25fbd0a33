"""How much memory a model will take, before any of it is taken.

Weights, KV cells and outputs are exact; the scratch of the graph is within 5 % for the families
in _KNOWN; for others, whose graphs differ in a few tensors, it carries a margin
(`bench/memory.py` compares all of it with llama.cpp's own figures). The window is the
longest that fits; cells for sub-calls come on top of it, so that a batch of them does
not push the root's dialogue out of the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rlm_local.errors import ConfigError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama.devices import Device
from rlm_local.llama.modelfile import ModelFile
from rlm_local.llama.offload import Offload, layers_that_fit, offload
from rlm_local.records import KvChoice, KvType, LayerChoice, Record

DEFAULT_CONTEXT_TOKENS = 32_768
SMALLEST_CONTEXT_TOKENS = 512
SUB_CALL_CELLS = 8_192
PARALLEL = 32  # sequences decoded together, at most: see `places`
SEQUENCES = 64  # those, and prefixes that are kept
BATCH_TOKENS = 512
_CELL_STEP = 256
# A window that is not given up for the sake of having all layers on the GPU.
_GPU_CONTEXT_TOKENS = 8_192
_PROCESS_BYTES = 44 * MIB  # Python, numpy, libraries
_TOKEN_BYTES = 512  # of a vocabulary: text, hashes, merges
_GPU_PROCESS_BYTES = 256 * MIB  # a driver's own, roughly
_KNOWN = ("llama", "qwen2", "qwen3", "gemma3")
_OTHERS_MARGIN = 1.1
_FLASH_HEAD_WIDTH = 64
#: Numbers of a cell that are stored together, and the bytes that they take.
_BLOCKS: dict[KvType, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34)}


class MemoryPlan(Record, frozen=True):
    """What a model will take. `context_tokens`: the window of one prompt and its reply.

    `cells`: tokens that the KV cache holds over all sequences. `kv_type`: how its
    numbers are stored, and `kv_reason` why so, if not as is usual. `flash`: whether
    attention is computed without storing its scores. `gpu_layers`: how many layers
    are on `gpus`, the output counted as one; `device_bytes`: what they hold of the
    whole in memory of their own, which the limit is not for. `adapter_bytes`: LoRA
    adapters.
    """

    weight_bytes: int
    adapter_bytes: int
    kv_bytes: int
    compute_bytes: int
    output_bytes: int
    process_bytes: int
    device_bytes: int
    limit_bytes: int
    context_tokens: int
    trained_tokens: int
    cells: int
    kv_type: KvType
    kv_reason: str
    parallel: int
    batch_tokens: int
    flash: bool
    mapped: bool
    model_layers: int
    gpu_layers: int
    gpus: tuple[Device, ...]

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

    @property
    def host_bytes(self) -> int:
        """What the limit is for: all but what lies in GPUs' own memory."""
        return self.total_bytes - self.device_bytes

    @property
    def fits(self) -> bool:
        return self.host_bytes <= self.limit_bytes


class _Cells(NamedTuple):
    """How the KV cache is stored and attended to."""

    kv_type: KvType
    flash: bool


def plan(
    file: ModelFile,
    *,
    memory_bytes: int,
    context_tokens: int | None = None,
    kv_type: KvChoice = "auto",
    gpus: Sequence[Device] = (),
    gpu_layers: LayerChoice = "auto",
) -> MemoryPlan:
    """The plan for `file` within `memory_bytes`, and within what is free on `gpus`.

    Without `context_tokens` the window is the longest that fits, up to the
    trained context and DEFAULT_CONTEXT_TOKENS. By itself `kv_type` is f16, or
    q8_0 where only that makes room for such a window or for the one that was asked
    for. By itself `gpu_layers` is as many as fit on the GPUs. Raises ModelMemoryError
    if the window does not fit, ConfigError for what cannot be done with this model.
    """
    return _Planner(file, memory_bytes, kv_type, tuple(gpus), gpu_layers).plan(context_tokens)


class _Planner:
    """Plans for one file under one set of limits."""

    def __init__(
        self,
        file: ModelFile,
        memory_bytes: int,
        kv_type: KvChoice,
        gpus: tuple[Device, ...],
        gpu_layers: LayerChoice,
    ) -> None:
        self._file = file
        self._limit = memory_bytes
        self._gpus = () if gpu_layers == 0 else gpus
        self._gpu_layers = gpu_layers
        self._asked = kv_type
        self._kinds = list(_kinds(file, kv_type))
        if gpu_layers not in ("auto", 0) and not gpus:
            raise ConfigError(
                f"{gpu_layers} layers were asked to be on a GPU, and llama.cpp finds none",
                hint="`rlm-local doctor` says what it finds; docs/gpu.md how to build it for one",
            )

    def plan(self, context_tokens: int | None) -> MemoryPlan:
        smallest = min(SMALLEST_CONTEXT_TOKENS, self._file.context_tokens)
        if context_tokens is not None:
            if not smallest <= context_tokens <= self._file.context_tokens:
                way = "raise" if context_tokens < smallest else "lower"
                raise ConfigError(
                    f"a window of {context_tokens:,} tokens was asked for, and {self._file.name} "
                    f"takes {smallest:,} to {self._file.context_tokens:,}",
                    hint=f"{way} context_tokens, or leave it out for the longest that fits",
                )
            return self._window(context_tokens, f"lower context_tokens from {context_tokens:,}")
        longest = min(self._file.context_tokens, DEFAULT_CONTEXT_TOKENS)
        if self._gpus and (whole := self._whole_on_gpu(longest)) is not None:
            return whole
        best = max((self._longest(cells, smallest, longest) for cells in self._kinds), key=_window)
        if not best.fits:
            least = self._made(self._kinds[-1], smallest)
            raise _too_large(least, "use a smaller or more strongly quantised model")
        return self._explained(best, longest)

    def _window(self, tokens: int, advice: str) -> MemoryPlan:
        """A window of just `tokens`: as is usual if it fits, else as it does."""
        made = [self._made(cells, tokens) for cells in self._kinds]
        for one in made:
            if one.fits:
                return self._explained(one, tokens)
        raise _too_large(made[-1], advice)

    def _whole_on_gpu(self, longest: int) -> MemoryPlan | None:
        """All layers on the GPUs, with a window that is worth it; None if they do not fit."""
        tokens = longest
        while True:
            for cells in self._kinds:
                made = self._made(cells, tokens)
                if made.fits and made.gpu_layers > self._file.layers:
                    return self._explained(made, longest)
            if tokens // 2 < _GPU_CONTEXT_TOKENS:
                return None
            tokens //= 2

    def _longest(self, cells: _Cells, smallest: int, longest: int) -> MemoryPlan:
        """The longest window that fits, or the smallest of all, which does not."""
        best = self._made(cells, longest)
        if best.fits:
            return best
        if not (least := self._made(cells, smallest)).fits:
            return least
        fits, too_many = smallest, longest
        while too_many - fits > _CELL_STEP:
            middle = (fits + too_many) // 2
            if self._made(cells, middle).fits:
                fits = middle
            else:
                too_many = middle
        return self._made(cells, fits)

    def _explained(self, made: MemoryPlan, wanted: int) -> MemoryPlan:
        """`made` with the reason for its KV type."""
        reason = ""
        if self._asked != "auto":
            reason = "as asked for"
        elif made.kv_type != "f16":
            smallest = min(SMALLEST_CONTEXT_TOKENS, self._file.context_tokens)
            plain = [one for one in self._kinds if one.kv_type == "f16"]
            left = max((self._longest(one, smallest, wanted) for one in plain), key=_window)
            if left.fits and left.context_tokens < made.context_tokens:
                reason = f"f16 would leave a window of {left.context_tokens:,} tokens"
            elif left.fits:
                reason = "f16 would leave no room for all layers on the GPU"
            else:
                reason = "f16 would not fit"
        return replace(made, kv_reason=reason)

    def _made(self, cells: _Cells, context_tokens: int) -> MemoryPlan:
        file = self._file
        wanted = context_tokens + min(SUB_CALL_CELLS, 4 * context_tokens)
        count = -(-wanted // _CELL_STEP) * _CELL_STEP
        graph = graph_bytes(file, count, kv_type=cells.kv_type, flash=cells.flash)
        work = work_bytes(file, count, flash=cells.flash)
        put = self._offload(cells.kv_type, count, graph)
        return MemoryPlan(
            weight_bytes=file.weight_bytes + put.copied_bytes,
            adapter_bytes=sum(adapter.weight_bytes for adapter in file.adapters),
            kv_bytes=_kv_bytes(file.kv_floats, cells.kv_type, count),
            compute_bytes=graph + work + put.compute_bytes,
            output_bytes=4 * file.vocabulary * SEQUENCES,
            process_bytes=_PROCESS_BYTES
            + _TOKEN_BYTES * file.vocabulary
            + (_GPU_PROCESS_BYTES if put.layers else 0),
            device_bytes=put.device_bytes,
            limit_bytes=self._limit,
            context_tokens=context_tokens,
            trained_tokens=file.context_tokens,
            cells=count,
            kv_type=cells.kv_type,
            kv_reason="",
            parallel=PARALLEL,
            batch_tokens=BATCH_TOKENS,
            flash=cells.flash,
            mapped=file.mapped,
            model_layers=file.layers,
            gpu_layers=put.layers,
            gpus=self._gpus if put.layers else (),
        )

    def _offload(self, kv_type: KvType, cells: int, graph: int) -> Offload:
        kv = [_kv_bytes(floats, kv_type, cells) for floats in self._file.layer_kv_floats]
        if self._gpu_layers == "auto":
            return layers_that_fit(self._file, kv, graph, self._gpus)
        return offload(self._file, kv, graph, self._gpus, self._gpu_layers)


def _kinds(file: ModelFile, asked: KvChoice) -> Iterator[_Cells]:
    """Ways of storing cells, the usual one first, the one that takes least last."""
    if asked != "q8_0":
        # Small heads compute faster without flash attention, and their scores are small.
        usual = file.head_width >= _FLASH_HEAD_WIDTH
        yield _Cells("f16", usual)
        if not usual:
            yield _Cells("f16", flash=True)
    if asked == "f16":
        return
    if can_store(file, "q8_0"):
        yield _Cells("q8_0", flash=True)  # llama.cpp cannot do without for a quantised V
    elif asked == "q8_0":
        raise ConfigError(
            f"the heads of {file.name} are {file.head_width} wide, and q8_0 stores "
            f"{_BLOCKS['q8_0'][0]} numbers together",
            hint="use the KV type f16",
        )


def can_store(file: ModelFile, kv_type: KvType) -> bool:
    """Whether the heads of this model can be stored so."""
    together = _BLOCKS[kv_type][0]
    return all(width % together == 0 for width in (file.head_width, file.value_width))


def _kv_bytes(floats: int, kv_type: KvType, cells: int) -> int:
    together, size = _BLOCKS[kv_type]
    return cells * floats * size // together


def graph_bytes(file: ModelFile, cells: int, *, kv_type: KvType, flash: bool) -> int:
    """What llama.cpp reserves for one batch's graph: the mask, then the widest of its steps."""
    width, queries = file.width, file.heads * file.head_width
    feed_forward = 4 * (3 * file.feed_forward + 3 * width + queries)
    rotation = 0
    if kv_type != "f16" and file.head_width % 64 == 0:
        # Q, K and V are rotated before they are quantised. Which copy of Q that adds or
        # saves is the allocator's doing, who fits it into what has become free.
        if queries == width:
            feed_forward -= 4 * queries
        elif queries < width:
            feed_forward += 4 * queries
        rotation = 4 * (_power_of_two(file.head_width) ** 2 + 64 * 64)
    attention = 4 * (3 * width + 2 * queries + 2 * file.kv_width)
    if flash:
        mask = 2 * cells
        widest = max(feed_forward, attention)
    else:
        mask = 4 * cells * (file.heads + 1)
        widest = attention
    # Layers that see only a part have a mask of their own; Llama's never do.
    second = (2 if flash else 4) * cells if file.sliding and file.architecture != "llama" else 0
    steps = BATCH_TOKENS * (mask + second + widest)
    outputs = 4 * SEQUENCES * file.vocabulary + 8 * BATCH_TOKENS * width
    inputs = 16 * BATCH_TOKENS
    # An adapter's change is computed beside what it is added to.
    changes = 4 * max((a.rank + a.widest for a in file.adapters), default=0)
    whole = max(steps, BATCH_TOKENS * feed_forward, outputs) + BATCH_TOKENS * changes
    whole += rotation + inputs
    return whole if file.architecture in _KNOWN else int(whole * _OTHERS_MARGIN)


def work_bytes(file: ModelFile, cells: int, *, flash: bool) -> int:
    """What a processor takes besides, for one side of a product in the form of the other."""
    scores = 0 if flash else cells * file.heads
    return 2 * BATCH_TOKENS * max(scores, file.feed_forward, file.width)


def _power_of_two(number: int) -> int:
    """The largest that divides `number`."""
    return number & -number


def _window(made: MemoryPlan) -> int:
    return made.context_tokens if made.fits else 0


def needs(plan: MemoryPlan) -> str:
    """`83 MiB (weights 1 MiB, …)`: what a plan comes to, for a refusal."""
    adapters = f"adapters {in_mib(plan.adapter_bytes)}, " if plan.adapter_bytes else ""
    on_gpu = f", less {in_mib(plan.device_bytes)} on the GPU" if plan.device_bytes else ""
    return (
        f"{in_mib(plan.total_bytes)} (weights {in_mib(plan.weight_bytes)}, {adapters}KV cache "
        f"{in_mib(plan.kv_bytes)} for {plan.cells:,} tokens, computing "
        f"{in_mib(plan.compute_bytes + plan.output_bytes)}, process "
        f"{in_mib(plan.process_bytes)}){on_gpu}"
    )


def in_mib(size: int) -> str:
    return f"{-(-size // MIB):,} MiB"


def _too_large(least: MemoryPlan, advice: str) -> ModelMemoryError:
    return ModelMemoryError(
        f"the model needs {needs(least)}, and the limit is {in_mib(least.limit_bytes)}",
        hint=f"{advice}, or raise model_memory_bytes",
        least_bytes=least.host_bytes,
    )
