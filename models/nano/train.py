"""Step 3: train the network on the dialogues; plain PyTorch, on a CPU.

    python -m models.nano.train

Only the turns to learn carry loss. In the first part of the run half of the batches
leave out the inside of the first cell, which is the same everywhere; the last part
sees them whole. Some dialogues ask nonsense, and only their first cell is learned.
A run that was stopped goes on exactly where its last checkpoint was.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812

from models.nano import samples
from models.nano.folders import DIALOGUES, RUN, TOKENIZER
from models.nano.muon import Muon
from models.nano.network import Network, Shape

#: Steps between two probes.
PROBE_EVERY = 100


@dataclass(frozen=True)
class Plan:
    """All that decides what a run does. Rates are peaks; they rise, stay and fall to 0."""

    seed: int = 1
    rows: int = 8
    steps: int = 900
    muon_rate: float = 0.01
    adam_rate: float = 0.003
    decay: float = 0.05
    warm: int = 40
    fall: float = 0.4  # the last part of the run, in which rates fall
    whole: float = 0.3  # the last part of the run, in which no batch is shortened
    short: float = 0.5  # before it, the share of batches that are
    garbled: float = 0.2  # in the other batches, the share of rows asked nonsense


def rate(step: int, plan: Plan) -> float:
    """The factor of the learning rates at a step: trapezoid."""
    falling = (plan.steps - step) / (plan.fall * plan.steps)
    return min(1.0, (step + 1) / plan.warm, falling)


class Run:
    """A training run: the network, its optimizers, and where it is."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.shape = plan, shape
        self.network = Network(shape)
        matrices = [w for w in self.network.blocks.parameters() if w.ndim == 2]
        others = [w for n, w in self.network.named_parameters() if w.ndim == 1 or "embedding" in n]
        self.optimizers = (
            Muon(matrices, lr=plan.muon_rate, decay=plan.decay),
            torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def advance(self, batch: samples.Batch) -> float:
        """One step; its mean loss per learned token."""
        factor = rate(self.step, self.plan)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * factor
        hidden = self.network(batch.tokens, batch.positions)
        learned = batch.weights > 0
        logits = self.network.logits(hidden[learned])
        weights = batch.weights[learned]
        losses = F.cross_entropy(logits, batch.targets[learned], reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        self.share_gradients()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += batch.tokens.numel() * (
            dist.get_world_size() if dist.is_initialized() else 1
        )
        return loss.item()

    def share_gradients(self) -> None:
        """Average the gradients over all processes, if there are several."""
        if not dist.is_initialized():
            return
        gradients = [w.grad for w in self.network.parameters() if w.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def probe(self, rows: list[samples.Row]) -> float:
        """The share of dialogues in which every choice after the first cell is right,
        each made with the turns before it as they should be."""
        right = 0
        for start in range(0, len(rows), self.plan.rows):
            part = rows[start : start + self.plan.rows]
            batch = samples.batch(part, short=False)
            best = self.network.logits(self.network(batch.tokens, batch.positions)).argmax(-1)
            wrong = (best != batch.targets) & (batch.weights == 1.0)
            right += int((~wrong.any(dim=1)).sum())
        return right / len(rows)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "plan": asdict(self.plan),
            "shape": asdict(self.shape),
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Run:
        state = torch.load(path, weights_only=True)
        run = cls(Plan(**state["plan"]), Shape(**state["shape"]))
        run.network.load_state_dict(state["network"])
        for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        run.step, run.tokens, run.seconds = state["step"], state["tokens"], state["seconds"]
        return run


def batch_at(rows: list[samples.Row], numbers: list[int], plan: Plan, step: int) -> samples.Batch:
    """This process's part of the batch of that step: the same in a resumed run."""
    rng = random.Random(f"{plan.seed}-{step}")
    whole = step >= plan.steps * (1 - plan.whole)
    short = not whole and rng.random() < plan.short
    picked = [rows[n] for n in numbers]
    if not short:
        size = Shape().vocabulary
        picked = [
            samples.garbled(row, size, rng) if rng.random() < plan.garbled else row
            for row in picked
        ]
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return samples.batch(picked[rank::processes], short=short)


def train(
    run: Run,
    rows: list[samples.Row],
    probe: list[samples.Row],
    folder: Path,
    save_every: float = 180.0,
) -> None:
    """Take `run` to its last step, with a checkpoint every `save_every` seconds.

    The loss over each 20 steps goes to `loss.jsonl` in `folder`, and every
    `PROBE_EVERY` steps how `probe`, held-out dialogues, were answered.
    """
    saved = logged = time.monotonic()
    losses: list[float] = []
    first = not dist.is_initialized() or dist.get_rank() == 0
    for step, numbers in enumerate(samples.order(rows, run.plan.rows, run.plan.seed)):
        if step < run.step:
            continue
        if run.step >= run.plan.steps:
            break
        began = time.monotonic()
        losses.append(run.advance(batch_at(rows, numbers, run.plan, step)))
        now = time.monotonic()
        run.seconds += now - began
        if first and run.step % 20 == 0:
            entry: dict[str, float] = {
                "step": run.step,
                "loss": round(math.fsum(losses) / len(losses), 5),
                "tokens": run.tokens,
                "seconds": round(run.seconds, 1),
            }
            if probe and run.step % PROBE_EVERY == 0:
                entry["probe"] = round(run.probe(probe), 4)
            with (folder / "loss.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(entry, f"{20 / (now - logged):.2f} steps/s", flush=True)
            losses, logged = [], now
        if first and now - saved > save_every:
            run.save(folder / "checkpoint.pt")
            saved = now
    if first:
        run.save(folder / "checkpoint.pt")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[DIALOGUES])
    parser.add_argument("--probe", type=Path, nargs="*", default=[], help="held-out dialogues")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=RUN)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--rows", type=int, default=Plan.rows)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--muon-rate", type=float, default=Plan.muon_rate)
    parser.add_argument("--adam-rate", type=float, default=Plan.adam_rate)
    parser.add_argument("--processes", type=int, default=2, help="each of one thread")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.processes == 1:
        work(0, arguments, "")
        return
    with tempfile.TemporaryDirectory() as meeting:
        mp.spawn(work, (arguments, f"{meeting}/processes"), nprocs=arguments.processes)


def work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """One of the processes of a run, which share each batch between them."""
    torch.set_num_threads(1)
    if meeting:
        die_with_parent()
    if meeting:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=arguments.processes
        )
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.exists():
        run = Run.load(checkpoint)
    else:
        plan = Plan(
            seed=arguments.seed,
            rows=arguments.rows,
            steps=arguments.steps,
            muon_rate=arguments.muon_rate,
            adam_rate=arguments.adam_rate,
        )
        run = Run(plan, Shape())
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    rows = samples.read(arguments.data, tokenizer, run.shape.window)
    probe = samples.read(arguments.probe, tokenizer, run.shape.window)
    if rank == 0:
        print(
            f"{len(rows):,} rows, {sum(len(r.tokens) for r in rows):,} tokens; from step {run.step}"
        )
    train(run, rows, probe, arguments.out)
    if meeting:
        dist.destroy_process_group()


def die_with_parent() -> None:
    """Have this process killed when its parent ends (Linux): it would wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
