"""Step 4: a checkpoint as a GGUF file (f16 or q8_0), with tokenizer, chat template and provenance.

python -m models.nano.export
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from models.nano import chat
from models.nano.folders import RUN, TOKENIZER, WEIGHTS
from models.nano.network import Network, Shape
from models.nano.tokenizer import PRE_TOKENIZER

_BLOCK_NAMES = {
    "attention_norm": "attn_norm",
    "attention.q": "attn_q",
    "attention.k": "attn_k",
    "attention.v": "attn_v",
    "attention.out": "attn_output",
    "hidden_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


#: What matrices may be stored as.
TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}


def tensors(network: Network) -> dict[str, np.ndarray]:
    """The weights by their GGUF names, in f32."""
    named: dict[str, np.ndarray] = {}
    for name, weight in network.state_dict().items():
        array = weight.float().numpy()
        if name == "embedding.weight":
            target = "token_embd.weight"
        elif name == "norm.weight":
            target = "output_norm.weight"
        else:
            _, number, rest = name.split(".", 2)
            target = f"blk.{number}.{_BLOCK_NAMES[rest.removesuffix('.weight')]}.weight"
        named[target] = array
    return named


def write(
    path: Path,
    network: Network,
    tokenizer: Tokenizer,
    provenance: dict[str, str],
    kind: str = "f16",
) -> None:
    """Write the GGUF file, its matrices as `kind` of `TYPES`, norms in f32. `provenance` goes into
    its metadata under `rlm.`. Raises ValueError if the tokenizer is not the network's."""
    shape = network.shape
    if (tokens := tokenizer.get_vocab_size()) != shape.vocabulary:
        raise ValueError(
            f"the tokenizer has {tokens:,} tokens, and the network {shape.vocabulary:,}: it is "
            "another's; give its own with --tokenizer"
        )
    stored, file_type = TYPES[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("rlm-nano")
    writer.add_description("Narrow model for the rlm-local REPL, trained from scratch")
    writer.add_file_type(file_type)
    writer.add_context_length(shape.window)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_vocab_size(shape.vocabulary)
    _add_tokenizer(writer, tokenizer)
    writer.add_chat_template(chat.TEMPLATE)
    writer.add_string("rlm.profile", "nano")
    for key, value in provenance.items():
        writer.add_string(f"rlm.{key}", value)
    for name, array in tensors(network).items():
        if array.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(array, stored), raw_dtype=stored)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    ids = tokenizer.get_vocab(with_added_tokens=True)
    vocabulary = sorted(ids, key=ids.__getitem__)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(vocabulary)
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL
            if token in chat.SPECIAL_TOKENS
            else gguf.TokenType.NORMAL
            if token in model["vocab"]
            else gguf.TokenType.USER_DEFINED
            for token in vocabulary
        ]
    )
    writer.add_token_merges(merges)
    end = model["vocab"][chat.END]
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(model["vocab"]["<|pad|>"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)


def load(checkpoint: Path) -> tuple[Network, dict[str, Any]]:
    """The network of a checkpoint, and the checkpoint's other values."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state.pop("network"))
    return network.eval(), state


def provenance(state: dict[str, Any], data: str) -> dict[str, str]:
    """What made these weights: recipe, data, tokens seen, the commits of the code."""
    rows = state.get("data")
    learned = f"{rows[0]:,} rows of {rows[1]:,} tokens, digest {rows[2]}" if rows else "unknown"
    return {
        "recipe": json.dumps(state["plan"], sort_keys=True),
        "data": data,
        "rows": learned,
        "tokens_seen": str(state["tokens"]),
        "steps": str(state["step"]),
        "training_seconds": f"{state['seconds']:.0f}",
        "commit": ", ".join(state.get("commits", ())) or "unknown",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=RUN / "checkpoint.pt")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--type", choices=tuple(TYPES), default="f16", help="of the matrices")
    parser.add_argument("--data", default="", help="what the dialogues are (seeds), for the record")
    arguments = parser.parse_args()
    network, state = load(arguments.checkpoint)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    write(arguments.out, network, tokenizer, provenance(state, arguments.data), arguments.type)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes\nsha256 {digest}")


if __name__ == "__main__":
    main()
