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
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812

from models.nano import origin, packed, samples
from models.nano.feed import Batches, Part, Steps
from models.nano.folders import DIALOGUES, RUN, TOKENIZER
from models.nano.muon import Muon
from models.nano.network import Network, Shape
from models.nano.plan import RECIPES, Plan

#: Steps between two entries of the log.
LOG_EVERY = 20
#: Rows of a probe that are computed at once.
PROBED = 8


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
        if device != "cpu":
            for block in self.network.blocks:  # the same program for all, and for any batch
                block.compile(dynamic=True)
        matrices = [w for w in self.network.blocks.parameters() if w.ndim == 2]
        others = [w for n, w in self.network.named_parameters() if w.ndim == 1 or "embedding" in n]
        self.optimizers = (
            Muon(matrices, lr=plan.muon_rate, decay=plan.decay),
            torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self.data: origin.Data | None = None  # what it learns from
        self.commits: list[str] = []  # of the code that made it, in their order

    def advance(self, groups: Sequence[Batches]) -> torch.Tensor:
        """One step on root dialogues and sub-calls; the mean loss of each group, (groups,)."""
        factor = rate(self.step, self.plan)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * factor
        losses = torch.zeros(len(groups), device=self.device)
        for n, batches in enumerate(groups):
            whole = sum(batch.weights.sum().item() for batch in batches)
            part = self.plan.workers_part if n else 1.0
            for batch in batches:
                loss = self.loss(batch) / whole
                (loss * part).backward()
                losses[n] += loss.detach()
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
        tokens, positions, targets, weights, learned = (
            part.to(self.device, non_blocking=True) for part in batch
        )
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            hidden = self.network(tokens, positions).flatten(0, 1)
            logits = self.network.logits(hidden[learned])
        losses = F.cross_entropy(logits.float(), targets.flatten()[learned], reduction="none")
        return (losses * weights.flatten()[learned]).sum()

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
            "data": self.data and tuple(self.data),
            "commits": self.commits,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    @classmethod
    def begun(cls, state: dict[str, Any], plan: Plan, device: str = "cpu") -> Run:
        """A run at its first step, with the network of a checkpoint's state."""
        run = cls(plan, Shape(**state["shape"]), device)
        run.network.load_state_dict(state["network"])
        return run

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Run:
        """The run of a checkpoint, where it was."""
        state = state_of(path, device)
        plan = Plan(**{**state["plan"], "skipped": tuple(state["plan"]["skipped"])})
        run = cls.begun(state, plan, device)
        for optimizer, its in zip(run.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its)
        run.step, run.tokens, run.seconds = state["step"], state["tokens"], state["seconds"]
        if known := state.get("data"):
            run.data = origin.Data(*known)
        run.commits = state.get("commits", [])
        return run

    def goes_on(self, plan: Plan, data: origin.Data, commit: str) -> None:
        """Have it go on by this plan, with this data and this code. Raises ValueError if it was
        begun by another plan, or with other data or another tokenizer."""
        if self.step and (self.plan, self.data) != (plan, data):
            what = "another plan" if self.plan != plan else "other data or another tokenizer"
            raise ValueError(f"the run was begun with {what}; choose another --out")
        self.data = data
        if commit not in self.commits[-1:]:
            self.commits.append(commit)


def state_of(path: Path, device: str = "cpu") -> dict[str, Any]:
    """The state that a checkpoint holds."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    return state


@torch.no_grad()
def probe(run: Run, rows: Sequence[samples.Row]) -> dict[str, float]:
    """For each name of rows, the share of dialogues in which every choice is right, each made
    with the turns before it as they should be; `cells`: the share of whole cells that are
    right to the last token."""
    chosen: dict[str, list[bool]] = defaultdict(list)
    ordered = sorted(rows, key=lambda item: len(item.tokens))
    for first in range(0, len(ordered), PROBED):
        part = ordered[first : first + PROBED]
        tokens, positions, targets, weights, _ = (p.to(run.device) for p in samples.batch(part))
        best = run.network.logits(run.network(tokens, positions)).argmax(-1)
        missed = ((best != targets) & (weights > 0)).cpu().numpy()
        for item, row in zip(part, missed, strict=True):
            wrong = row[: len(item.tokens) - 1]
            chosen[item.name].append(not (wrong & ~samples.inside(item)[1:]).any())
            for start, end in item.cells:
                chosen["insides of cells"].append(not wrong[start + samples.TOLD - 1 : end].any())
    return {name: round(sum(hits) / len(hits), 3) for name, hits in sorted(chosen.items())}


def _processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def train(
    run: Run,
    rows: Sequence[samples.Row],
    probes: dict[str, list[samples.Row]],
    folder: Path,
    *,
    save_every: float = 180.0,
    probe_every: int = 300,
    makers: int = 0,
) -> None:
    """Take `run` to its last step, with a checkpoint every `save_every` seconds.

    The losses over each `LOG_EVERY` steps go to `loss.jsonl` in `folder`, and every
    `probe_every` steps how the rows of each of the `probes` were answered. Batches are made
    ahead by so many processes as `makers` says, or by this one.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    steps = Steps(rows, run.plan, run.shape.vocabulary, Part(rank, _processes()))
    began = saved = time.monotonic()
    losses: list[torch.Tensor] = []
    for batches in steps.from_step(run.step, makers):
        losses.append(run.advance(batches))
        ended = run.step == run.plan.steps
        if run.step % LOG_EVERY == 0 or ended:
            means = torch.stack(losses).mean(0).tolist()
            spent = time.monotonic() - began
            run.seconds += spent
            if rank == 0:
                log(run, means, probes if run.step % probe_every == 0 or ended else {}, folder)
                print(f"{len(losses) / spent:.2f} steps/s", flush=True)
                if ended or time.monotonic() - saved > save_every:
                    run.save(folder / "checkpoint.pt")
                    saved = time.monotonic()
            losses, began = [], time.monotonic()


def log(run: Run, losses: list[float], probes: dict[str, list[samples.Row]], folder: Path) -> None:
    """Add an entry to the log: where the run is, and how the probes are answered now."""
    entry: dict[str, object] = {
        "step": run.step,
        "losses": [round(loss, 5) for loss in losses],
        "tokens": run.tokens,
        "seconds": round(run.seconds, 1),
    }
    if probes:
        entry["probes"] = {name: probe(run, rows) for name, rows in probes.items()}
    with (folder / "loss.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
    print(entry, end=" ")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[DIALOGUES], help="JSON lines, or packed rows"
    )
    parser.add_argument(
        "--probes", type=Path, nargs="*", default=[], help="dialogues that are not learned"
    )
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=RUN)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="cpu")
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint, whose weights a new run begins with"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="of the recipe's rates, this part")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each, on a CPU")
    parser.add_argument(
        "--makers", type=int, default=0, help="processes that make batches ahead, for a GPU"
    )
    parser.add_argument("--probe-every", type=int, default=300, help="steps between two probes")
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
    plan, shape = planned(arguments)
    rows = [
        row
        for path in arguments.data
        for row in rows_of(path, tokenizer, shape.window)
        if row.name not in plan.skipped
    ]
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.exists():
        run = Run.load(checkpoint, arguments.device)
    elif arguments.start:
        run = Run.begun(state_of(arguments.start, arguments.device), plan, arguments.device)
    else:
        run = Run(plan, replace(shape, vocabulary=tokenizer.get_vocab_size()), arguments.device)
    run.goes_on(plan, origin.data(rows), origin.commit())
    probes = {
        path.name.split(".")[0]: rows_of(path, tokenizer, shape.window) for path in arguments.probes
    }
    if rank == 0:
        print(
            f"{len(rows):,} rows, {sum(len(r.tokens) for r in rows):,} tokens; from step {run.step}"
        )
    train(
        run,
        rows,
        probes,
        arguments.out,
        probe_every=arguments.probe_every,
        makers=arguments.makers,
    )
    if meeting:
        dist.destroy_process_group()


def planned(arguments: argparse.Namespace) -> tuple[Plan, Shape]:
    """What is asked for: the recipe, and what of it was given otherwise."""
    plan, shape = RECIPES[arguments.recipe]
    asked = replace(
        plan,
        seed=arguments.seed,
        steps=arguments.steps or plan.steps,
        muon_rate=plan.muon_rate * arguments.rate,
        adam_rate=plan.adam_rate * arguments.rate,
    )
    return asked, shape


def rows_of(path: Path, tokenizer: Tokenizer, window: int) -> list[samples.Row]:
    """The rows of a file of dialogues, or of packed ones."""
    if path.suffix == ".npz":
        return packed.read(path)
    return samples.read([path], tokenizer, window)


def die_with_parent() -> None:
    """Have this process killed when its parent ends (Linux): it would wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
