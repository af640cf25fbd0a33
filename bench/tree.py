"""What a child costs, and how far a tree of a hundred nodes overshoots its limits.

A scripted model replies at once, so that all the time is the runtime's. Every run
is recorded as a real one is: each event is on disk before the next begins.

    python -m bench.tree [--rounds N]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import report
from rlm_local import controller
from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.prompt import prompt_from_text
from rlm_local.records import (
    ROOT,
    Answer,
    Event,
    NodeEnded,
    NodeStarted,
    Ran,
    Replied,
    Request,
    SubCalled,
)
from rlm_local.runs import RunStore
from rlm_local.wasm import WasmSandbox

TEXT_CHARS = 40_000_000

#: What the child is given: an expression of the parent's code.
CONTEXTS = {
    "10 characters": "context[5:15]",
    "100 kB slice": "context[7:100_007]",
    "10 MB slice": "context[7:10_000_007]",
    "10 MB, UCS-2": "('日' + context[7:5_000_007])",
    "all 40 MB": "context",
    "1,000 documents of 1 kB": "[context[n * 1000:n * 1000 + 1000] for n in range(1000)]",
}

#: The root has 9 children, each of those 10: with the root a hundred nodes. The first leaves
#: come to an end; the limit is hit in all of the others, and none of them lets go.
FAN = "rlm_query_batched([('q', 'x')] * {n})\nFINAL(1)"
LEAVES_THAT_END = 82
HOLD = """
while True:
    try:
        while True: {}
    except BaseException: pass
"""
LIMITS = {
    "wall_seconds": (4.0, "pass"),
    "tokens": (60_000, "llm_query('a b c')"),
    "sub_calls": (700, "llm_query_batched(['a'] * 3)"),
}


class Bench:
    """Runs scripted questions over one prompt."""

    def __init__(self, folder: Path, sandbox: WasmSandbox) -> None:
        self.sandbox = sandbox
        self.store = RunStore(folder / "runs")
        text = "".join(f"{number:09}\n" for number in range(TEXT_CHARS // 10))
        self.prompt = prompt_from_text(text, folder=folder)

    def run(self, script: Callable[[Request], str], **limits: float) -> tuple[Answer, list[Event]]:
        events: list[Event] = []
        with self.store.new() as run:

            def record(event: Event) -> None:
                run.append(event)
                events.append(event)

            answer = controller.answer(
                "q",
                self.prompt,
                model=ScriptedModel(script, lambda request: "d e"),
                sandbox=self.sandbox,
                limits=Limits(**{"depth": 3, **limits}),  # type: ignore[arg-type]
                run_id=run.run_id,
                record=record,
                mode="rlm",
            )
        return answer, events


def by_depth(*codes: str) -> Callable[[Request], str]:
    return lambda request: f"```repl\n{codes[request.depth]}\n```\n"


def hundred_nodes(hold: str) -> Callable[[Request], str]:
    """A script for the tree of a hundred nodes; it may be asked from several threads."""
    leaves = itertools.count(1)

    def script(request: Request) -> str:
        if request.depth < 2:
            code = FAN.format(n=9 if request.depth == 0 else 10)
        else:
            code = "FINAL(1)" if next(leaves) <= LEAVES_THAT_END else hold
        return f"```repl\n{code}\n```\n"

    return script


def child_rows(bench: Bench, rounds: int) -> list[dict[str, object]]:
    """From the call in the parent's code to its value there: fork, one turn, end."""
    rows = []
    for name, context in CONTEXTS.items():
        alone: list[float] = []
        batch: list[float] = []
        for _ in range(rounds):
            alone.append(call_ms(bench, f"x = {context}\nrlm_query('q', x)"))
            batch.append(call_ms(bench, f"x = {context}\nrlm_query_batched([('q', x)] * 16)") / 16)
        rows.append(
            {
                "context": name,
                "rounds": rounds,
                "child_ms_median": statistics.median(alone),
                "of_a_batch_of_16_ms_median": statistics.median(batch),
            }
        )
    return rows


def call_ms(bench: Bench, code: str) -> float:
    """The host's time for the calls of a cell."""
    _, events = bench.run(by_depth(f"{code}\nFINAL(1)", "FINAL(len(context))"))
    [seconds] = [
        event.observation.host_seconds
        for event in events
        if isinstance(event, Ran) and event.node == ROOT
    ]
    return 1e3 * seconds


def overshoot_rows(bench: Bench, rounds: int) -> list[dict[str, object]]:
    rows = []
    for name, (limit, call) in LIMITS.items():
        overshoots: list[float] = []
        nodes = 0
        for _ in range(rounds):
            began = time.monotonic()
            answer, events = bench.run(hundred_nodes(HOLD.format(call)), **{name: limit})
            took = time.monotonic() - began
            if answer.stop not in ("wall_clock", "tokens", "sub_calls"):
                raise RuntimeError(f"the run ended for {answer.stop}: {answer.message}")
            used = {
                "wall_seconds": took,
                "tokens": float(answer.usage.work_tokens),
                "sub_calls": float(answer.usage.sub_calls),
            }
            if not is_exact(answer, events):
                raise RuntimeError("the sums are not those of the record")
            nodes = sum(each.nodes for each in answer.usage.by_depth)
            overshoots.append(max(0.0, used[name] - limit))
        rows.append(
            {
                "limit": name,
                "value": limit,
                "rounds": rounds,
                "nodes_begun": nodes,
                "overshoot_median": statistics.median(overshoots),
                "overshoot_max": max(overshoots),
            }
        )
    return rows


def is_exact(answer: Answer, events: list[Event]) -> bool:
    """Whether the usage is what the record adds up to."""
    tokens = calls = 0
    for event in events:
        if isinstance(event, Replied):
            tokens += event.completion.work_tokens
        elif isinstance(event, SubCalled):
            tokens += sum(completion.work_tokens for completion in event.completions)
            calls += len(event.prompts)
    begun = sum(isinstance(event, NodeStarted) for event in events)
    ended = sum(isinstance(event, NodeEnded) for event in events)
    return tokens == answer.usage.work_tokens and calls <= answer.usage.sub_calls and begun == ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, WasmSandbox() as sandbox:
        bench = Bench(Path(folder), sandbox)
        report("tree-child", child_rows(bench, rounds))
        report("tree-limits", overshoot_rows(bench, max(3, rounds // 2)))


if __name__ == "__main__":
    main()
