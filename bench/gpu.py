"""The engine on a GPU against the same machine's processor: speed, memory, equal replies.

    python -m bench.gpu [MODEL …]

A MODEL is one of bench.models, or a path; 50m and 500m unless others are named. Needs a build
of llama.cpp for GPUs (docs/gpu.md). Both ways run in turns on the same prompts. What the plan
put on the GPU stands beside what its driver says was taken from when nothing was loaded to
when the cells were in use. Results go to bench/out/gpu.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

from bench import models
from bench.engine import CALLS, complete, request, words
from bench.report import report
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, find_gpus
from rlm_local.records import Completion, LayerChoice, Message, Request

ROUNDS = 3
MEMORY = 8192 * MIB
#: Tokens of a long prompt, of a reply alone, and of each of a batch.
PROMPT, ALONE, TOGETHER = 2_000, 128, 32


def figures(path: Path, layers: LayerChoice) -> tuple[dict[str, object], list[str]]:
    """One way's figures, and the texts of its replies."""
    before = free_bytes()
    began = time.perf_counter()
    with LlamaModel(path, memory_bytes=MEMORY, gpu_layers=layers) as model:
        loaded = time.perf_counter() - began
        complete(model, request("warm", 8))
        reading, writing, batches = [], [], []
        texts: list[str] = []
        for number in range(ROUNDS):
            long = Request(messages=(Message("user", words(number, 1, PROMPT)),), max_tokens=1)
            reading.append(PROMPT / timed(model, long)[0])
            spent, [alone] = timed(model, request(f"alone {number}", ALONE))
            writing.append(alone.completion_tokens / spent)
            calls = [request(words(number, call, 20), TOGETHER) for call in range(CALLS)]
            spent, replies = timed(model, *calls)
            batches.append(sum(reply.completion_tokens for reply in replies) / spent)
            texts += [reply.text for reply in (alone, *replies)]
        plan, taken = model.memory_plan, before - free_bytes()
    return {
        "model": path.stem,
        "layers_on_GPU": plan.gpu_layers,
        "load_s": loaded,
        "prompt_tokens/s": median(reading),
        "reply_alone_tokens/s": median(writing),
        f"{CALLS}_replies_tokens/s": median(batches),
        "planned_GPU_MiB": plan.device_bytes / MIB,
        "taken_GPU_MiB": taken / MIB,
    }, texts


def timed(model: LlamaModel, *requests: Request) -> tuple[float, list[Completion]]:
    """The wall time of these requests at once, in seconds, and their replies."""
    began = time.perf_counter()
    replies = complete(model, *requests)
    return time.perf_counter() - began, replies


def free_bytes() -> int:
    return sum(gpu.free_bytes for gpu in find_gpus())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["50m", "500m"])
    arguments = parser.parse_args()
    if not find_gpus():
        sys.exit("llama.cpp finds no GPU: docs/gpu.md says how to build it for one")
    rows = []
    for name in arguments.models:
        path = models.make(name) if name in models.SHAPES else Path(name)
        (on_gpu, ours), (without, theirs) = figures(path, "auto"), figures(path, 0)
        same = sum(one == other for one, other in zip(ours, theirs, strict=True))
        rows += [{**row, "equal_replies": f"{same} of {len(ours)}"} for row in (on_gpu, without)]
    for gpu in find_gpus():
        print(f"{gpu.name}: {gpu.description}, {gpu.total_bytes // MIB:,} MiB")
    report("gpu", rows)


if __name__ == "__main__":
    main()
