"""The process that owns the weights: `python -m rlm_local.llama.worker IN OUT BYTES`.

IN and OUT are inherited pipes, BYTES is the memory it may allocate. One thread listens, so that a
cancellation, a deadline or the parent's end is acted upon while the other computes:

    listener: reads commands, arms the deadline, aborts the decode, ends the process
    main:     takes the commands in order, and is the only one to use llama.cpp

It ends when the parent closes its pipe or dies, and whenever llama.cpp chooses.
"""

from __future__ import annotations

import math
import os
import queue
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rlm_local.errors import ModelError, WindowError
from rlm_local.llama import protocol
from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.chat import Chat, ChatFormat
from rlm_local.llama.memory import SEQUENCES, MemoryPlan
from rlm_local.llama.native import Loading, Native, uses_gpu
from rlm_local.llama.protocol import Cancel, Command, Complete, Completed, Count, Counted, Load
from rlm_local.llama.sampling import Sampler
from rlm_local.llama.scheduler import Job, Scheduler
from rlm_local.llama.stream import TextStream
from rlm_local.records import Request

REPLY_TOKENS = 32  # a prompt that leaves less of the window does not fit
_SAMPLE_CHARS = 1 << 18
_LARGE_CHARS = 1 << 20
_LONGEST_WAIT = 3600.0  # seconds; a wait in `select` must be finite


class Listener:
    """Reads the parent's commands into a queue, and stops the decode when it must."""

    def __init__(self, pipe: int) -> None:
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._pipe = pipe
        self._alarm, self._wake = os.pipe()  # a byte here: the deadline has changed
        self._lock = threading.Lock()
        self._native: Native | None = None
        self._deadline = math.inf
        self._current = 0
        self._cancelled: set[int] = set()
        threading.Thread(target=self._run, name="listener", daemon=True).start()

    def attach(self, native: Native) -> None:
        """Whose decode to stop."""
        self._native = native

    def next_command(self) -> Command:
        """The next command; waits for it. From here on its deadline and cancellation count."""
        command = self._commands.get()
        if isinstance(command, Complete) and self._native is not None:
            with self._lock:
                self._native.resume()
                self._current = command.id
                self._deadline = command.deadline
                # Parents number their calls upwards: what came before is over.
                self._cancelled = {number for number in self._cancelled if number >= command.id}
                if command.id in self._cancelled or time.monotonic() >= command.deadline:
                    self._stop()
            os.write(self._wake, b"!")
        return command

    def _run(self) -> None:
        try:
            while True:
                wait = min(self._deadline - time.monotonic(), _LONGEST_WAIT)
                ready = select.select([self._pipe, self._alarm], [], [], max(0.0, wait))[0]
                if self._alarm in ready:
                    os.read(self._alarm, 64)
                if self._pipe in ready:
                    self._take(protocol.receive_command(self._pipe))
                with self._lock:
                    if time.monotonic() >= self._deadline:
                        self._stop()
        except protocol.Closed:
            # The parent is done, or dead. There is nothing to save, and the main
            # thread may be deep inside llama.cpp.
            os._exit(0)

    def _take(self, command: Command) -> None:
        if not isinstance(command, Cancel):
            self._commands.put(command)
            return
        with self._lock:
            self._cancelled.add(command.id)
            if command.id == self._current:
                self._stop()

    def _stop(self) -> None:
        self._deadline = math.inf
        if self._native is not None:
            self._native.abort()


class Worker:
    """A loaded model that answers commands."""

    def __init__(self, load: Load, reply_pipe: int) -> None:
        self._plan: MemoryPlan = load.plan
        self._pipe = reply_pipe
        how = Loading(
            cells=load.plan.cells,
            batch_tokens=load.plan.batch_tokens,
            threads=load.threads,
            flash=load.plan.flash,
            mapped=load.plan.mapped,
            check_tensors=load.check,
        )
        self._fraction = 0.0
        self.native = Native(Path(load.path), how, progress=self._progress)
        vocabulary = self.native.vocabulary
        self._vocabulary = vocabulary
        self._chat = Chat(vocabulary, ChatFormat(load.template, load.specials, load.bos, load.eos))
        cache = PrefixCache(self.native, cells=load.plan.cells, sequences=SEQUENCES)
        self._scheduler = Scheduler(self.native, cache, parallel=load.plan.parallel)

    def _progress(self, fraction: float) -> None:
        if fraction - self._fraction >= 0.01:
            self._fraction = fraction
            protocol.send(self._pipe, protocol.Loading(fraction=fraction))

    def answer(self, command: Command) -> protocol.Reply:
        """The reply to a `Complete` or `Count`. Raises ModelError, WindowError."""
        if isinstance(command, Complete):
            jobs = self._jobs(command.requests)
            self._scheduler.run(jobs, token_limit=command.token_limit)
            completions = tuple(job.completion() for job in jobs)
            return Completed(id=command.id, completions=completions)
        if isinstance(command, Count):
            return Counted(id=command.id, tokens=len(self._vocabulary.tokenize(command.text)))
        raise ModelError(f"the worker has no answer to {type(command).__name__}")

    def _jobs(self, requests: Sequence[Request]) -> list[Job]:
        return [self._job(request, index) for index, request in enumerate(requests)]

    def _job(self, request: Request, index: int) -> Job:
        window = self._plan.context_tokens
        fits = window - min(request.max_tokens, REPLY_TOKENS, window // 2)
        self._check_length(request, fits, index)
        prompt = self._chat.tokens(request.messages)
        if len(prompt) > fits:
            raise WindowError(len(prompt), fits, index=index)
        return Job(
            prompt,
            max_tokens=min(request.max_tokens, window - len(prompt)),
            stream=TextStream(fence=request.stop == "fence", stops=self._chat.stops),
            sampler=Sampler(request.temperature, request.seed) if request.temperature else None,
            dialogue=request.dialogue,
        )

    def _check_length(self, request: Request, fits: int, index: int) -> None:
        """Refuse what is far too long without tokenizing all of it."""
        for message in request.messages:
            if len(message.content) <= _LARGE_CHARS:
                continue
            sample = len(self._vocabulary.tokenize(message.content[:_SAMPLE_CHARS]))
            estimate = sample * len(message.content) // _SAMPLE_CHARS
            if estimate > 4 * fits:
                raise WindowError(estimate, fits, index=index)


def main(command_pipe: int, reply_pipe: int, memory_bytes: int) -> None:
    # Ctrl-C is the parent's to handle: it ends us by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not uses_gpu():  # GPU drivers reserve far more than they use
        _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)  # the weights are on disk already
    listener = Listener(command_pipe)
    load = listener.next_command()
    if not isinstance(load, Load):
        sys.exit("the first command was not to load a model")
    try:
        worker = Worker(load, reply_pipe)
    except ModelError as error:
        protocol.send(reply_pipe, protocol.Failed(id=0, message=str(error), hint=error.hint))
        sys.exit(1)
    listener.attach(worker.native)
    protocol.send(reply_pipe, protocol.Loaded())
    while True:
        protocol.send(reply_pipe, _answer(worker, listener.next_command()))


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(kind, (most, most))


def _answer(worker: Worker, command: Command) -> protocol.Reply:
    number = command.id if isinstance(command, Complete | Count) else 0
    try:
        return worker.answer(command)
    except WindowError as error:
        return protocol.TooLong(id=number, tokens=error.tokens, fits=error.fits, index=error.index)
    except ModelError as error:
        return protocol.Failed(id=number, message=str(error), hint=error.hint)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
