"""What the planner says a model takes, against what llama.cpp reserves and the worker uses.

    python -m bench.memory [--quick] [MODEL …]

Two tables. The first has shapes of well-known models: llama.cpp reserves a context for
them without allocating it, so that its compute buffer, KV cache and logits are known to
the byte for models that this machine could not run. The second loads models, fills all
their cells, and compares the plan with the worker's largest resident size. `--quick`
leaves that one out. Results go to bench/out/memory-reserved.json and memory-used.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import gguf
import numpy as np

from bench import models
from bench.models import Shape
from bench.report import report
from rlm_local.catalog import find
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, MemoryPlan, inspect, plan
from rlm_local.llama.memory import graph_bytes, work_bytes
from rlm_local.records import KvChoice, Message, Request

PLENTY = 1 << 45
Q8_0, Q4_K = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_K
#: Shapes as they are in use: heads of 64 and 128, all KV heads or one, vocabularies of all sizes.
SHAPES: dict[Shape, str] = dict.fromkeys(
    (
        Shape("135M", 576, 30, 9, 3, 1_536, 49_152, 8_192, Q8_0),
        Shape("1B", 2_048, 16, 32, 8, 8_192, 128_256, 131_072, Q8_0),
        Shape("3B", 2_048, 28, 16, 8, 6_144, 151_936, 32_768, Q4_K),
        Shape("7B, no GQA", 4_096, 32, 32, 32, 11_008, 32_000, 16_384, Q4_K),
        Shape("8B", 4_096, 32, 32, 8, 14_336, 128_256, 131_072, Q4_K),
        Shape("70B", 8_192, 80, 64, 8, 28_672, 128_256, 131_072, Q4_K),
        Shape("one KV head", 1_024, 12, 16, 1, 2_816, 65_536, 16_384, Q8_0),
        Shape("narrow heads", 512, 12, 16, 16, 1_408, 16_384, 8_192, Q8_0),
    ),
    "llama",
) | {
    Shape("2 0.5B", 896, 24, 14, 2, 4_864, 151_936, 32_768, Q8_0): "qwen2",
    Shape("3 0.6B", 1_024, 28, 16, 8, 3_072, 151_936, 32_768, Q8_0, head=128): "qwen3",
    Shape("3 4B", 2_560, 36, 32, 8, 9_728, 151_936, 32_768, Q4_K, head=128): "qwen3",
    Shape("3 8B", 4_096, 36, 32, 8, 12_288, 151_936, 32_768, Q4_K): "qwen3",
    Shape("3 4B", 2_560, 34, 8, 4, 10_240, 262_144, 32_768, Q4_K, head=256): "gemma3",
}
#: Families beside Llama's, by what their layers have besides, and the length of it.
FAMILIES = {
    "qwen2": {"attn_q.bias": "width", "attn_k.bias": "kv", "attn_v.bias": "kv"},
    "qwen3": {"attn_q_norm.weight": "head", "attn_k_norm.weight": "head"},
    "gemma3": {
        "attn_q_norm.weight": "head",
        "attn_k_norm.weight": "head",
        "post_attention_norm.weight": "width",
        "post_ffw_norm.weight": "width",
    },
}
LARGE_VOCABULARY = Shape("wordy", 256, 4, 4, 2, 704, 151_936, 2_048, Q8_0)
WINDOWS = (512, 4_096, 32_768)
TYPES: tuple[KvChoice, ...] = ("f16", "q8_0")


class Case(NamedTuple):
    """A model to be loaded and filled."""

    model: str
    window: int
    kv_type: KvChoice = "f16"


CASES = (
    Case("rlm-nano", 2_048),
    Case("5m", 512),
    Case("5m", 4_096),
    Case("5m", 4_096, "q8_0"),
    Case("50m", 512),
    Case("50m", 2_048),
    Case("50m", 2_048, "q8_0"),
    Case("wordy", 1_024),
    Case("500m", 512),
    Case("500m", 512, "q8_0"),
)


class Parts(NamedTuple):
    """What llama.cpp says that it took, in bytes."""

    weights: int
    kv: int
    compute: int
    outputs: int


# ------------------------------------------------------------------- reserved


def reserved() -> Iterator[dict[str, object]]:
    for shape, family in SHAPES.items():
        path = header_only(shape, family)
        for window in WINDOWS:
            if window > shape.context:
                continue
            for kv_type in TYPES:
                made = plan(
                    inspect(path), memory_bytes=PLENTY, context_tokens=window, kv_type=kv_type
                )
                theirs = parts(path, made, allocate=False)
                graph = graph_of(path, made)
                yield {
                    "model": f"{family} {shape.name}",
                    "window": window,
                    "kv": kv_type,
                    "weights_MiB": theirs.weights / MIB,
                    "planned": f"{made.weight_bytes / theirs.weights:.4f}",
                    "kv_MiB": theirs.kv / MIB,
                    "planned ": f"{made.kv_bytes / theirs.kv:.4f}",
                    "compute_MiB": theirs.compute / MIB,
                    "planned  ": f"{graph / theirs.compute:.4f}",
                    "logits_MiB": theirs.outputs / MIB,
                    "planned   ": f"{made.output_bytes / theirs.outputs:.4f}",
                }


def header_only(shape: Shape, family: str) -> Path:
    """A GGUF of `shape` whose weights are a hole in the file."""
    path = models.FOLDER / "hole.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, family)
    models.describe(writer, shape)
    head = shape.head_width
    if family == "gemma3":
        writer.add_sliding_window(1_024)
    tensors = models.tensors(shape)
    lengths = {"head": head, "kv": head * shape.kv_heads, "width": shape.width}
    for layer in range(shape.layers):
        for name, length in FAMILIES.get(family, {}).items():
            tensors[f"blk.{layer}.{name}"] = (lengths[length],)
    block, size = gguf.GGML_QUANT_SIZES[shape.kind]
    end = 0
    for name, dimensions in tensors.items():
        flat = len(dimensions) == 1
        count = int(np.prod(dimensions))
        kind = gguf.GGMLQuantizationType.F32 if flat else shape.kind
        # The writer takes the bytes of a row where numbers are stored in blocks.
        stored = dimensions if flat else (dimensions[0], dimensions[1] // block * size)
        held = 4 * count if flat else count // block * size
        writer.add_tensor_info(
            name, stored, np.dtype(np.float32 if flat else np.uint8), held, raw_dtype=kind
        )
        end += -(-held // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, -(-path.stat().st_size // 32) * 32 + end)
    return path


def graph_of(path: Path, made: MemoryPlan) -> int:
    return graph_bytes(inspect(path), made.cells, kv_type=made.kv_type, flash=made.flash)


def parts(path: Path, made: MemoryPlan, *, allocate: bool) -> Parts:
    """What llama.cpp takes for this plan, by what it writes to its log."""
    asked = [made.cells, made.kv_type, int(made.flash), int(made.mapped), int(allocate)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", "--context-of", path, *map(str, asked)],
        capture_output=True,
        check=True,
    )
    log = done.stderr.decode("utf-8", "replace")

    def mib(pattern: str) -> int:
        return round(sum(float(found) for found in re.findall(pattern, log)) * MIB)

    return Parts(
        weights=int(done.stdout),
        kv=mib(r"llama_kv_cache: size = +([\d.]+) MiB"),
        compute=mib(r" compute buffer size = +([\d.]+) MiB"),
        outputs=mib(r" output buffer size = +([\d.]+) MiB"),
    )


def make_context(path: str, cells: str, kv_type: str, *flags: str) -> None:
    """In a process of its own: a context as the worker makes it, then the weights' bytes."""
    from rlm_local.llama import native
    from rlm_local.llama.native import Loading, Native

    flash, mapped, allocate = (flag == "1" for flag in flags)
    llama = native._llama
    if not allocate:
        defaults = llama.llama_model_default_params

        def simulated() -> object:
            params = defaults()
            params.no_alloc = True
            return params

        llama.llama_model_default_params = simulated
    how = Loading(
        cells=int(cells),
        batch_tokens=512,
        threads=1,
        flash=flash,
        mapped=mapped and allocate,
        kv_type=kv_type,  # type: ignore[arg-type]
    )
    print(llama.llama_model_size(Native(Path(path), how)._model))


# ----------------------------------------------------------------------- used


def used(cases: tuple[Case, ...]) -> Iterator[dict[str, object]]:
    for case in cases:
        path = file_of(case.model)
        with LlamaModel(
            path, memory_bytes=PLENTY, context_tokens=case.window, kv_type=case.kv_type
        ) as model:
            made = model.memory_plan
            fill(model)
            status = status_of(model.pid)
        theirs = parts(path, made, allocate=True)
        work = work_bytes(inspect(path), made.cells, flash=made.flash)
        named = theirs.weights + theirs.kv + theirs.compute + theirs.outputs + work
        yield {
            "model": case.model,
            "window": case.window,
            "cells": made.cells,
            "kv": f"{made.kv_type}{', flash' if made.flash else ''}",
            "weights": f"{theirs.weights / made.weight_bytes:.3f}",
            "KV": f"{theirs.kv / made.kv_bytes:.3f}",
            "graph": f"{theirs.compute / graph_of(path, made):.3f}",
            "logits": f"{theirs.outputs / made.output_bytes:.3f}",
            "planned_process_MiB": made.process_bytes / MIB,
            "process_MiB": (status["VmHWM"] - named) / MIB,
            "planned_MiB": made.total_bytes / MIB,
            "used_MiB": status["VmHWM"] / MIB,
            "anonymous_MiB": status["RssAnon"] / MIB,
            "of_files_MiB": status["RssFile"] / MIB,
            "used / planned": f"{status['VmHWM'] / made.total_bytes:.3f}",
        }


def file_of(name: str) -> Path:
    if name == LARGE_VOCABULARY.name:
        path = models.FOLDER / f"{name}.gguf"
        return path if path.exists() else models.write(LARGE_VOCABULARY, path)
    return models.make(name) if name in models.SHAPES else find(name).path


def fill(model: LlamaModel) -> None:
    """Dialogues until every cell has been used, each as long as the window allows."""
    made = model.memory_plan
    sub_calls = [
        Request(messages=(Message("user", letter * 8),), max_tokens=32) for letter in WORDS * 8
    ]
    model.complete(sub_calls, deadline=time.monotonic() + 3_600, token_limit=1 << 40)
    left, number = made.cells, 0
    while left > 256:
        number += 1
        length = min(left, made.context_tokens) - 64
        words = Random(number).choices(WORDS, k=length)
        asked = Request(
            messages=(Message("user", "".join(words)),), max_tokens=1, dialogue=str(number)
        )
        [done] = model.complete([asked], deadline=time.monotonic() + 3_600, token_limit=1 << 40)
        left -= done.prompt_tokens


#: Letters are tokens of their own in every vocabulary here.
WORDS = "QZXJKVYW"


def status_of(pid: int) -> dict[str, int]:
    """Fields of /proc/PID/status in bytes."""
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            fields[name] = int(value.split()[0]) * 1024
    return fields


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", help="only these of the second table")
    parser.add_argument("--quick", action="store_true", help="only the first table")
    parser.add_argument("--context-of", nargs=6, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.context_of:
        make_context(*asked.context_of)
        return
    if not asked.models:
        report("memory-reserved", list(reserved()))
    if not asked.quick:
        cases = tuple(case for case in CASES if not asked.models or case.model in asked.models)
        report("memory-used", list(used(cases)))


if __name__ == "__main__":
    main()
