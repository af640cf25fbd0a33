"""A GGUF file of what was trained: all weights, or a LoRA to load beside the base's own GGUF.

    python -m models.sft.export models/sft/work/qwen3-8b/adapter --out rlm-qwen3-8b-lora.gguf
    python -m models.sft.export models/sft/work/qwen3-8b/adapter --merged --out rlm-qwen3-8b.gguf
    python -m models.sft.export models/sft/work/qwen3-8b/model --out rlm-qwen3-8b.gguf

Weights are written in f16 and adapters in f32. The tokenizer and the chat template are those of
the folder; that llama.cpp tokenizes as they do is tried out before the file is put in its place.
Llama and Qwen3 models with tokenizers of byte-level BPE can be written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, PeftType
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from models.sft.gguffile import ExportError, lora_weights, write_adapter, write_model

#: Texts on which tokenizers differ: case, contractions, digits, spaces, lines, other scripts. Not
#: letters with separate accents: Qwen's tokenizer joins them first, which llama.cpp never does.
SAMPLES = (
    "I'll say it's HERE'S 12345 and 6,789.50\t(or not)...",
    "def f(x):\n    return x ** 2  # \n\n\n\nprint(f(10))\r\n",
    "  leading, trailing   spaces  ",
    "Größe, naïve café; 東京 Москва; 🙂🙂",
    "```repl\nFINAL(grep(r'\\d+', around=80))\n```",
)


def export(
    folder: Path, out: Path, *, merged: bool = False, pre: str | None = None, profile: str = ""
) -> None:
    """Write the GGUF file of a folder that `models.sft.train` has made. Raises ExportError."""
    unfinished = out.with_name(f"{out.name}.partial")
    metadata = {"general.name": out.stem} | ({"rlm.profile": profile} if profile else {})
    try:
        if (folder / "adapter_config.json").exists() and not merged:
            _write_adapter(folder, unfinished, metadata)
        else:
            tokenizer = _write_model(folder, unfinished, pre, metadata)
            check_tokens(unfinished, tokenizer)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_model(folder: Path, path: Path, pre: str | None, metadata: dict[str, str]) -> Any:
    """All weights, merged with the adapter if it is one; the tokenizer."""
    base, adapter = folder, None
    if (folder / "adapter_config.json").exists():
        adapter, base = folder, Path(str(_adapter(folder).base_model_name_or_path))
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32 if adapter else "auto", local_files_only=True
    )
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    write_model(
        path, model.config, model.state_dict(), tokenizer, folder, pre=pre, metadata=metadata
    )
    return tokenizer


def _write_adapter(folder: Path, path: Path, metadata: dict[str, str]) -> None:
    adapter = _adapter(folder)
    write_adapter(
        path,
        AutoConfig.from_pretrained(adapter.base_model_name_or_path, local_files_only=True),
        dict(lora_weights(load_file(folder / "adapter_model.safetensors"))),
        alpha=float(adapter.lora_alpha),
        metadata=metadata,
    )


def _adapter(folder: Path) -> Any:
    """The adapter's own description. Raises ExportError if it is no plain LoRA."""
    found: Any = PeftConfig.from_pretrained(folder)
    special = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
    if found.peft_type != PeftType.LORA or any(getattr(found, name, None) for name in special):
        raise ExportError(f"{folder} is no plain LoRA")
    return found


def check_tokens(path: Path, tokenizer: Any) -> None:
    """Raise ExportError where llama.cpp reads a text as other tokens than `tokenizer`."""
    from llama_cpp import llama_cpp  # the plain bindings, which the runtime may have loaded alone

    how = llama_cpp.llama_model_default_params()
    how.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), how)
    if not model:
        raise ExportError("llama.cpp does not load the file")
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    try:
        for text in SAMPLES:
            ours = tokenizer(text, add_special_tokens=False)["input_ids"]
            data = text.encode()
            room = (llama_cpp.llama_token * len(data))()
            size = llama_cpp.llama_tokenize(
                vocabulary, data, len(data), room, len(room), False, True
            )
            if ours != list(room[: max(0, size)]):
                raise ExportError(
                    f"llama.cpp reads {text!r} as other tokens than the tokenizer; "
                    "another --pre-tokenizer may be right"
                )
    finally:
        llama_cpp.llama_model_free(model)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a folder of weights, or of an adapter")
    parser.add_argument("--out", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--merged", action="store_true", help="base and adapter as one model")
    parser.add_argument("--pre-tokenizer", help="llama.cpp's name for how a text is split")
    parser.add_argument(
        "--profile", default="", help="the wording it was trained with, if not generic"
    )
    arguments = parser.parse_args(given)
    try:
        export(
            arguments.folder,
            arguments.out,
            merged=arguments.merged,
            pre=arguments.pre_tokenizer,
            profile=arguments.profile,
        )
    except ExportError as error:
        parser.exit(2, f"{error}\n")
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
