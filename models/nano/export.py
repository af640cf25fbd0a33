"""Step 4: a checkpoint as a GGUF file (f16), with tokenizer, chat template and provenance.

python -m models.nano.export
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from models.nano import chat
from models.nano.folders import HERE, RUN, TOKENIZER, WEIGHTS
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


def tensors(network: Network) -> dict[str, np.ndarray]:
    """The weights by their GGUF names: matrices in f16, norms in f32."""
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
        named[target] = array.astype(np.float16 if array.ndim == 2 else np.float32)
    return named


def write(path: Path, network: Network, tokenizer: Tokenizer, provenance: dict[str, str]) -> None:
    """Write the GGUF file. `provenance` goes into its metadata under `rlm.`."""
    shape = network.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("rlm-nano")
    writer.add_description("Narrow model for the rlm-local REPL, trained from scratch")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
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


def load(checkpoint: Path) -> tuple[Network, dict[str, object]]:
    """The network of a checkpoint, and the checkpoint's other values."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state.pop("network"))
    return network.eval(), state


def provenance(state: dict[str, object], data: str) -> dict[str, str]:
    """What made these weights: recipe, seeds, tokens seen, the commit of the code."""
    plan = state["plan"]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "recipe": json.dumps(plan, sort_keys=True),
        "data": data,
        "tokens_seen": str(state["tokens"]),
        "steps": str(state["step"]),
        "training_seconds": f"{state['seconds']:.0f}",
        "commit": commit or "unknown",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=RUN / "checkpoint.pt")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", default="", help="what the dialogues are (seeds), for the record")
    arguments = parser.parse_args()
    network, state = load(arguments.checkpoint)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    write(arguments.out, network, tokenizer, provenance(state, arguments.data))
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes\nsha256 {digest}")


if __name__ == "__main__":
    main()
