"""What the engine is compared with: llama-cpp-python's own class, llama.cpp with nothing around it,
and the engine's own scheduling with nothing to compute."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from llama_cpp import Llama

from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.engine import Logits, Outcome, Tokens
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.native import Loading, Native, log_warnings_only
from rlm_local.llama.places import Places
from rlm_local.llama.scheduler import Scheduler
from rlm_local.llama.speculation import Lookups, Speculation
from rlm_local.llama.stream import TextStream

# Llama's own module has every line printed, down to those for single tensors.
log_warnings_only()


class Measured(NamedTuple):
    """Wall and CPU seconds of something, and the tokens it made."""

    wall: float
    cpu: float
    tokens: int


class HighLevel:
    """`Llama.create_completion`, one prompt after the other; it keeps the shared prefix itself."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self._llama = Llama(
            str(path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def run(self, texts: list[str], *, new: int) -> Measured:
        cpu, began = time.process_time(), time.perf_counter()
        made = 0
        for text in texts:
            done = self._llama.create_completion(text, max_tokens=new, temperature=0.0)
            made += done["usage"]["completion_tokens"]
        return Measured(time.perf_counter() - began, time.process_time() - cpu, made)


class BareDecode:
    """Nothing but `llama_decode` on ready batches, as llama.cpp's batched-bench does it."""

    def __init__(self, path: Path, *, threads: int, flash: bool, mapped: bool) -> None:
        how = Loading(cells=8_192, batch_tokens=512, threads=threads, flash=flash, mapped=mapped)
        self._native = Native(path, how)

    def prefill(self, sequence: int, count: int, start: int = 0) -> float:
        """Seconds for `count` tokens of a sequence that holds `start`."""
        took = 0.0
        for at in range(start, start + count, 512):
            part = min(512, start + count - at)
            self._native.add(sequence, _some(part), at, output=at + part == start + count)
            took += self._decode()
        return took

    def generate(self, *, sequences: int, prefix: int, steps: int) -> Measured:
        """`steps` tokens for each of `sequences` behind a shared `prefix`, which is not timed."""
        self.clear(sequences)
        self.prefill(0, prefix)
        for number in range(1, sequences):
            self._native.copy(0, number, prefix)
        wall, cpu = 0.0, time.process_time()
        for step in range(steps):
            for number in range(sequences):
                self._native.add(number, _some(1), prefix + step, output=True)
            wall += self._decode()
        return Measured(wall, time.process_time() - cpu, sequences * steps)

    def clear(self, sequences: int) -> None:
        for number in range(sequences):
            self.cut(number, 0)

    def cut(self, sequence: int, length: int) -> None:
        self._native.remove(sequence, length)

    def _decode(self) -> float:
        began = time.perf_counter()
        if self._native.decode() is not Outcome.DONE:
            raise RuntimeError("the batch was not computed")
        return time.perf_counter() - began


def _some(count: int) -> Tokens:
    return np.arange(100, 100 + count, dtype=np.int32) % 1_000


class NothingToCompute:
    """An `Engine` whose batches take no time."""

    bos = None
    room_tokens = 512

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = self
        self.aborted = False
        self._rows = np.random.default_rng(0).standard_normal((64, vocabulary)).astype(np.float32)
        self._count = self._outputs = self._made = 0

    @property
    def room(self) -> int:
        return self.room_tokens - self._count

    def add(self, sequence: int, tokens: Tokens, position: int, *, output: int) -> None:
        self._count += len(tokens)
        self._outputs += output

    def decode(self) -> Outcome:
        self._made, self._count, self._outputs = self._outputs, 0, 0
        return Outcome.DONE

    def logits(self) -> Logits:
        return self._rows[: self._made]

    def copy(self, source: int, target: int, length: int) -> None: ...

    def remove(self, sequence: int, start: int) -> None: ...

    def state_bytes(self, sequence: int) -> int:
        return 0

    def save(self, sequence: int, into: memoryview) -> bool:
        return False

    def restore(self, sequence: int, state: memoryview) -> bool:
        return False

    def tokenize(self, text: str) -> Tokens:
        return _some(len(text))

    def piece(self, token: int) -> bytes:
        return b"a"

    def ends(self, token: int) -> bool:
        return False

    def strips(self, token: int) -> tuple[bool, bool]:
        return False, False


def scheduling_seconds(*, calls: int, prefix: int, own: int, new: int, parallel: int) -> float:
    """CPU seconds of our own code, guesses included, for each token that sub-calls make."""
    engine = NothingToCompute(vocabulary=16_384)
    cache = PrefixCache(engine, cells=40_000, sequences=64)
    scheduler = Scheduler(
        engine,
        cache,
        places=Places(parallel, parallel),
        speculator=Speculation(Lookups()),
    )
    random = np.random.default_rng(1)
    jobs = [
        Job(
            np.concatenate([_some(prefix), random.integers(0, 9_999, own).astype(np.int32)]),
            max_tokens=new,
            stream=TextStream(fence=False),
            node="0",
            depth=1,
        )
        for _ in range(calls)
    ]
    call = Call(1, jobs, token_limit=1 << 40)
    began = time.process_time()
    scheduler.submit(call)
    while call.unfinished:
        scheduler.step()
    return (time.process_time() - began) / sum(job.made for job in jobs)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
