"""The engine's figures: sub-calls in a batch, start, turns, memory, deadlines.

    python -m bench.engine [MODEL …]        models of bench.models, or paths; default 5m 50m

The ways that are compared run in turns within one run, so that other load on the
machine meets them all. CPU seconds are the worker's own and bear load better than
wall time does. Results go to bench/out/engine.json.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from bench import models
from bench.report import report
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel
from rlm_local.records import Completion, Message, Request

CALLS = 64
NEW_TOKENS = 32
# Words that are one token each in the vocabulary of bench.models.
WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "it", "was", "for"),
    *("on", "are", "as", "with", "they", "at", "be", "this", "from", "have"),
]
PREFIX = " ".join(WORDS * 25)  # 500 tokens
TAIL_WORDS = 20  # with the template's own tokens about 28
ROUNDS = 3
MEMORY = 4096 * MIB


class Measured(NamedTuple):
    """Wall and CPU seconds of something, and the tokens it made."""

    wall: float
    cpu: float
    tokens: int


def main(names: list[str]) -> None:
    results = {name: measure(name) for name in names or ["5m", "50m"]}
    figures = next(iter(results.values()))
    report(
        "engine",
        [{"figure": figure, **{n: results[n][figure] for n in results}} for figure in figures],
    )


def measure(name: str) -> dict[str, float]:
    path = models.make(name) if name in models.SHAPES else Path(name)
    figures = start(path)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        figures |= sub_calls(model, path)
        figures |= turns(model)
        figures |= deadlines(model)
        figures |= memory(model)
    return figures


def start(path: Path) -> dict[str, float]:
    def once() -> None:
        LlamaModel(path, memory_bytes=MEMORY).close()

    once()
    return {"start and close, s": median(timed(once) for _ in range(ROUNDS))}


def sub_calls(model: LlamaModel, path: Path) -> dict[str, float]:
    """CALLS requests over a shared prefix: together, one by one, and by llama-cpp-python."""
    rounds: dict[str, list[Measured]] = {"batch": [], "one by one": [], "create_completion": []}
    theirs = Theirs(path, threads=model.threads)
    for number in range(ROUNDS):
        # New words every time, so that only the prefix is in the cache.
        texts = [tail(3 * number, call) for call in range(CALLS)]
        rounds["batch"].append(ours(model, texts, together=True))
        texts = [tail(3 * number + 1, call) for call in range(CALLS)]
        rounds["one by one"].append(ours(model, texts, together=False))
        texts = [tail(3 * number + 2, call) for call in range(CALLS)]
        rounds["create_completion"].append(theirs.run(texts))
    rate = {
        way: median(measured.tokens / measured.wall for measured in all_)
        for way, all_ in rounds.items()
    }
    cost = {
        way: median(1000 * measured.cpu / measured.tokens for measured in all_)
        for way, all_ in rounds.items()
    }
    figures = {f"{way}, tokens/s": rate[way] for way in rounds}
    figures |= {f"{way}, CPU ms/token": cost[way] for way in rounds}
    ratios = [b.wall / a.wall for a, b in zip(rounds["batch"], rounds["one by one"], strict=True)]
    figures["batch against one by one, x"] = median(ratios)
    figures["the same in CPU, x"] = cost["one by one"] / cost["batch"]
    figures["batch against create_completion, x"] = rate["batch"] / rate["create_completion"]
    return figures


def tail(series: int, call: int) -> str:
    """A sub-call's own words: different from every other's within its first few."""
    picked = Random(CALLS * series + call)
    return " ".join(picked.choices(WORDS, k=TAIL_WORDS))


def ours(model: LlamaModel, texts: list[str], *, together: bool) -> Measured:
    requests = [request(text) for text in texts]
    cpu, began = cpu_seconds(model.pid), time.perf_counter()
    groups = [requests] if together else [[one] for one in requests]
    done = [completion for group in groups for completion in complete(model, *group)]
    wall = time.perf_counter() - began
    return Measured(
        wall, cpu_seconds(model.pid) - cpu, sum(completion.completion_tokens for completion in done)
    )


class Theirs:
    """The same by the high-level class of llama-cpp-python, in this process."""

    def __init__(self, path: Path, *, threads: int) -> None:
        from llama_cpp import Llama

        self._llama = Llama(
            str(path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def run(self, texts: list[str]) -> Measured:
        cpu, began = time.process_time(), time.perf_counter()
        made = 0
        for text in texts:
            done = self._llama.create_completion(
                f"{PREFIX} {text}", max_tokens=NEW_TOKENS, temperature=0.0
            )
            made += done["usage"]["completion_tokens"]
        return Measured(time.perf_counter() - began, time.process_time() - cpu, made)


def turns(model: LlamaModel) -> dict[str, float]:
    """What a turn costs beside computing tokens: the same short turn, prefix in the cache."""
    model.count_tokens("warm")
    round_trips = [timed(lambda: model.count_tokens("x")) for _ in range(50)]
    window = model.info.context_tokens
    history = "the line of the text " * (window // 10)
    long = Request(
        messages=(Message("user", history),), max_tokens=1, dialogue="turns", stop="fence"
    )
    first = timed(lambda: complete(model, long))
    again = [timed(lambda: complete(model, long)) for _ in range(20)]
    return {
        "round trip, ms": 1000 * median(round_trips),
        "first turn, half a window, ms": 1000 * first,
        "again, one token computed, ms": 1000 * median(again),
    }


def deadlines(model: LlamaModel) -> dict[str, float]:
    """How late a completion comes back after its deadline, in its reply."""
    late = []
    for number in range(5):
        deadline = time.monotonic() + 0.3
        endless = Request(messages=(Message("user", f"go on {number}"),), max_tokens=100_000)
        model.complete([endless] * 4, deadline=deadline, token_limit=1 << 40)
        late.append(time.monotonic() - deadline)
    return {"late after a deadline, ms": 1000 * max(late)}


def memory(model: LlamaModel) -> dict[str, float]:
    plan = model.memory_plan
    status = Path(f"/proc/{model.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "planned memory, MiB": plan.total_bytes / MIB,
        "resident at most, MiB": peak / 1024,
        "window, tokens": plan.context_tokens,
    }


def request(text: str) -> Request:
    messages = (Message("system", PREFIX), Message("user", text))
    return Request(messages=messages, max_tokens=NEW_TOKENS)


def complete(model: LlamaModel, *requests: Request) -> list[Completion]:
    return model.complete(requests, deadline=time.monotonic() + 3600, token_limit=1 << 40)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    os.environ["OMP_WAIT_POLICY"] = "passive"
    main(sys.argv[1:])
