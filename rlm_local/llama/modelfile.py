"""What a GGUF file must hold before llama.cpp may see it, and what it holds.

llama.cpp ends its process on some contents that are well-formed GGUF (no layers,
equal tokens, a vocabulary without bytes), and reads past the end of arrays that
are shorter than the vocabulary. Such files are refused here, by name and figure.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from rlm_local.errors import ModelFileError
from rlm_local.llama import gguf
from rlm_local.llama.adapters import AdapterFile, inspect_adapter
from rlm_local.llama.gguf import Gguf, Value
from rlm_local.llama.identity import content
from rlm_local.records import Adapter, Record

_LAYERS = 1 << 10
_WIDTH = 1 << 20
_TOKENS = 1 << 21
_POSITIONS = 1 << 28
_TEMPLATE_CHARS = 1 << 20
_EMBEDDING = "token_embd.weight"
_LAYER = re.compile(r"blk\.(\d{1,6})\.")
_OUTPUT = -1  # as a layer
_MARKS = ("bos", "eos", "eot", "eom")
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
# Stored in another order once loaded: a mapped file would be held besides the copy.
_REPACKED = {"Q4_0", "Q2_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "MXFP4", "Q1_0"}
if platform.machine() in ("arm64", "aarch64"):
    _REPACKED.add("Q8_0")
# How vocabularies spell the 256 bytes: byte-level BPE as one letter each (printable
# bytes as themselves, the others from U+0100 on), SentencePiece by number.
_PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_BYTE_LETTERS = tuple(map(chr, sorted(_PRINTABLE))) + tuple(
    map(chr, range(256, 512 - len(_PRINTABLE)))
)
_BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))


class Special(Record, frozen=True):
    """A token that stands for more than its text. Control tokens are never text."""

    id: int
    text: str
    kind: Literal["control", "user"]


class ModelFile(Record, frozen=True):
    """What the header of a checked model file says.

    `context_tokens`: the trained context. `sliding`: whether some layers see only a
    part of it. `layer_kv_floats`: numbers that one token's
    K and V take, layer by layer. `layer_bytes` and `output_weight_bytes`: the part of the
    weights that each layer, and the output, have; a `tied` output shares the embedding's.
    `template`: the Jinja chat template, or ''. `mapped`: whether the weights can be used
    from the file's own pages. `content`: see `identity.content`.
    """

    path: str
    name: str
    architecture: str
    quantization: str
    license: str
    profile: str
    parameters: int
    file_bytes: int
    weight_bytes: int
    mapped: bool
    context_tokens: int
    sliding: bool
    layers: int
    width: int
    heads: int
    kv_width: int
    head_width: int
    value_width: int
    feed_forward: int
    layer_kv_floats: tuple[int, ...]
    layer_bytes: tuple[int, ...]
    output_weight_bytes: int
    tied: bool
    vocabulary: int
    tokenizer: str
    bos: int | None
    eos: int
    template: str
    specials: tuple[Special, ...]
    content: str
    adapters: tuple[AdapterFile, ...] = ()

    @property
    def kv_floats(self) -> int:
        """Numbers that one token's K and V take over all layers."""
        return sum(self.layer_kv_floats)


def inspect(path: Path, adapters: Iterable[Adapter] = ()) -> ModelFile:
    """Read and check the model file at `path`, and `adapters` that are to change it.

    Raises ModelFileError, AdapterError.
    """
    header = gguf.read(path)
    file = _Checker(header).model_file()
    fitting = tuple(inspect_adapter(adapter, header) for adapter in adapters)
    return msgspec.structs.replace(file, adapters=fitting)


class _Checker:
    def __init__(self, header: Gguf) -> None:
        self._header = header
        self._data = header.metadata
        self._architecture = self._text("general.architecture")

    def model_file(self) -> ModelFile:
        header = self._header
        self._check_kind()
        layers = self._dimension("block_count", 1, _LAYERS)
        width = self._dimension("embedding_length", 1, _WIDTH)
        heads = self._per_layer("attention.head_count", layers, lowest=1)
        kv_heads = self._per_layer("attention.head_count_kv", layers, lowest=0, default=heads)
        llama = self._architecture == "llama"
        feed_forward = self._per_layer(
            "feed_forward_length", layers, lowest=1, default=None if llama else [4 * width]
        )
        if llama:
            self._number("attention.layer_norm_rms_epsilon")
        even = max(1, width // max(heads))
        key_width = self._dimension("attention.key_length", 1, _WIDTH, default=even)
        value_width = self._dimension("attention.value_length", 1, _WIDTH, default=even)
        self._check_rotation(key_width)
        tokens = self._tokens()
        self._check_tensors(layers, width, len(tokens))
        types = Counter[str]()
        for tensor in header.tensors.values():
            types[tensor.type.name] += tensor.size
        sizes = self._sizes()
        template = self._text("tokenizer.chat_template", default="")
        if len(template) > _TEMPLATE_CHARS:
            raise self._refusal(
                f"its chat template has {len(template):,} characters, and "
                f"{_TEMPLATE_CHARS:,} are allowed"
            )
        return ModelFile(
            path=str(header.path.absolute()),
            name=self._text("general.name", default="") or header.path.stem,
            architecture=self._architecture,
            quantization=types.most_common(1)[0][0],
            license=self._text("general.license", default=""),
            profile=self._text("rlm.profile", default="generic"),
            parameters=header.parameters,
            file_bytes=header.file_bytes,
            weight_bytes=header.tensor_bytes,
            mapped=_REPACKED.isdisjoint(types),
            context_tokens=self._dimension("context_length", 1, _POSITIONS),
            sliding=f"{self._architecture}.attention.sliding_window" in self._data,
            layers=layers,
            width=width,
            heads=max(heads),
            kv_width=max(kv_heads) * key_width,
            head_width=key_width,
            value_width=value_width,
            feed_forward=max(feed_forward),
            layer_kv_floats=tuple(heads * (key_width + value_width) for heads in kv_heads),
            layer_bytes=tuple(sizes[layer] for layer in range(layers)),
            output_weight_bytes=sizes[_OUTPUT] or header.tensors[_EMBEDDING].size,
            tied=not sizes[_OUTPUT],
            vocabulary=len(tokens),
            tokenizer=self._text("tokenizer.ggml.model"),
            bos=self._token_id("bos", len(tokens)),
            eos=self._end(len(tokens)),
            template=template,
            specials=self._specials(tokens),
            content=content(header),
        )

    def _check_kind(self) -> None:
        kind = self._text("general.type", default="model")
        if kind != "model":
            raise self._refusal(f"it holds a {kind!r}, not a model", "name the base model's file")
        parts = self._data.get("split.count", 0)
        if type(parts) is int and parts > 1:
            raise self._refusal(
                f"it is one of {parts} parts of a model",
                "merge them with llama.cpp's `llama-gguf-split --merge`",
            )
        if any(key.startswith(f"{self._architecture}.ssm.") for key in self._data):
            raise self._refusal(
                f"its architecture {self._architecture!r} keeps a recurrent state, and this "
                "version runs models with attention only"
            )

    def _check_tensors(self, layers: int, width: int, vocabulary: int) -> None:
        tensors = self._header.tensors
        embedding = tensors.get(_EMBEDDING)
        if embedding is None:
            raise self._refusal(f"it has no tensor {_EMBEDDING!r}")
        if embedding.shape != (width, vocabulary):
            raise self._refusal(
                f"its embedding has the shape {embedding.shape}, and its metadata say "
                f"{(width, vocabulary)}"
            )
        matches = (_LAYER.match(name) for name in tensors)
        stored = max((int(match[1]) for match in matches if match), default=-1) + 1
        if stored != layers:
            raise self._refusal(
                f"its metadata say {layers:,} layers, and its tensors are of {stored:,}"
            )

    def _sizes(self) -> Counter[int]:
        """Bytes of each layer's tensors, and of the output's under _OUTPUT."""
        sizes = Counter[int]()
        for name, tensor in self._header.tensors.items():
            if match := _LAYER.match(name):
                sizes[int(match[1])] += tensor.size
            elif name == "output.weight":
                sizes[_OUTPUT] += tensor.size
        return sizes

    def _tokens(self) -> list[str]:
        model = self._text("tokenizer.ggml.model")
        tokens = self._strings("tokenizer.ggml.tokens")
        if not 1 <= len(tokens) <= _TOKENS:
            raise self._refusal(f"its vocabulary has {len(tokens):,} tokens, not 1 to {_TOKENS:,}")
        if len(distinct := set(tokens)) != len(tokens):
            token, times = Counter(tokens).most_common(1)[0]
            raise self._refusal(
                f"its vocabulary has {len(tokens):,} tokens and {len(distinct):,} distinct ones; "
                f"{token!r} occurs {times} times"
            )
        for key, item_type in (("scores", "f"), ("token_type", "i")):
            full = f"tokenizer.ggml.{key}"
            if full not in self._data:
                continue
            items = self._data[full]
            if not isinstance(items, list) or self._header.array_types[full] != item_type:
                raise self._refusal(f"{full!r} is not a list of 32-bit numbers")
            if len(items) != len(tokens):
                raise self._refusal(f"{full!r} has {len(items):,} items for {len(tokens):,} tokens")
        if model == "gpt2":
            self._strings("tokenizer.ggml.merges")
        needed = {"gpt2": _BYTE_LETTERS, "llama": _BYTE_TOKENS}.get(model, ())
        if missing := [token for token in needed if token not in distinct]:
            raise self._refusal(
                f"its vocabulary lacks {len(missing)} of the 256 byte tokens ({missing[0]!r} is "
                "the first)"
            )
        return tokens

    def _specials(self, tokens: list[str]) -> tuple[Special, ...]:
        types = self._data.get("tokenizer.ggml.token_type")
        if not isinstance(types, list):
            types = [_NORMAL] * len(tokens)
        marks = {self._data.get(f"tokenizer.ggml.{name}_token_id") for name in _MARKS}
        found = []
        for number, (text, kind) in enumerate(zip(tokens, types, strict=True)):
            if not text or (kind in (_NORMAL, _BYTE) and number not in marks):
                continue
            if kind in (_CONTROL, _UNKNOWN) or number in marks:
                found.append(Special(id=number, text=text, kind="control"))
            elif kind == _USER_DEFINED:
                found.append(Special(id=number, text=text, kind="user"))
        return tuple(found)

    def _end(self, vocabulary: int) -> int:
        """The end token. Without one, llama.cpp silently assumes token 11."""
        end = self._token_id("eos", vocabulary)
        if end is None:
            raise self._refusal("it names no end token ('tokenizer.ggml.eos_token_id')")
        if self._data.get("tokenizer.ggml.add_bos_token") is True:
            self._token_id("bos", vocabulary, required=True)
        return end

    def _token_id(self, name: str, vocabulary: int, *, required: bool = False) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        value = self._data.get(key)
        if value is None and not required:
            return None
        if type(value) is not int or not 0 <= value < vocabulary:
            raise self._refusal(f"{key!r} is {value!r}, not one of {vocabulary:,} tokens")
        return value

    # ------------------------------------------------------- typed metadata

    def _text(self, key: str, *, default: str | None = None) -> str:
        value = self._data.get(key, default)
        if not isinstance(value, str):
            raise self._absent_or_wrong(key, value, "text")
        return value

    def _strings(self, key: str) -> list[str]:
        value = self._data.get(key)
        if not isinstance(value, list) or self._header.array_types.get(key) != "s":
            raise self._absent_or_wrong(key, value, "a list of texts")
        return [item for item in value if isinstance(item, str)]

    def _number(self, name: str) -> float:
        key = f"{self._architecture}.{name}"
        value = self._data.get(key)
        if type(value) not in (int, float):
            raise self._absent_or_wrong(key, value, "a number")
        return float(value)  # type: ignore[arg-type]

    def _check_rotation(self, key_width: int) -> None:
        """A rotation that does not fit the heads may end llama.cpp's process."""
        rotated = self._dimension("rope.dimension_count", 0, key_width, default=key_width)
        if rotated % 2:
            key = f"{self._architecture}.rope.dimension_count"
            raise self._refusal(f"{key!r} is {rotated:,}, which is odd")

    def _dimension(self, name: str, lowest: int, highest: int, default: int | None = None) -> int:
        key = f"{self._architecture}.{name}"
        value = self._data.get(key, default)
        if type(value) is not int:
            raise self._absent_or_wrong(key, value, "a whole number")
        if not lowest <= value <= highest:
            raise self._refusal(f"{key!r} is {value:,}, not {lowest:,} to {highest:,}")
        return value

    def _per_layer(
        self, name: str, layers: int, *, lowest: int, default: list[int] | None = None
    ) -> list[int]:
        """A whole number that the file gives once, or once for each layer."""
        key = f"{self._architecture}.{name}"
        value = self._data.get(key, default)
        items = value if isinstance(value, list) else [value]
        whole = [item for item in items if type(item) is int]
        if not whole or len(whole) != len(items):
            raise self._absent_or_wrong(key, value, "a whole number")
        if len(whole) not in (1, layers):
            raise self._refusal(f"{key!r} has {len(whole):,} items for {layers:,} layers")
        if not lowest <= min(whole) <= max(whole) <= _WIDTH:
            raise self._refusal(f"{key!r} is {min(whole):,}, not {lowest:,} to {_WIDTH:,}")
        return whole * layers if len(whole) == 1 else whole

    def _absent_or_wrong(self, key: str, value: Value | None, wanted: str) -> ModelFileError:
        if value is None:
            return self._refusal(f"its metadata lack {key!r}")
        return self._refusal(f"its metadata give {key!r} as {str(value)[:40]!r}, not as {wanted}")

    def _refusal(
        self, what: str, hint: str = "use another conversion of the model"
    ) -> ModelFileError:
        return ModelFileError(f"{self._header.path} cannot be used: {what}", hint=hint)
