"""Train LoRA adapters or all weights of a Hugging Face causal LM on samples of runs.

    python -m models.sft.train --base Qwen3-8B --data samples.jsonl --out models/sft/work/qwen3-8b

`--base` is a folder with weights, tokenizer and chat template; nothing is fetched. The numbers
are the paper's: batches of 64 by accumulation, 300 steps. Only the last turn of a sample carries
loss. What is trained is kept in float32 and computed in bfloat16 where the device has it. A run
that was stopped goes on exactly where its last checkpoint was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.sft import data

CHECKPOINT = "checkpoint.pt"
LOSS = "loss.jsonl"
#: Endings of what a base consists of: configurations, weights, tokenizer, templates.
OF_BASE = frozenset((".json", ".safetensors", ".bin", ".txt", ".model", ".jinja"))


@dataclass(frozen=True)
class Plan:
    """All that decides what a run does. `lora_rank` 0 trains all weights.

    `rate` rises over the first `warm` part of the steps and falls to 0 along a line.
    """

    seed: int = 1
    steps: int = 300
    batch: int = 64
    lora_rank: int = 16
    rate: float = 2e-4
    warm: float = 0.05
    most_tokens: int = 16_384


class Run:
    """A training run: the model, its optimizer, and where it is."""

    def __init__(self, base: Path, plan: Plan, *, save_memory: bool = False) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        frozen = torch.bfloat16 if self.bf16 and plan.lora_rank else torch.float32
        model = AutoModelForCausalLM.from_pretrained(base, dtype=frozen, local_files_only=True)
        if plan.lora_rank:
            model = get_peft_model(model, lora(plan.lora_rank))
        if save_memory:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable()
        self.model = model.to(self.device).train()
        self.weights = {n: w for n, w in self.model.named_parameters() if w.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.step = 0
        self.losses: list[dict[str, float]] = []

    def advance(self, rows: Sequence[data.Row], pad: int, at_once: int) -> float:
        """One step over `rows`, `at_once` of them at a time; the mean loss of a learned token."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * factor(self.step, self.plan)
        learned = sum(row.learned for row in rows)
        total = 0.0
        longest_last = sorted(rows, key=lambda row: len(row.tokens))
        for start in range(0, len(rows), at_once):
            part = data.batch(longest_last[start : start + at_once], pad)
            loss = self.loss(part) / learned
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return total

    def loss(self, batch: data.Batch) -> torch.Tensor:
        """The summed loss of all learned tokens."""
        tokens, mask, positions, targets = (part.to(self.device) for part in batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=targets.shape[1] + 1,
            ).logits
        return F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="sum"
        )

    def save(self, path: Path, digest: str) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "plan": asdict(self.plan),
            "data": digest,
            "weights": {name: weight.detach().cpu() for name, weight in self.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path, digest: str) -> None:
        """Go on from a checkpoint. Raises ValueError if it is of another plan, base or data."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        if (state["plan"], state["data"]) != (asdict(self.plan), digest):
            raise ValueError(f"{path} is of another plan, base or data; choose another --out")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]


def lora(rank: int) -> LoraConfig:
    """Adapters for every matrix but embedding and output."""
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def factor(step: int, plan: Plan) -> float:
    """Of the rate, at a step."""
    rising = (step + 1) / max(1.0, plan.warm * plan.steps)
    return min(1.0, rising, (plan.steps - step) / plan.steps)


def train(
    run: Run,
    rows: Sequence[data.Row],
    folder: Path,
    *,
    digest: str,
    pad: int,
    at_once: int = 1,
    save_every: float = 600.0,
) -> None:
    """Take `run` to its last step, with a checkpoint every `save_every` seconds and at the end."""
    saved = time.monotonic()
    for step, numbers in enumerate(data.order(len(rows), run.plan.batch, run.plan.seed)):
        if step < run.step:
            continue
        if run.step >= run.plan.steps:
            break
        began = time.monotonic()
        loss = run.advance([rows[n] for n in numbers], pad, at_once)
        run.losses.append({"step": run.step, "loss": round(loss, 6)})
        print(f"step {run.step:,}: loss {loss:.4f}, {time.monotonic() - began:.1f} s", flush=True)
        if time.monotonic() - saved > save_every:
            run.save(folder / CHECKPOINT, digest)
            saved = time.monotonic()
    run.save(folder / CHECKPOINT, digest)
    (folder / LOSS).write_text("".join(json.dumps(entry) + "\n" for entry in run.losses))


def digest_of(base: Path, paths: Sequence[Path]) -> str:
    """What a run is made from: the content of the base's files and of the samples.

    Weights are read whole: models of one family have the same headers, and training reads all
    of them anyway.
    """
    whole = hashlib.sha256()
    for path in sorted(found for found in base.iterdir() if found.suffix in OF_BASE):
        whole.update(hashlib.sha256(path.name.encode()).digest())
        whole.update(_digest(path))
    for path in paths:
        whole.update(_digest(path))
    return whole.hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="a Hugging Face model's folder")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="samples, JSON lines")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what comes of it")
    parser.add_argument("--lora-rank", type=int, default=Plan.lora_rank)
    parser.add_argument("--full", action="store_true", help="train all weights, no adapters")
    parser.add_argument("--rate", type=float, help="default: 2e-4 for adapters, 1e-5 for all")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--batch", type=int, default=Plan.batch, help="samples a step")
    parser.add_argument("--at-once", type=int, default=1, help="samples on the device at a time")
    parser.add_argument("--most-tokens", type=int, default=Plan.most_tokens)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--save-every", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--save-memory", action="store_true", help="compute activations twice")
    arguments = parser.parse_args(given)
    plan = Plan(
        seed=arguments.seed,
        steps=arguments.steps,
        batch=arguments.batch,
        lora_rank=0 if arguments.full else arguments.lora_rank,
        rate=arguments.rate or (1e-5 if arguments.full else Plan.rate),
        most_tokens=arguments.most_tokens,
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(arguments.base, local_files_only=True)
    rows, longer = data.read(arguments.data, tokenizer, plan.most_tokens)
    print(
        f"{len(rows):,} samples, {sum(len(r.tokens) for r in rows):,} tokens, "
        f"{sum(r.learned for r in rows):,} of them learned; {longer:,} samples were too long"
    )
    if not rows:
        parser.error("there is nothing to learn")
    digest = digest_of(arguments.base, arguments.data)
    run = Run(arguments.base.resolve(), plan, save_memory=arguments.save_memory)
    if (arguments.out / CHECKPOINT).exists():
        run.load(arguments.out / CHECKPOINT, digest)
        print(f"going on from step {run.step:,}")
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    train(
        run,
        rows,
        arguments.out,
        digest=digest,
        pad=pad,
        at_once=arguments.at_once,
        save_every=arguments.save_every,
    )
    name = "model" if arguments.full else "adapter"
    run.model.save_pretrained(arguments.out / name)
    tokenizer.save_pretrained(arguments.out / name)
    print(f"{arguments.out / name}: `python -m models.sft.export` makes a GGUF file of it")


if __name__ == "__main__":
    main()
