"""The engine's figures: sub-calls in a batch, turns, labels, starts, deadlines.

    python -m bench.engine [--rounds N] [--only PART …] [--models MODEL …]

A MODEL is one of bench.models, or a path; 5m and 50m unless others are named.

With llama.cpp's own programs beside it, if `python -m bench.rivals_build` has built them.

The ways that are compared run in turns within one run, so that other load on the
machine meets them all. CPU seconds are the worker's own and bear load better than
wall time does. Results go to bench/out/engine.json.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import median

import jinja2

from bench import models
from bench.programs import Server, Settings, batched_bench
from bench.report import report
from bench.rivals import BareDecode, HighLevel, Measured, cpu_seconds, scheduling_seconds
from bench.rivals_build import built
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel
from rlm_local.records import Completion, Message, Request

CALLS = 64
NEW_TOKENS = 32
SEQUENCES = 16  # decoded together by what the batch is compared with
WIDTHS = (8, SEQUENCES, 32)  # of llama-batched-bench
# Words that are one token each in the vocabulary of bench.models.
WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "it", "was", "for"),
    *("on", "are", "as", "with", "they", "at", "be", "this", "from", "have"),
]
PREFIX = " ".join(WORDS * 25)  # 500 tokens
TAIL_WORDS = 20  # with the template's own tokens about 28
PROMPT_TOKENS = 528
BATCHED_BENCH, SERVER = "llama-batched-bench, {} sequences", f"llama-server, {SEQUENCES} slots"
SAME = BATCHED_BENCH.format(SEQUENCES)
# Its sequences share the whole prompt, while ours have 28 tokens each of their own, and in
# a unified cache each token's attention runs over the cells of all: as many, for it, are these.
SAME_CELLS = f"{SAME}, as many cells"
SHARED_TOKENS = 500
CELLS = SHARED_TOKENS + SEQUENCES * (PROMPT_TOKENS - SHARED_TOKENS)
LABELS = ("the", "of", "and", "to", "in", "is")
ITEM_WORDS = 8
ITEM_TOKENS = 32  # of a freely generated label: a small model explains itself
MEMORY = 4096 * MIB

Figures = dict[str, float]


class Bench:
    """One model's figures. `rounds`: how often each is taken; medians are reported."""

    def __init__(self, name: str, rounds: int) -> None:
        self.path = models.make(name) if name in models.SHAPES else Path(name)
        self.rounds = rounds
        self._series = 0

    def run(self, parts: Sequence[str]) -> Figures:
        figures: Figures = {}
        for part in parts:
            measure: Callable[..., Figures] = getattr(self, part)
            if part in STARTING:
                figures |= measure()
                continue
            with LlamaModel(self.path, memory_bytes=MEMORY) as model:
                complete(model, *(request(text, 8) for text in self._texts()))  # warm
                figures |= measure(model)
        return figures

    def start(self) -> Figures:
        def once() -> None:
            LlamaModel(self.path, memory_bytes=MEMORY).close()

        once()
        return {"start and close, s": median(timed(once) for _ in range(self.rounds))}

    # ------------------------------------------------------------ sub-calls

    def sub_calls(self, model: LlamaModel) -> Figures:
        """CALLS requests over a shared prefix: together, one by one, and by others' means."""

        plan = model.memory_plan
        high_level = HighLevel(self.path, threads=model.threads)
        bare = BareDecode(self.path, threads=model.threads, flash=plan.flash, mapped=plan.mapped)
        rounds: dict[str, list[Measured]] = {}
        with contextlib.ExitStack() as programs:
            ways = {
                "batch": lambda: self.ours(model, together=True),
                "batch, one token each": lambda: self.ours(model, together=True, new=1),
                **self._programs(model, programs),
                "one by one": lambda: self.ours(model, together=False),
                "create_completion": lambda: high_level.run(
                    [prompt(text) for text in self._texts()], new=NEW_TOKENS
                ),
                "bare llama_decode": lambda: bare.generate(
                    sequences=SEQUENCES, prefix=PROMPT_TOKENS, steps=NEW_TOKENS - 1
                ),
            }
            for _ in range(self.rounds):
                for way, run in ways.items():
                    rounds.setdefault(way, []).append(run())
        rates = {way: [m.tokens / m.wall for m in all_] for way, all_ in rounds.items()}
        # What generating alone takes: with all tokens, less with one token each.
        pairs = list(zip(rounds["batch"], rounds["batch, one token each"], strict=True))
        generating = [(a.tokens - b.tokens) / (a.wall - b.wall) for a, b in pairs]
        generating_cpu = [(a.cpu - b.cpu) / (a.tokens - b.tokens) for a, b in pairs]
        python = scheduling_seconds(
            calls=CALLS, prefix=500, own=28, new=NEW_TOKENS, parallel=SEQUENCES
        )
        figures: Figures = {}
        if SERVER in rounds:
            wider = [rates[BATCHED_BENCH.format(count)] for count in WIDTHS]
            best = [max(of_round) for of_round in zip(*wider, strict=True)]
            same = rounds[SAME]
            figures = {
                **{f"{way}, tokens/s": median(rates[way]) for way in rounds if "llama-" in way},
                "generating against batched-bench, x": ratio(generating, rates[SAME]),
                "generating against batched-bench, CPU, x": ratio(
                    [m.cpu / m.tokens for m in same], generating_cpu
                ),
                "generating against it over as many cells, x": ratio(generating, rates[SAME_CELLS]),
                "generating against it over as many cells, CPU, x": ratio(
                    [m.cpu / m.tokens for m in rounds[SAME_CELLS]], generating_cpu
                ),
                "generating against its best, x": ratio(generating, best),
                "batch against server, x": ratio(rates["batch"], rates[SERVER]),
                "batch against server, CPU, x": ratio(
                    [m.cpu / m.tokens for m in rounds[SERVER]],
                    [m.cpu / m.tokens for m in rounds["batch"]],
                ),
            }
        return {
            **figures,
            "64 sub-calls, tokens/s": median(rates["batch"]),
            "one by one, tokens/s": median(rates["one by one"]),
            "create_completion, tokens/s": median(rates["create_completion"]),
            "batch against one by one, x": ratio(rates["batch"], rates["one by one"]),
            "batch against create_completion, x": ratio(rates["batch"], rates["create_completion"]),
            "batch against create_completion, CPU, x": ratio(
                [m.cpu / m.tokens for m in rounds["create_completion"]],
                [m.cpu / m.tokens for m in rounds["batch"]],
            ),
            "generating alone, tokens/s": median(generating),
            "bare llama_decode, tokens/s": median(rates["bare llama_decode"]),
            "generating against bare, x": ratio(generating, rates["bare llama_decode"]),
            "the same in CPU, x": ratio(
                [m.cpu / m.tokens for m in rounds["bare llama_decode"]], generating_cpu
            ),
            "our own code, us/token": 1e6 * python,
            "our own code, one reply alone, us/token": 1e6
            * scheduling_seconds(calls=4, prefix=500, own=28, new=200, parallel=1),
        }

    def _programs(
        self, model: LlamaModel, held: contextlib.ExitStack
    ) -> dict[str, Callable[[], Measured]]:
        """llama.cpp's own programs with the model's settings, if they have been built."""
        rivals = built()
        if rivals is None:
            print("llama.cpp's own programs are left out: python -m bench.rivals_build")
            return {}
        plan = model.memory_plan
        settings = Settings(self.path, plan.cells, model.threads, plan.flash)
        server = held.enter_context(Server(rivals, settings, slots=SEQUENCES))

        def generate(count: int, prefix: int = PROMPT_TOKENS) -> Callable[[], Measured]:
            return lambda: batched_bench(
                rivals, settings, sequences=count, prefix=prefix, steps=NEW_TOKENS - 1
            )

        return {
            **{BATCHED_BENCH.format(count): generate(count) for count in WIDTHS},
            SAME_CELLS: generate(SEQUENCES, CELLS),
            SERVER: lambda: server.run(
                [[("system", PREFIX), ("user", text)] for text in self._texts()], new=NEW_TOKENS
            ),
        }

    def ours(self, model: LlamaModel, *, together: bool, new: int = NEW_TOKENS) -> Measured:
        """CALLS new sub-calls, in one call or each in its own."""
        requests = [request(text, new) for text in self._texts()]
        groups = [requests] if together else [[one] for one in requests]
        return measured(model, groups)

    def _texts(self) -> list[str]:
        """New words every time, so that only the prefix is in the cache."""
        self._series += 1
        return [words(self._series, call, TAIL_WORDS) for call in range(CALLS)]

    # --------------------------------------------------------------- labels

    def labels(self, model: LlamaModel) -> Figures:
        """Items a second by `choices`, and by writing the label freely."""
        count = 1_000 if model.info.parameters < 30_000_000 else 200
        chosen, written = [], []
        for _ in range(self.rounds):
            for rates, how in (
                (chosen, {"choices": LABELS, "max_tokens": 1}),
                (written, {"max_tokens": ITEM_TOKENS}),
            ):
                self._series += 1
                items = [
                    Request(
                        messages=(
                            Message("system", PREFIX),
                            Message("user", words(self._series, number, ITEM_WORDS)),
                        ),
                        **how,  # type: ignore[arg-type]
                    )
                    for number in range(count)
                ]
                rates.append(count / measured(model, [items]).wall)
        return {
            "labels by choices, items/s": median(chosen),
            f"labels written ({ITEM_TOKENS} tokens), items/s": median(written),
            "choices against writing, x": ratio(chosen, written),
        }

    # ---------------------------------------------------------------- turns

    def a_turn_beside(self, model: LlamaModel) -> Figures:
        """32 sub-calls alone, and with a root's turn of 200 new tokens that comes in between."""
        alone, beside, first = [], [], []
        for number in range(self.rounds):
            requests = [request(text, NEW_TOKENS) for text in self._texts()[:32]]
            alone.append(measured(model, [requests]).wall)
            requests = [request(text, NEW_TOKENS) for text in self._texts()[:32]]
            turn = Request(
                messages=(Message("user", words(number, 0, 200)),),
                max_tokens=1,
                dialogue=f"beside {number}",
            )
            with ThreadPoolExecutor(1) as pool:
                deep = [with_depth(one) for one in requests]
                running = pool.submit(measured, model, [deep])
                time.sleep(alone[-1] / 4)
                first.append(timed(lambda turn=turn: complete(model, turn)))
                beside.append(running.result().wall)
        return {
            "32 sub-calls, s": median(alone),
            "the same beside a root's turn, s": median(beside),
            "slowed by, x": ratio(beside, alone),
            "that turn's first token, s": median(first),
        }

    def turns(self, model: LlamaModel) -> Figures:
        """The first token of a turn, its history in the cache."""

        model.count_tokens("warm")
        round_trips = [timed(lambda: model.count_tokens("x")) for _ in range(50)]
        history = min(4_000, model.info.context_tokens - 600)
        opening = Message("user", words(0, 1, history))
        complete(model, Request(messages=(opening,), max_tokens=1, dialogue="turns"))
        plan = model.memory_plan
        bare = BareDecode(self.path, threads=model.threads, flash=plan.flash, mapped=plan.mapped)
        bare.prefill(0, history)
        ours, theirs = [], []
        for number in range(max(3, self.rounds)):
            turn = (opening, Message("assistant", "Yes."), Message("user", words(1, number, 190)))
            asked = Request(messages=turn, max_tokens=1, dialogue="turns")
            began = time.perf_counter()
            [done] = complete(model, asked)
            took = time.perf_counter() - began
            new = done.prompt_tokens - done.cached_tokens
            bare.cut(0, history)
            theirs.append(bare.prefill(0, new, history))
            ours.append(took)
        return {
            "round trip, ms": 1000 * median(round_trips),
            "history, tokens": history,
            "first token after 200 new ones, ms": 1000 * median(ours),
            "prefill of as many, bare, ms": 1000 * median(theirs),
            "first token against that, x": ratio(ours, theirs),
        }

    def idle_dialogue(self, model: LlamaModel) -> Figures:
        """The same sub-calls with and without a long dialogue that waits for them."""
        alone, beside = [], []
        history = min(4_000, model.info.context_tokens - 600)
        for number in range(self.rounds):
            alone.append(self.ours(model, together=True).cpu)
            turn = Request(
                messages=(Message("user", words(number, 2, history)),),
                max_tokens=1,
                dialogue="idle",
                node="idle",
            )
            complete(model, turn)
            beside.append(self.ours(model, together=True).cpu)
            model.cancel("idle")  # the next round begins without it
        return {"64 sub-calls beside an idle dialogue, CPU, x": ratio(beside, alone)}

    def fresh_process(self) -> Figures:
        """The first token of a new process with a system prompt of 2,000 tokens."""
        asked = Request(
            messages=(Message("system", words(2, 0, 2_000)), Message("user", "the")),
            max_tokens=1,
            dialogue="0",
        )
        with tempfile.TemporaryDirectory() as folder:
            times = []
            for _ in range(1 + self.rounds):
                with LlamaModel(self.path, memory_bytes=MEMORY, states=Path(folder)) as model:
                    times.append(timed(lambda model=model: complete(model, asked)))
                    model.count_tokens("it has been stored")
        return {
            "first token, 2,000 tokens of system prompt, s": times[0],
            "the same in the next process, s": median(times[1:]),
            "the same, %": 100 * median(times[1:]) / times[0],
        }

    def deadlines(self, model: LlamaModel) -> Figures:
        """How late a completion comes back after its deadline, in its reply."""
        late = []
        for number in range(5):
            deadline = time.monotonic() + 0.3
            endless = Request(messages=(Message("user", f"go on {number}"),), max_tokens=100_000)
            model.complete([endless] * 4, deadline=deadline, token_limit=1 << 40)
            late.append(time.monotonic() - deadline)
        return {"late after a deadline, ms": 1000 * max(late)}


STARTING = ("start", "fresh_process")  # they load the model themselves
PARTS = (
    *("turns", "sub_calls", "labels", "a_turn_beside", "idle_dialogue", "deadlines"),
    *STARTING,
)


def request(text: str, new: int) -> Request:
    messages = (Message("system", PREFIX), Message("user", text))
    return Request(messages=messages, max_tokens=new)


def prompt(text: str) -> str:
    """That request as its template has it, for those that take text alone."""
    template = jinja2.Template(models.CHATML)
    return template.render(messages=request(text, 1).messages, add_generation_prompt=True)


def with_depth(one: Request) -> Request:
    return Request(messages=one.messages, max_tokens=one.max_tokens, node="0", depth=1)


def words(series: int, number: int, count: int) -> str:
    """Words that differ from every other's within the first few."""
    return " ".join(Random(10_000 * series + number).choices(WORDS, k=count))


def complete(model: LlamaModel, *requests: Request) -> list[Completion]:
    return model.complete(requests, deadline=time.monotonic() + 3600, token_limit=1 << 40)


def measured(model: LlamaModel, groups: list[list[Request]]) -> Measured:
    """The groups one after the other, each in one call."""

    cpu, began = cpu_seconds(model.pid), time.perf_counter()
    done = [completion for group in groups for completion in complete(model, *group)]
    wall = time.perf_counter() - began
    return Measured(
        wall, cpu_seconds(model.pid) - cpu, sum(completion.completion_tokens for completion in done)
    )


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of what was measured side by side."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["5m", "50m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    asked = parser.parse_args()
    results = {name: Bench(name, asked.rounds).run(asked.only) for name in asked.models}
    figures = next(iter(results.values()))
    report(
        "engine",
        [{"figure": figure, **{n: results[n][figure] for n in results}} for figure in figures],
    )


if __name__ == "__main__":
    main()
