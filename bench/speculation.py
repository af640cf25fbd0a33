"""Guessed tokens, on and off: turns that repeat what stands before them, and turns that do not.

    python -m bench.speculation [--rounds N] [MODEL …]

A MODEL is one of bench.models, or a path; 5m and 50m unless others are named.

Weights drawn at random copy nothing. So where a turn is to repeat its prompt, what it
says is laid down beforehand: it is chosen whatever the logits are, at the full price of
computing them. Free text is what the weights do say, and so are the turns of rlm-nano,
those that the runtime asked for while it answered questions. A draft model is tried on
rlm-nano with idle layers, which says the same and takes longer: so its guesses are as
good as guesses can be.

On and off take turns within one run, each with a scheduler of its own, one thread each.
Prompts are in the cache: what is measured is generating. What is guessed is learned
anew with each model, and the learning is in the figures. Results go to
bench/out/speculation.json.
"""

from __future__ import annotations

import argparse
import inspect
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench import models
from bench.engine import words
from bench.report import report
from models.nano.folders import WEIGHTS
from models.nano.tasks import needle_task
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, cells, lookup, modelfile, places, sampling
from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.chat import Chat, ChatFormat
from rlm_local.llama.draft import DraftModel
from rlm_local.llama.engine import Logits
from rlm_local.llama.intake import Intake
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.memory import plan
from rlm_local.llama.native import Loading, Native
from rlm_local.llama.places import Places
from rlm_local.llama.scheduler import Scheduler
from rlm_local.llama.speculation import Lookups, Speculation
from rlm_local.model import ModelWrapper
from rlm_local.records import Completion, Message, Request
from rlm_local.runs import RunStore
from rlm_local.runtime import Runtime

MEMORY = 4096 * MIB
NODE = "0"
NEW_TOKENS = 256
NANO_RUNS = 10
IDLE_LAYERS = 36
NANO_SEED = 6 * 10**12
_SOURCES = (cells, lookup, places, sampling)  # modules whose text is code to be repeated

Script = Callable[[int], tuple[str, str]]  # a number → what is asked, what is said


class Scripted:
    """A `Picker` that says what was laid down, whatever the logits are."""

    def __init__(self, tokens: Sequence[int], end: int) -> None:
        self._left = [*tokens[::-1]]
        self._end = end

    def __call__(self, logits: Logits) -> int:
        logits.argmax()  # as greedy choosing would
        return self._left.pop() if self._left else self._end

    def close(self) -> None: ...


class Engine:
    """A model within this process, with a scheduler that guesses and one that does not.

    `draft`: a draft model guesses too.
    """

    def __init__(self, path: Path, *, draft: Path | None = None) -> None:
        file = modelfile.inspect(path)
        made = plan(file, memory_bytes=MEMORY)
        how = Loading(
            cells=made.cells,
            batch_tokens=made.batch_tokens,
            threads=1,
            flash=made.flash,
            mapped=made.mapped,
        )
        self._native = Native(path, how)
        self._vocabulary = self._native.vocabulary
        self._end = file.eos
        form = ChatFormat(file.template, file.specials, file.bos, file.eos)
        self._intake = Intake(
            Chat(self._vocabulary, form),
            self._vocabulary,
            window=made.context_tokens,
            end=file.eos,
            grammar=self._native.grammar,
        )
        self._cache = PrefixCache(self._native, cells=made.cells, sequences=64)
        self.speculator = Speculation(Lookups())
        if draft is not None:
            small = Native(draft, how)
            size = self._vocabulary.size
            self.speculator = Speculation(
                Lookups(), DraftModel(small, cells=made.cells, sequences=64, vocabulary=size)
            )
        self._schedulers = {
            guessing: Scheduler(
                self._native,
                self._cache,
                places=Places(8, 32),
                speculator=self.speculator if guessing else None,
                clock=time.process_time,
            )
            for guessing in (False, True)
        }
        self._calls = 0

    def forget(self) -> None:
        """Empty the cache: what it holds makes every step longer."""
        self._cache.forget(NODE)

    def run(
        self, requests: Sequence[Request], *, guessing: bool, said: str | None = None
    ) -> tuple[float, list[Completion]]:
        """CPU seconds for the replies to `requests`, whose prompts are computed before."""
        self._finish(self._intake.jobs([_first_token(one) for one in requests]), guessing=False)
        jobs = self._intake.jobs(requests)
        if said is not None:
            for job in jobs:
                job.picker = Scripted(self._vocabulary.tokenize(said).tolist(), self._end)
        seconds = self._finish(jobs, guessing=guessing)
        return seconds, [job.completion() for job in jobs]

    def _finish(self, jobs: list[Job], *, guessing: bool) -> float:
        scheduler = self._schedulers[guessing]
        self._calls += 1
        call = Call(self._calls, jobs, token_limit=1 << 40)
        began = time.process_time()
        scheduler.submit(call)
        while call.unfinished:
            scheduler.step()
        seconds = time.process_time() - began
        scheduler.take_finished()
        return seconds


def _first_token(request: Request) -> Request:
    return msgspec.structs.replace(request, max_tokens=1)


# ------------------------------------------------------------------ what is asked and said


def cell_again(number: int) -> tuple[str, str]:
    """A cell failed, and is written again with a line in eight changed."""
    rng = random.Random(number)
    lines = inspect.getsource(_SOURCES[number % len(_SOURCES)]).splitlines()
    start = rng.randrange(len(lines) - 24)
    cell = lines[start : start + 24]
    again = [
        f"{line}  # {words(number, at, 4)}" if rng.random() < 1 / 8 else line
        for at, line in enumerate(cell)
    ]
    asked = "```repl\n" + "\n".join(cell) + "\n```\nNameError: name 'len' is not known\n"
    return asked, "```repl\n" + "\n".join(again) + "\n```"


def copy_whole(number: int) -> tuple[str, str]:
    """A passage of the prompt, word for word."""
    passage = words(number, 0, 200)
    return f"{words(number, 1, 100)} {passage} {words(number, 2, 100)}", f" {passage}"


def quotes(number: int) -> tuple[str, str]:
    """New words, and between them ten at a time from the prompt: half of all."""
    text = words(number, 0, 400).split()
    rng = random.Random(number)
    said = []
    for part in range(10):
        at = rng.randrange(len(text) - 10)
        said += [*words(number, 2 + part, 10).split(), *text[at : at + 10]]
    return " ".join(text), " " + " ".join(said)


SCRIPTS: dict[str, Script] = {
    "a cell again, a line in 8 changed": cell_again,
    "a passage copied": copy_whole,
    "new words and quotes": quotes,
}


# ---------------------------------------------------------------------------- measuring


class Turns:
    """Turns of one kind: for each round requests that run together, and what is said to them."""

    def __init__(
        self,
        name: str,
        requests: Callable[[int], list[Request]],
        said: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self.name = name
        self.requests = requests
        self.said = said

    def measure(self, engine: Engine, model: str, rounds: int) -> dict[str, object]:
        """One line of the table: off and on in turns, medians over `rounds`."""
        engine.forget()
        computed, right = engine.speculator.computed, engine.speculator.right
        rates: dict[bool, list[float]] = {False: [], True: []}
        equal = total = 0
        for number in range(rounds):
            texts = {}
            for guessing in (False, True) if number % 2 else (True, False):
                seconds, done = engine.run(
                    self.requests(number), guessing=guessing, said=self.said(number)
                )
                rates[guessing].append(sum(one.completion_tokens for one in done) / seconds)
                texts[guessing] = [one.text for one in done]
            equal += sum(a == b for a, b in zip(texts[False], texts[True], strict=True))
            total += len(texts[True])
        ratios = [on / off for off, on in zip(rates[False], rates[True], strict=True)]
        computed = engine.speculator.computed - computed
        right = engine.speculator.right - right
        return {
            "model": model,
            "turns": self.name,
            "off, tokens/s": median(rates[False]),
            "on, tokens/s": median(rates[True]),
            "on against off, x": median(ratios),
            "first, x": ratios[0],
            "guessed": computed,
            "right, %": 100 * right / max(1, computed),
            "equal": f"{equal} of {total}",
        }


def free(count: int) -> Turns:
    """`count` replies together that are whatever the weights say."""

    def requests(number: int) -> list[Request]:
        return [
            request(words(number, at, 300), dialogue=f"free {at}", most=NEW_TOKENS)
            for at in range(count)
        ]

    return Turns("free text" + (f", {count} together" if count > 1 else ""), requests)


def scripted(name: str, script: Script) -> Turns:
    return Turns(
        name,
        lambda number: [request(script(number)[0], dialogue="scripted", most=2_000)],
        lambda number: script(number)[1],
    )


def request(text: str, *, dialogue: str, most: int) -> Request:
    messages = (Message("user", text),)
    return Request(messages=messages, max_tokens=most, dialogue=dialogue, node=NODE)


class Recording(ModelWrapper):
    """Keeps what is asked of a model."""

    def __init__(self, path: Path) -> None:
        super().__init__(LlamaModel(path, memory_bytes=MEMORY))
        self.requests: list[Request] = []

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        self.requests += requests
        return super().complete(requests, deadline=deadline, token_limit=token_limit)


def nano_turns() -> list[Turns]:
    """What the runtime asked of rlm-nano, by the turn."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Recording(WEIGHTS) as model,
        Runtime(model=model, store=RunStore(Path(folder))) as runtime,
    ):
        for number in range(NANO_RUNS):
            task = needle_task(NANO_SEED + number, "held", 100_000)
            runtime.ask(task.question, task.texts[0] if task.single else list(task.texts))
    turns: dict[int, list[Request]] = {}
    for one in model.requests:
        turns.setdefault(one.turn, []).append(one)
    return [
        Turns(
            f"turn {turn} of {len(asked)} runs",
            lambda number, asked=asked: [asked[number % len(asked)]],  # type: ignore[misc]
        )
        for turn, asked in sorted(turns.items())
    ]


def rows(name: str, rounds: int) -> list[dict[str, object]]:
    """The lines of one model."""
    engine = Engine(models.make(name) if name in models.SHAPES else Path(name))
    kinds = [free(1), free(4), free(16)]
    kinds += [scripted(what, script) for what, script in SCRIPTS.items()]
    return [kind.measure(engine, name, rounds) for kind in kinds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["5m", "50m"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    lines = [line for name in asked.models for line in rows(name, asked.rounds)]
    turns = nano_turns()
    with tempfile.TemporaryDirectory() as folder:
        deep = models.deepened(WEIGHTS, Path(folder) / "deep.gguf", idle=IDLE_LAYERS)
        for name, engine in {
            "rlm-nano": Engine(WEIGHTS),
            f"rlm-nano, {IDLE_LAYERS} idle layers": Engine(deep),
            "the same, rlm-nano as draft": Engine(deep, draft=WEIGHTS),
        }.items():
            lines += [kind.measure(engine, name, NANO_RUNS) for kind in turns]
    report("speculation", lines)


if __name__ == "__main__":
    main()
