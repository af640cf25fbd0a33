"""GGUF files made by hand, so that they can be wrong in any way."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.models import byte_alphabet

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64 = range(11)
_FORMS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q"}

Entry = tuple[str, int, object]
TensorEntry = tuple[str, tuple[int, ...], int, int, int]  # name, shape, type, offset, bytes

LETTERS = byte_alphabet()
TOKENS = [*LETTERS, "<|end|>"]
WIDTH = 32


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: object) -> bytes:
    if kind == STRING:
        assert isinstance(content, str | bytes)
        return string(content)
    if kind == ARRAY:
        assert isinstance(content, tuple)
        item_kind, items = content
        body = b"".join(value(item_kind, item) for item in items)
        return struct.pack("<IQ", item_kind, len(items)) + body
    return struct.pack(f"<{_FORMS[kind]}", content)


def metadata(**changes: Entry | None) -> list[Entry]:
    """The entries of a sound model; `changes` replace or remove them by their last name."""
    entries: dict[str, Entry] = {
        "architecture": ("general.architecture", STRING, "llama"),
        "block_count": ("llama.block_count", U32, 1),
        "context_length": ("llama.context_length", U32, 512),
        "embedding_length": ("llama.embedding_length", U32, WIDTH),
        "feed_forward_length": ("llama.feed_forward_length", U32, 64),
        "head_count": ("llama.attention.head_count", U32, 2),
        "epsilon": ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        "model": ("tokenizer.ggml.model", STRING, "gpt2"),
        "pre": ("tokenizer.ggml.pre", STRING, "smollm"),
        "tokens": ("tokenizer.ggml.tokens", ARRAY, (STRING, TOKENS)),
        "token_type": ("tokenizer.ggml.token_type", ARRAY, (I32, [1] * 256 + [3])),
        "merges": ("tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])),
        "eos": ("tokenizer.ggml.eos_token_id", U32, 256),
    }
    for name, change in changes.items():
        if change is None:
            del entries[name]
        else:
            entries[name] = change
    return list(entries.values())


def tensors() -> list[TensorEntry]:
    """Tensors of a sound model: all zeros, in f32."""
    shapes = {
        "token_embd.weight": (WIDTH, len(TOKENS)),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH),
        "blk.0.attn_k.weight": (WIDTH, WIDTH),
        "blk.0.attn_v.weight": (WIDTH, WIDTH),
        "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": (WIDTH, 64),
        "blk.0.ffn_up.weight": (WIDTH, 64),
        "blk.0.ffn_down.weight": (64, WIDTH),
    }
    return packed([(name, shape, 0, 0, 0) for name, shape in shapes.items()])


def packed(table: list[TensorEntry]) -> list[TensorEntry]:
    """The entries with their f32 sizes, one after the other."""
    entries: list[TensorEntry] = []
    offset = 0
    for name, shape, kind, *_ in table:
        size = 4 * math.prod(shape)
        entries.append((name, shape, kind, offset, size))
        offset += -(-size // 32) * 32
    return entries


def gguf(
    entries: list[Entry] | None = None,
    table: list[TensorEntry] | None = None,
    *,
    version: int = 3,
    entry_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    """A whole file. Counts are the true ones unless others are given."""
    entries = metadata() if entries is None else entries
    table = tensors() if table is None else table
    raw = struct.pack(
        "<4sIQQ",
        b"GGUF",
        version,
        len(table) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    )
    for key, kind, content in entries:
        raw += string(key) + struct.pack("<I", kind) + value(kind, content)
    for name, shape, kind, offset, _ in table:
        raw += string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        raw += struct.pack("<IQ", kind, offset)
    raw += bytes(-len(raw) % 32)
    return raw + bytes(max((offset + size for *_, offset, size in table), default=0))


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(raw)
    return path


def talker(folder: Path, said: list[bytes], *, template: str = "", context: int = 512) -> Path:
    """A model that says one thing: after a line break, each piece of `said` in turn.

    Pieces are tokens of their own and must differ; after the last comes the end
    token. Its layer adds nothing, so a token's embedding alone picks the next.
    """
    pieces = ["".join(LETTERS[byte] for byte in piece) for piece in said]
    tokens = [*LETTERS, "<|end|>", *(piece for piece in pieces if piece not in LETTERS)]
    states = [LETTERS[ord("\n")], *pieces, "<|end|>"]
    assert len(set(states)) == len(states) <= WIDTH
    embedding = np.zeros((len(tokens), WIDTH), np.float32)
    output = np.zeros((len(tokens), WIDTH), np.float32)
    for number, (state, following) in enumerate(pairwise(states)):
        embedding[tokens.index(state), number] = 1.0
        output[tokens.index(following), number] = 1.0
    entries = metadata(
        context_length=("llama.context_length", U32, context),
        tokens=("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        token_type=(
            "tokenizer.ggml.token_type",
            ARRAY,
            (I32, [1] * 256 + [3] + [1] * (len(tokens) - 257)),
        ),
    )
    if template:
        entries.append(("tokenizer.chat_template", STRING, template))
    table: list[TensorEntry] = []
    data = b""
    for name, shape, kind, _, size in tensors():
        content = bytes(size)
        if name == "token_embd.weight":
            shape, content = (WIDTH, len(tokens)), embedding.tobytes()
        elif name.endswith("norm.weight"):
            content = np.ones(shape, np.float32).tobytes()
        table.append((name, shape, kind, len(data), len(content)))
        data += content + bytes(-len(content) % 32)
    table.append(("output.weight", (WIDTH, len(tokens)), 0, len(data), output.nbytes))
    data += output.tobytes()
    header = gguf(entries, table)
    return written(folder, header[: len(header) - len(data)] + data)
