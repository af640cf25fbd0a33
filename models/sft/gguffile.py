"""Hugging Face weights, adapters and tokenizers as GGUF files, for Llama and Qwen3 models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen3": gguf.MODEL_ARCH.QWEN3}

#: How llama.cpp calls the ways to split a text before merging, by the regular expression of the
#: tokenizer's file. What is no key here has to be named by hand.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}": "qwen2",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}": "llama-bpe",
}


class ExportError(ValueError):
    """What cannot be written as a GGUF file, and why."""


def write_model(
    path: Path,
    config: Any,
    weights: Mapping[str, Tensor],
    tokenizer: Any,
    folder: Path,
    *,
    pre: str | None = None,
    metadata: Mapping[str, str] = {},
) -> None:
    """Write all weights (matrices in f16, vectors in f32) with the tokenizer of `folder`.

    `metadata`: further strings. Raises ExportError.
    """
    kind = _kind(config)
    writer = gguf.GGUFWriter(path, kind)
    _describe(writer, config)
    _add_tokenizer(writer, tokenizer, folder, config.vocab_size, pre)
    for key, value in metadata.items():
        writer.add_string(key, value)
    names = {name: _name(name, config) for name in weights if not _is_copy(name, config)}
    for name, target in names.items():
        weight = weights[name]
        dtype = np.dtype(np.float16 if weight.ndim > 1 else np.float32)
        writer.add_tensor_info(target, weight.shape, dtype, weight.numel() * dtype.itemsize)
    factors = _rope_factors(config)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, target in names.items():  # one after the other: no second copy of the model
        array = _permuted(name, weights[name].float().cpu().numpy(), config)
        if array.ndim > 1:
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise ExportError(f"{target} has weights that float16 cannot hold")
            array = array.astype(np.float16)
        writer.write_tensor_data(array)
    if factors is not None:
        writer.write_tensor_data(factors)
    writer.close()


def write_adapter(
    path: Path,
    config: Any,
    weights: Mapping[str, Tensor],
    *,
    alpha: float,
    metadata: Mapping[str, str] = {},
) -> None:
    """Write LoRA matrices in f32; `weights` by names such as `model.layers.0.mlp.up_proj.lora_A`.

    Raises ExportError.
    """
    kind = _kind(config)
    writer = gguf.GGUFWriter(path, kind)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for key, value in metadata.items():
        writer.add_string(key, value)
    for name, weight in weights.items():
        matrix, _, half = name.rpartition(".")
        if half not in ("lora_A", "lora_B"):
            raise ExportError(f"the adapter has {name}, which is no matrix of a LoRA")
        array = weight.float().cpu().numpy()
        if half == "lora_B":  # its rows are the outputs of the whole matrix
            array = _permuted(f"{matrix}.weight", array, config)
        writer.add_tensor(f"{_name(f'{matrix}.weight', config)}.{half.lower()}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _kind(config: Any) -> str:
    if config.model_type not in ARCHITECTURES:
        raise ExportError(
            f"models of type {config.model_type} cannot be written; only "
            f"{' and '.join(ARCHITECTURES)} can"
        )
    for name in ("attention_bias", "mlp_bias"):
        if getattr(config, name, False):
            raise ExportError(f"models with {name} cannot be written")
    return str(config.model_type)


def _describe(writer: gguf.GGUFWriter, config: Any) -> None:
    head_width = _head_width(config)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head_width)
    writer.add_vocab_size(config.vocab_size)


def _head_width(config: Any) -> int:
    given: int | None = getattr(config, "head_dim", None)
    return given or config.hidden_size // config.num_attention_heads


def _rope_factors(config: Any) -> np.ndarray | None:
    """By what the frequencies of positions are divided, or None. Raises ExportError."""
    rope = config.rope_parameters
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if (config.model_type, kind) != ("llama", "llama3"):
        raise ExportError(f"positions of kind {kind} cannot be written")
    width = _head_width(config)
    usual = rope["rope_theta"] ** -(np.arange(0, width, 2, dtype=np.float64) / width)
    scaled, _ = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
    return (usual / scaled.double().numpy()).astype(np.float32)


def _name(name: str, config: Any) -> str:
    """What llama.cpp calls a tensor. Raises ExportError."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    found = names.get_name(name, try_suffixes=(".weight",))
    if found is None:
        raise ExportError(f"there is no place for the tensor {name}")
    return found


def _is_copy(name: str, config: Any) -> bool:
    """Whether a tensor is the embedding under another name."""
    return bool(config.tie_word_embeddings) and name == "lm_head.weight"


def _permuted(name: str, array: np.ndarray, config: Any) -> np.ndarray:
    """Rows of queries and keys in llama.cpp's order.

    For Llama it turns neighbouring pairs of numbers by their position, where the weights are
    made for pairs half a head apart. For Qwen3 it does as the weights are made for.
    """
    if config.model_type != "llama" or not name.endswith(("q_proj.weight", "k_proj.weight")):
        return array
    heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
    rows, columns = array.shape
    return np.ascontiguousarray(
        array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
    ).reshape(rows, columns)


# ------------------------------------------------------------------ tokenizer


def _add_tokenizer(
    writer: gguf.GGUFWriter, tokenizer: Any, folder: Path, size: int, pre: str | None
) -> None:
    whole = json.loads((folder / "tokenizer.json").read_text())
    model = whole["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise ExportError("only tokenizers of byte-level BPE can be written")
    tokens = {number: token for token, number in model["vocab"].items()}
    types = dict.fromkeys(tokens, gguf.TokenType.NORMAL)
    for added in whole["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        types[added["id"]] = kind
    if max(tokens) >= size:
        raise ExportError(f"the tokenizer has {max(tokens) + 1:,} tokens, the model {size:,}")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre or _pre_tokenizer(whole))
    writer.add_token_list([tokens.get(n, f"[PAD{n}]") for n in range(size)])
    writer.add_token_types([types.get(n, gguf.TokenType.UNUSED) for n in range(size)])
    merges = model["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    if tokenizer.eos_token_id is None or tokenizer.chat_template is None:
        raise ExportError("the tokenizer has no end token or no chat template")
    writer.add_eos_token_id(tokenizer.eos_token_id)
    begins = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(begins and tokenizer.bos_token_id is not None)
    writer.add_add_eos_token(False)
    writer.add_chat_template(tokenizer.chat_template)


def _pre_tokenizer(whole: Mapping[str, Any]) -> str:
    """llama.cpp's name for how the tokenizer splits a text. Raises ExportError."""
    for part in _parts(whole.get("pre_tokenizer") or {}):
        pattern = part.get("pattern", {}).get("Regex")
        if part["type"] == "Split" and pattern in PRE_TOKENIZERS:
            return PRE_TOKENIZERS[pattern]
    raise ExportError(
        "llama.cpp's name for how this tokenizer splits a text is not known here; "
        "give it with --pre-tokenizer"
    )


def _parts(pre_tokenizer: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer["pretokenizers"])
    return [pre_tokenizer] if pre_tokenizer else []


def lora_weights(named: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an adapter's file by the names of the matrices that they belong to."""
    for name, weight in named.items():
        yield name.removeprefix("base_model.model.").removesuffix(".weight"), weight
