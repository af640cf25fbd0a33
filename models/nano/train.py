"""Step 3: train the network on the dialogues; plain PyTorch, on a CPU or one GPU.

    python -m models.nano.train

Only the turns to learn carry loss. Each step learns from root dialogues of all families and
from sub-calls. In a part of the steps the insides of the cells, which never change, are left
out. Some dialogues ask nonsense, and only their cells are learned; in others some words of the
question are replaced. A run that was stopped goes on exactly where its last checkpoint was.
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
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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

#: Steps between two entries of the log, and between two probes.
LOG_EVERY, PROBE_EVERY = 20, 300
#: Batches of rows of like length that each process makes of its part of a step.
PARTS = 2


Batches = list[samples.Batch]


@dataclass(frozen=True)
class Plan:
    """All that decides what a run does. Rates are peaks; they rise, stay and fall to 0."""

    seed: int = 1
    steps: int = 11_000
    rows: int = 16  # root dialogues in a step
    workers: int = 40  # sub-calls in a step
    muon_rate: float = 0.01
    adam_rate: float = 0.003
    decay: float = 0.05
    warm: int = 40
    fall: float = 0.4  # the last part of the run, in which rates fall
    short: float = 0.6  # the share of steps whose cells are shortened,
    whole: float = 0.35  # but in the last part of the run none are
    garbled: float = 0.05  # the share of dialogues asked nonsense, in steps with whole cells
    noisy: float = 0.3  # the share with noise in the question,
    noise: float = 0.05  # and how much
    workers_part: float = 0.5  # what sub-calls count beside root dialogues
    skipped: tuple[str, ...] = ("workers spell",)  # samples left out: copying is too hard for it


#: For one GPU: a larger network that sees more. Never run; see the README.
GPU_PLAN = Plan(
    steps=12_000,
    rows=192,
    workers=384,
    muon_rate=0.008,
    adam_rate=0.002,
    warm=200,
)
GPU_SHAPE = Shape(width=320, layers=6, heads=10, hidden=896)
RECIPES = {"cpu": (Plan(), Shape()), "gpu": (GPU_PLAN, GPU_SHAPE)}


def rate(step: int, plan: Plan) -> float:
    """The factor of the learning rates at a step: trapezoid."""
    falling = (plan.steps - step) / (plan.fall * plan.steps)
    return min(1.0, (step + 1) / plan.warm, falling)


class Run:
    """A training run: the network, its optimizers, and where it is."""

    def __init__(self, plan: Plan, shape: Shape, device: str = "cpu") -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.shape, self.device = plan, shape, device
        self.network = Network(shape).to(device)
        matrices = [w for w in self.network.blocks.parameters() if w.ndim == 2]
        others = [w for n, w in self.network.named_parameters() if w.ndim == 1 or "embedding" in n]
        self.optimizers = (
            Muon(matrices, lr=plan.muon_rate, decay=plan.decay),
            torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def advance(self, groups: Sequence[Batches]) -> list[float]:
        """One step on root dialogues and sub-calls; the mean loss of each group."""
        factor = rate(self.step, self.plan)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * factor
        losses = []
        for batches, part in zip(groups, (1.0, self.plan.workers_part), strict=False):
            whole = sum(batch.weights.sum().item() for batch in batches)
            losses.append(0.0)
            for batch in batches:
                loss = self.loss(batch) / whole
                (loss * part).backward()
                losses[-1] += loss.item()
                self.tokens += batch.tokens.numel() * _processes()
        self.share_gradients()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return losses

    def loss(self, batch: samples.Batch) -> torch.Tensor:
        """The weighted sum of the losses of a batch."""
        tokens, positions, targets, weights = (part.to(self.device) for part in batch)
        learned = weights > 0
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            logits = self.network.logits(self.network(tokens, positions)[learned])
        losses = F.cross_entropy(logits.float(), targets[learned], reduction="none")
        return (losses * weights[learned]).sum()

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
    def load(cls, path: Path, device: str = "cpu") -> Run:
        state = torch.load(path, weights_only=True, map_location=device)
        run = cls(
            Plan(**{**state["plan"], "skipped": tuple(state["plan"]["skipped"])}),
            Shape(**state["shape"]),
            device,
        )
        run.network.load_state_dict(state["network"])
        for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        run.step, run.tokens, run.seconds = state["step"], state["tokens"], state["seconds"]
        return run


@torch.no_grad()
def probe(run: Run, rows: Sequence[samples.Row]) -> dict[str, float]:
    """For each name of rows, the share of dialogues in which every choice is right, each made
    with the turns before it as they should be; `cells`: the share of whole cells that are
    right to the last token."""
    chosen: dict[str, list[bool]] = defaultdict(list)
    for item in sorted(rows, key=lambda item: len(item.tokens)):
        tokens, positions, targets, weights = (p.to(run.device) for p in samples.batch([item]))
        best = run.network.logits(run.network(tokens, positions)).argmax(-1)
        wrong = ((best != targets) & (weights > 0))[0].cpu().numpy()
        inside = samples.inside(item)[1:]
        chosen[item.name].append(not (wrong & ~inside).any())
        for start, end in item.cells:
            chosen["insides of cells"].append(not wrong[start + samples.TOLD - 1 : end].any())
    return {name: round(sum(hits) / len(hits), 3) for name, hits in sorted(chosen.items())}


def batches_at(
    roots: Sequence[samples.Row],
    workers: Sequence[samples.Row],
    plan: Plan,
    vocabulary: int,
    step: int,
) -> list[Batches]:
    """This process's part of that step's root dialogues and sub-calls, those of like length in
    one batch. It depends on the step alone, and so is the same in a resumed run."""
    rng = random.Random(f"{plan.seed}-{step}")
    whole = step >= plan.steps * (1 - plan.whole)
    short = not whole and rng.random() < plan.short
    drawn = [
        changed(row, plan, vocabulary, rng, short=short) for row in rng.choices(roots, k=plan.rows)
    ]
    groups = [(drawn, short), (rng.choices(workers, k=plan.workers) if workers else [], False)]
    rank = dist.get_rank() if dist.is_initialized() else 0
    found = []
    for rows, shortened in groups:
        rows.sort(key=lambda row: len(samples.shortened(row) if shortened else row.tokens))
        mine = rows[rank :: _processes()]
        size = math.ceil(len(mine) / PARTS)
        parts = [mine[n : n + size] for n in range(0, len(mine), size or 1)]
        found.append([samples.batch(part, short=shortened) for part in parts])
    return found


def changed(
    row: samples.Row, plan: Plan, vocabulary: int, rng: random.Random, *, short: bool
) -> samples.Row:
    """The row, or in a part of the draws what it is with another question."""
    way = rng.random()
    if way < plan.noisy:
        return samples.noisy(row, vocabulary, rng, plan.noise)
    if not short and way < plan.noisy + plan.garbled:
        return samples.garbled(row, vocabulary, rng)
    return row


def _processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def train(
    run: Run,
    rows: Sequence[samples.Row],
    probes: dict[str, list[samples.Row]],
    folder: Path,
    save_every: float = 180.0,
) -> None:
    """Take `run` to its last step, with a checkpoint every `save_every` seconds.

    The losses over each `LOG_EVERY` steps go to `loss.jsonl` in `folder`, and every
    `PROBE_EVERY` steps how the rows of each of the `probes` were answered.
    """
    roots = [row for row in rows if row.cells]
    workers = [row for row in rows if not row.cells]
    saved = logged = time.monotonic()
    losses: list[list[float]] = []
    first = not dist.is_initialized() or dist.get_rank() == 0
    while run.step < run.plan.steps:
        began = time.monotonic()
        batches = batches_at(roots, workers, run.plan, run.shape.vocabulary, run.step)
        losses.append(run.advance(batches))
        now = time.monotonic()
        run.seconds += now - began
        ended = run.step == run.plan.steps
        if first and (run.step % LOG_EVERY == 0 or ended):
            entry: dict[str, object] = {
                "step": run.step,
                "losses": [
                    round(math.fsum(part) / len(part), 5) for part in zip(*losses, strict=True)
                ],
                "tokens": run.tokens,
                "seconds": round(run.seconds, 1),
            }
            pace = len(losses) / (now - logged)
            if probes and (run.step % PROBE_EVERY == 0 or ended):
                entry["probes"] = {name: probe(run, rows) for name, rows in probes.items()}
            with (folder / "loss.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(entry, f"{pace:.2f} steps/s", flush=True)
            losses, logged = [], time.monotonic()
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
    parser.add_argument(
        "--probes", type=Path, nargs="*", default=[], help="dialogues that are not learned"
    )
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=RUN)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="cpu")
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each, on a CPU")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.processes == 1 or arguments.device != "cpu":
        work(0, arguments, "")
        return
    with tempfile.TemporaryDirectory() as meeting:
        mp.spawn(work, (arguments, f"{meeting}/processes"), nprocs=arguments.processes)


def work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """One of the processes of a run, which share each batch between them."""
    torch.set_num_threads(1)
    if meeting:
        die_with_parent()
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=arguments.processes
        )
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.exists():
        run = Run.load(checkpoint, arguments.device)
    else:
        plan, shape = RECIPES[arguments.recipe]
        values = {"seed": arguments.seed, "steps": arguments.steps or plan.steps}
        shape = replace(shape, vocabulary=tokenizer.get_vocab_size())
        run = Run(replace(plan, **values), shape, arguments.device)
    rows = [
        row
        for row in samples.read(arguments.data, tokenizer, run.shape.window)
        if row.name not in run.plan.skipped
    ]
    probes = {
        path.name.split(".")[0]: samples.read([path], tokenizer, run.shape.window)
        for path in arguments.probes
    }
    if rank == 0:
        print(
            f"{len(rows):,} rows, {sum(len(r.tokens) for r in rows):,} tokens; from step {run.step}"
        )
    train(run, rows, probes if rank == 0 else {}, arguments.out)
    if meeting:
        dist.destroy_process_group()


def die_with_parent() -> None:
    """Have this process killed when its parent ends (Linux): it would wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
