"""Llama models with random weights, as GGUF files: for benchmarks and for tests.

They compute what a trained model of the same shape computes, at the same cost;
only the text is noise. `python -m bench.models 5m 50m 500m` makes the files in
`bench/out/models/` (made once, then reused).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "out" / "models"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, IM_START, IM_END)
_WORDS = (
    "system user assistant "  # first: then their letters are merged into nothing else
    "the of and to in is that it was for on are as with his they at be this from have or by one "
    "had not but what all were when we there can an your which their said if do will each about "
    "how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find "
    "use may water long little very after words called just where most know print context "
    "question answer len text line lines return import def else code value name result FINAL "
    "grep chunks python repl"
)
_SAMPLES = ("\n", "    ", "():", "(", ")", "[", "]", " = ", ", ", ".\n", "```", '"', "'", "==")


@dataclass(frozen=True)
class Shape:
    """A model's dimensions. `vocabulary` counts tokens, `context` positions.

    `head` is the width of a head, where that is not the model's width over the heads. A model
    that never `ends` goes on to the last position: what it draws is no end token, greedily.
    """

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int
    kind: gguf.GGMLQuantizationType
    template: str | None = CHATML
    head: int = 0
    ends: bool = True

    @property
    def head_width(self) -> int:
        return self.head or self.width // self.heads


F16 = gguf.GGMLQuantizationType.F16
F32 = gguf.GGMLQuantizationType.F32
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("tiny", 64, 2, 4, 2, 160, 1_024, 1_024, F16),
        Shape("5m", 192, 6, 6, 2, 512, 8_192, 4_096, F16),
        Shape("50m", 512, 10, 8, 4, 1_408, 16_384, 8_192, gguf.GGMLQuantizationType.Q8_0),
        Shape("500m", 1_280, 22, 20, 4, 3_456, 32_768, 8_192, gguf.GGMLQuantizationType.Q4_0),
    )
}


def byte_alphabet() -> list[str]:
    """How byte-level BPE writes the bytes 0 to 255: printable ones as themselves."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, extra = [], 256
    for byte in range(256):
        if byte in own:
            letters.append(chr(byte))
        else:
            letters.append(chr(extra))
            extra += 1
    return letters


def tokenizer(size: int) -> tuple[list[str], list[int], list[str]]:
    """`size` tokens, their types, and merges that build common words letter by letter."""
    letters = byte_alphabet()
    tokens = dict.fromkeys(letters)
    merges: dict[str, None] = {}
    known = _WORDS.split()
    words = [*_SAMPLES, *(f" {word}" for word in known), *known]
    for word in words:
        spelled = [letters[byte] for byte in word.encode()]
        whole = spelled[0]
        for letter in spelled[1:]:
            if len(tokens) + len(CONTROL) >= size:
                break
            merges[f"{whole} {letter}"] = None
            whole += letter
            tokens[whole] = None
    fill = size - len(tokens) - len(CONTROL)
    filler = [f"Ġw{number:06d}" for number in range(fill)]
    types = [gguf.TokenType.NORMAL] * (len(tokens) + fill) + [gguf.TokenType.CONTROL] * 3
    return [*tokens, *filler, *CONTROL], [int(kind) for kind in types], list(merges)


def write(shape: Shape, path: Path, *, seed: int = 1, **metadata: str) -> Path:
    """Write a GGUF of `shape` with normally distributed weights to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    describe(writer, shape, metadata)
    random = np.random.default_rng(seed)
    scales = {"token_embd": 1.0, "output": 0.2}
    for name, dimensions in tensors(shape).items():
        stem = name.removesuffix(".weight")
        if len(dimensions) == 1:
            writer.add_tensor(name, np.ones(dimensions, np.float32))
        else:
            scale = scales.get(stem, 1.5 / dimensions[1] ** 0.5)
            silent = len(CONTROL) if stem == "output" and not shape.ends else 0
            _add(writer, stem, random, dimensions, shape.kind, scale=scale, silent=silent)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unfinished.replace(path)


def tensors(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The weights by name: matrices as (rows, columns), vectors as (length,)."""
    q_width, kv_width = shape.head_width * shape.heads, shape.head_width * shape.kv_heads
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (shape.vocabulary, shape.width),
        "output_norm.weight": (shape.width,),
    }
    for layer in range(shape.layers):
        of_layer: dict[str, tuple[int, ...]] = {
            "attn_norm": (shape.width,),
            "ffn_norm": (shape.width,),
            "attn_q": (q_width, shape.width),
            "attn_k": (kv_width, shape.width),
            "attn_v": (kv_width, shape.width),
            "attn_output": (shape.width, q_width),
            "ffn_gate": (shape.feed_forward, shape.width),
            "ffn_up": (shape.feed_forward, shape.width),
            "ffn_down": (shape.width, shape.feed_forward),
        }
        for name, dimensions in of_layer.items():
            found[f"blk.{layer}.{name}.weight"] = dimensions
    found["output.weight"] = (shape.vocabulary, shape.width)
    return found


def make(name: str) -> Path:
    """The model `name` of SHAPES in FOLDER, written if it is not there yet."""
    path = FOLDER / f"{name}.gguf"
    return path if path.exists() else write(SHAPES[name], path)


def deepened(path: Path, to: Path, *, idle: int) -> Path:
    """A copy of a Llama with `idle` more layers that add nothing: the same text, more work."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(to, "llama")
    layers: int = reader.fields["llama.block_count"].contents()
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = layers + idle if name == "llama.block_count" else field.contents()
        item = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, field.types[0], sub_type=item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        last, _, part = tensor.name.rpartition(f"blk.{layers - 1}.")
        if last or part == tensor.name:
            continue
        nothing = part in ("attn_output.weight", "ffn_down.weight")
        data = np.zeros_like(tensor.data) if nothing else tensor.data
        for layer in range(layers, layers + idle):
            writer.add_tensor(f"blk.{layer}.{part}", data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def describe(
    writer: gguf.GGUFWriter, shape: Shape, metadata: Mapping[str, str] | None = None
) -> None:
    """Write what a header says of a model of `shape`, and its vocabulary."""
    writer.add_name(f"random-{shape.name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_width)
    if shape.head:
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
    tokens, types, merges = tokenizer(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(END_OF_TEXT))
    writer.add_eos_token_id(tokens.index(IM_END))
    writer.add_add_bos_token(False)
    if shape.template is not None:
        writer.add_chat_template(shape.template)
    for key, value in (metadata or {}).items():
        writer.add_string(key.replace("__", "."), value)


def _add(
    writer: gguf.GGUFWriter,
    name: str,
    random: np.random.Generator,
    size: tuple[int, ...],
    kind: gguf.GGMLQuantizationType,
    *,
    scale: float,
    silent: int = 0,
) -> None:
    """Add a matrix of `size` (rows, columns), standard deviation `scale`, stored as `kind`; its
    last `silent` rows are 0."""
    rows, columns = size
    if kind in (F16, F32):
        data: NDArray[np.generic] = random.standard_normal(size, np.float32) * scale
        data[rows - silent :] = 0
        writer.add_tensor(f"{name}.weight", data.astype(np.float16) if kind is F16 else data)
        return
    # Quantised blocks are drawn as bytes: a scale, then 32 values of 8 or 4 bits.
    bits, spread = (8, 73.9) if kind is gguf.GGMLQuantizationType.Q8_0 else (4, 4.6)
    blocks = rows * columns // 32
    data = np.empty((blocks, 2 + 4 * bits), np.uint8)
    data[:, :2] = np.full(blocks, scale / spread, np.float16).view(np.uint8).reshape(blocks, 2)
    data[:, 2:] = random.integers(0, 256, (blocks, 4 * bits), np.uint8)
    data[blocks - silent * columns // 32 :, :2] = 0  # a scale of 0
    writer.add_tensor(f"{name}.weight", data.reshape(rows, -1), raw_dtype=kind)


def without_template(shape: Shape) -> Shape:
    """`shape` as a base model: no chat template."""
    return replace(shape, template=None)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SHAPES:
        made = make(wanted)
        print(f"{made}  {made.stat().st_size / 1e6:,.1f} MB")
