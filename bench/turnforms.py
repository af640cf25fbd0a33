"""What it costs, and brings, to look after the form of turns: blocks, syntax, thoughts.

    python -m bench.turnforms [--runs N] [MODEL …]

A MODEL is one of bench.models; tiny, 5m and 50m unless others are named. Each row says
what was measured, in its own unit; ways that are compared run in turns.

- The time of our own code for a token, alone.
- Tokens per CPU second of one greedy turn, left alone and steered.
- Of sampled turns of random weights, how many have a block.
- A check of the syntax, of code as long as published turns are.
- rlm-nano, made to err by a temperature: what attempts it takes, and what becomes of its runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from bench import models
from bench.report import report
from bench.rivals import cpu_seconds
from rlm_local.demo import write_demo
from rlm_local.fences import blocks
from rlm_local.limits import MIB, Limits
from rlm_local.llama import LlamaModel
from rlm_local.llama.engine import Tokens
from rlm_local.llama.steering import Steering
from rlm_local.llama.stream import TextStream
from rlm_local.model import Model, ModelWrapper
from rlm_local.prompt import prompt_from_text
from rlm_local.records import Completion, Event, Message, Ran, Replied, Request
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime, load_model, start_sandbox
from rlm_local.syntax import SyntaxCheck
from rlm_local.thoughts import KNOWN, Thoughts

TOKENS = 2_000
FAR = 1e12
NOTHING = np.empty(0, np.int32)
PROSE = "I look at the first lines of the text, then I count what is there. "
CODE = "    for line in context.splitlines():\n        print(line.split(',')[0], len(line))\n"
#: Characters of a block in published logs: median, 90th percentile, longest.
CODE_CHARS = (444, 1_386, 50_994)
TEMPERATURES = (1.2,)

Row = dict[str, object]


def row(what: str, how: str, value: float, unit: str) -> Row:
    print(f"{what}, {how}: {value:.4g} {unit}", flush=True)  # the table takes a while
    return {"what": what, "how": how, "value": value, "unit": unit}


class Words:
    """A vocabulary whose token n is the nth of some texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.bos = None
        self._pieces = [text.encode() for text in texts]

    def tokenize(self, text: str) -> Tokens:
        return np.zeros(1, np.int32)

    def piece(self, token: int) -> bytes:
        return self._pieces[token]

    def ends(self, token: int) -> bool:
        return False

    def strips(self, token: int) -> tuple[bool, bool]:
        return (False, False)


def own_code() -> list[Row]:
    """The time of our own code for a token, in a turn of 2,000."""
    texts = {
        "prose": [f" {word}" for word in (PROSE * TOKENS).split()[:TOKENS]],
        "code": ["```repl\n", *(CODE[at % 80 : at % 80 + 4] for at in range(TOKENS - 1))],
    }
    rows = []
    for kind, pieces in texts.items():
        for how in ("alone", "block", "thoughts and block"):
            times = []
            for _ in range(9):
                thoughts = Thoughts(KNOWN[0]) if "thoughts" in how else None
                stream = TextStream(fence=True, thoughts=thoughts)
                vocabulary = Words(pieces)
                steering = Steering(
                    stream, vocabulary, thought_tokens=0, closing=NOTHING, text_tokens=2 * TOKENS
                )
                began = time.process_time()
                for token in range(TOKENS):
                    if how != "alone":
                        steering.instead(token)
                    stream.feed(vocabulary.piece(token))
                times.append((time.process_time() - began) / TOKENS * 1e6)
            rows.append(row(f"our code, {kind}", how, min(times), "us a token"))
    return rows


def asked(number: int, *, block: bool, **how: object) -> Request:
    return Request(
        messages=(Message("user", f"{number}. What is it?"),),
        stop="fence",
        block=block,
        **how,  # type: ignore[arg-type]
    )


def speed(name: str, model: LlamaModel, rounds: int) -> list[Row]:
    """Tokens of one greedy turn at a time, by the CPU time of the worker."""
    tokens, seconds = dict.fromkeys((False, True), 0), dict.fromkeys((False, True), 0.0)
    for number in range(rounds):
        # Whoever comes second has cells further on, and attends to more: so they take turns.
        for block in (False, True) if number % 2 else (True, False):
            request = asked(number, block=block, max_tokens=256)
            began = cpu_seconds(model.pid)
            [made] = model.complete([request], deadline=FAR, token_limit=1 << 40)
            seconds[block] += cpu_seconds(model.pid) - began
            tokens[block] += made.completion_tokens
    return [
        row(
            f"a greedy turn, {name}",
            "block" if block else "alone",
            tokens[block] / seconds[block],
            "tokens a CPU second",
        )
        for block in tokens
    ]


def share(name: str, model: LlamaModel) -> list[Row]:
    """How many of sampled turns have a block."""
    rows = []
    for block in (False, True):
        requests = [
            asked(number, block=block, max_tokens=200, temperature=2.5, min_p=0.0, seed=number)
            for number in range(48)
        ]
        found = [
            blocks(made.text)
            for made in model.complete(requests, deadline=FAR, token_limit=1 << 40)
        ]
        how = "block" if block else "alone"
        opened = sum(map(bool, found)) / len(found)
        rows.append(row(f"sampled turns with a block, {name}", how, 100 * opened, "%"))
    return rows


def syntax() -> list[Row]:
    """How long a check takes, and its Python's first start."""
    rows = []
    sandbox = start_sandbox()
    with (
        tempfile.TemporaryDirectory() as folder,
        prompt_from_text("nothing", folder=Path(folder)) as prompt,
    ):
        check = SyntaxCheck(sandbox, prompt, memory_bytes=256 * MIB)
        began = time.perf_counter()
        check.bad_line("x", FAR)
        rows.append(row("check of the syntax", "first", 1e3 * (time.perf_counter() - began), "ms"))
        for chars in CODE_CHARS:
            code = f"if x:\n{CODE}" * round(chars / len(f"if x:\n{CODE}"))
            times = []
            for _ in range(20):
                began = time.perf_counter()
                if check.bad_line(code, FAR):
                    raise AssertionError("the code of this benchmark does not parse")
                times.append(1e3 * (time.perf_counter() - began))
            rows.append(
                row("check of the syntax", f"{len(code):,} characters", median(times), "ms")
            )
        check.close()
    sandbox.close()
    return rows


class Warm(ModelWrapper):
    """A model whose turns are drawn at a temperature, so that it errs now and then."""

    def __init__(self, model: Model, temperature: float) -> None:
        super().__init__(model)
        self._temperature = temperature

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        warm = [
            request
            if request.begun
            else msgspec.structs.replace(request, temperature=self._temperature, min_p=0.0)
            for request in requests
        ]
        return super().complete(warm, deadline=deadline, token_limit=token_limit)


def retries(runs: int) -> list[Row]:
    """What becomes of runs of rlm-nano that errs, by attempts that it may take."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, load_nano() as nano:
        for temperature in TEMPERATURES:
            for attempts in (0, 1, 2):
                events: list[Event] = []
                right = 0
                with Runtime(
                    model=Warm(nano, temperature),
                    limits=Limits(syntax_retries=attempts, turns=8),
                    store=RunStore(Path(folder) / "runs"),
                ) as runtime:
                    for seed in range(runs):
                        path = Path(folder) / "prompt.txt"
                        demo = write_demo(path, size=50_000, seed=seed)
                        answer = runtime.ask(demo.question, path, on_event=events.append, seed=seed)
                        right += answer.text == demo.answer
                rows += of_runs(f"nano at {temperature}, {attempts} retries", events, runs, right)
    return rows


def load_nano() -> Model:
    return load_model("rlm-nano", memory_bytes=2_048 * MIB)


def of_runs(how: str, events: Sequence[Event], runs: int, right: int) -> list[Row]:
    replies = [event.completion for event in events if isinstance(event, Replied)]
    errors = [event.observation.error for event in events if isinstance(event, Ran)]
    kinds = ("SyntaxError", "IndentationError", "TabError")
    bad = sum(error is not None and error.type in kinds for error in errors)
    tokens = sum(made.completion_tokens for made in replies)
    return [
        row("runs that came out right", how, right, f"of {runs}"),
        row("turns that did not parse", how, bad, f"of {len(replies)}"),
        row("turns written again", how, sum(made.retries > 0 for made in replies), "turns"),
        row("tokens written", how, tokens / runs, "a run"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["tiny", "5m", "50m"])
    parser.add_argument("--runs", type=int, default=30, help="runs of rlm-nano of each kind")
    given = parser.parse_args()
    rows = own_code() + syntax()
    for name in given.models:
        with LlamaModel(models.make(name), memory_bytes=4_096 * MIB) as model:
            rows += speed(name, model, 12) + share(name, model)
    report("turnforms", rows + retries(given.runs))


if __name__ == "__main__":
    main()
