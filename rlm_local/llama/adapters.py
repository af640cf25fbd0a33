"""What a LoRA adapter must hold before llama.cpp may see it with a base model.

An adapter adds `scale * B @ A` to matrices of its base. llama.cpp compares some of the
shapes when it loads one; others end its process at the first batch, and what it cannot
apply it leaves out without a word. So an adapter is compared here with its base, tensor
by tensor, and one that would not be applied whole is refused.
"""

from __future__ import annotations

import math
from pathlib import Path

from rlm_local.errors import AdapterError, ConfigError, ModelFileError
from rlm_local.llama import gguf
from rlm_local.llama.gguf import Gguf, Tensor
from rlm_local.llama.identity import content
from rlm_local.records import Adapter, Record

#: Types that converters write, and that every part of llama.cpp's LoRA code computes with.
TYPES = ("F32", "F16", "BF16", "Q8_0")
_A, _B = ".lora_a", ".lora_b"
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_LARGEST_SCALE = 1e6


class AdapterFile(Record, frozen=True):
    """A checked adapter, which fits its base. `rank` and `widest`: the most of its matrices.
    `content`: see `identity.content`."""

    path: str
    scale: float
    weight_bytes: int
    matrices: int
    rank: int
    widest: int
    content: str


def inspect_adapter(adapter: Adapter, base: Gguf) -> AdapterFile:
    """Read and check `adapter` for a model with the header `base`.

    Raises AdapterError; ConfigError for a scale that cannot be.
    """
    if not abs(adapter.scale) <= _LARGEST_SCALE:  # nor not a number
        raise ConfigError(
            f"the adapter {adapter.path} was to be scaled by {adapter.scale:g}, and a scale is "
            f"between -{_LARGEST_SCALE:,.0f} and {_LARGEST_SCALE:,.0f}",
            hint="write FILE:SCALE; 1 is as it was trained",
        )
    try:
        header = gguf.read(Path(adapter.path))
    except ModelFileError as error:
        raise AdapterError(
            f"the LoRA adapter cannot be read: {error}",
            hint="name a file that llama.cpp's convert_lora_to_gguf.py has made",
        ) from error
    return _Checker(header, base).adapter_file(adapter)


class _Checker:
    def __init__(self, header: Gguf, base: Gguf) -> None:
        self._header = header
        self._base = base

    def adapter_file(self, adapter: Adapter) -> AdapterFile:
        self._check_kind()
        pairs = self._pairs()
        for name, (a, b) in pairs.items():
            self._check_pair(name, a, b)
        return AdapterFile(
            path=adapter.path,
            scale=adapter.scale,
            weight_bytes=self._header.tensor_bytes,
            matrices=len(pairs),
            rank=max(b.shape[0] for _, b in pairs.values()),
            # The output layer's is computed for a few tokens of a batch only.
            widest=max(
                (b.shape[1] for name, (_, b) in pairs.items() if name != _OUTPUT), default=0
            ),
            content=content(self._header),
        )

    def _check_kind(self) -> None:
        data, base = self._header.metadata, self._base.metadata
        kind = data.get("general.type")
        if kind != "adapter":
            what = "a model" if kind in (None, "model") else f"{str(kind)[:40]!r}"
            raise self._refusal(f"it holds {what}, not an adapter ('general.type')")
        if (kind := data.get("adapter.type")) != "lora":
            raise self._refusal(
                f"its kind is {str(kind)[:40]!r}, and 'lora' is the one that is run"
            )
        architecture = data.get("general.architecture")
        if architecture != base.get("general.architecture"):
            raise self._refusal(
                f"it is for the architecture {str(architecture)[:40]!r}, and the model's is "
                f"{base.get('general.architecture')!r}",
                "use an adapter that was trained on this very model",
            )
        alpha = data.get("adapter.lora.alpha", 0.0)
        typed = self._header.number_types.get("adapter.lora.alpha", "f")
        if typed != "f" or not isinstance(alpha, float) or not math.isfinite(alpha):
            raise self._refusal(f"'adapter.lora.alpha' is {str(alpha)[:40]!r}, not a 32-bit number")
        if any(key.startswith("adapter.alora.") for key in data):
            raise self._refusal(
                "it holds only after words of its own (an activated LoRA), and adapters are "
                "applied to all of a text here"
            )

    def _pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The two factors of each change, by the name of the base's tensor."""
        tensors = self._header.tensors
        names = []
        for name in tensors:
            stem, ending = name[: -len(_A)], name[-len(_A) :]
            if ending not in (_A, _B) or _A in stem or _B in stem:
                raise self._refusal(
                    f"it replaces {name!r} whole, which llama.cpp leaves out of an adapter",
                    "merge the adapter into its base model and convert that",
                )
            if (other := stem + (_B if ending == _A else _A)) not in tensors:
                raise self._refusal(f"it has {name!r} and not {other!r}")
            names.append(stem)
        if not names:
            raise self._refusal("it changes nothing: it has no tensors")
        return {stem: (tensors[stem + _A], tensors[stem + _B]) for stem in names}

    def _check_pair(self, name: str, a: Tensor, b: Tensor) -> None:
        base = self._base.tensors.get(name)
        if base is None:
            raise self._refusal(
                f"it changes {name!r}, and the model has no such tensor",
                "use an adapter that was trained on this very model",
            )
        for tensor in (a, b):
            if tensor.type.name not in TYPES:
                raise self._refusal(
                    f"{tensor.name!r} is stored as {tensor.type.name}, and {', '.join(TYPES)} "
                    "are read"
                )
        if base.type.name == "NVFP4":
            raise self._refusal(
                f"it changes {name!r}, which the model stores as NVFP4, and to that llama.cpp "
                "cannot add",
                "use the model in another quantisation",
            )
        if name == _EMBEDDING and _OUTPUT not in self._base.tensors:
            raise self._refusal(
                f"it changes {name!r}, which is this model's output layer as well: llama.cpp "
                "cannot apply it to both",
                "merge the adapter into its base model and convert that",
            )
        rank = b.shape[0]
        row, rows, *experts = base.shape + (1,) * (2 - len(base.shape))
        # Of the embedding, rows are looked up, so the factors stand the other way round.
        is_embedding = name == _EMBEDDING
        first = (rank, rows) if is_embedding else (row, rank, *experts)
        second = (rank, row) if is_embedding else (rank, rows, *experts)
        for tensor, shape in ((a, first), (b, second)):
            if tensor.shape != shape:
                raise self._refusal(
                    f"{tensor.name!r} has the shape {tensor.shape}, and for the model's "
                    f"{base.shape} it must be {shape}",
                    "use an adapter that was trained on this very model",
                )

    def _refusal(
        self, what: str, hint: str = "use another conversion of the adapter"
    ) -> AdapterError:
        return AdapterError(
            f"the LoRA adapter {self._header.path} cannot be used: {what}", hint=hint
        )
