"""The process that owns the weights: `python -m rlm_local.llama.worker IN OUT BYTES`.

IN and OUT are inherited pipes, BYTES is the memory it may allocate. One thread listens, so that a
cancellation, a deadline or the parent's end is acted upon while the other computes:

    listener: reads commands, keeps the deadlines, aborts a batch, ends the process
    main:     between two batches takes what has come, and is the only one to use llama.cpp

It ends when the parent closes its pipe or dies, and whenever llama.cpp chooses.
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import rlm_local.llama.bindings  # noqa: F401  # before anything that imports numpy
from rlm_local.errors import FormError, ModelError, RequestError, WindowError
from rlm_local.llama import protocol
from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.chat import Chat, ChatFormat
from rlm_local.llama.draft import DraftModel
from rlm_local.llama.identity import state_key
from rlm_local.llama.intake import Intake
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.listener import Listener
from rlm_local.llama.memory import SEQUENCES
from rlm_local.llama.native import Loading, Native, log_warnings_only, uses_gpu
from rlm_local.llama.places import Places
from rlm_local.llama.protocol import (
    Command,
    Complete,
    Completed,
    Count,
    Counted,
    Forget,
    Load,
    Reply,
)
from rlm_local.llama.scheduler import Scheduler
from rlm_local.llama.speculation import Lookups, Speculation
from rlm_local.llama.states import PrefixStore, Swap
from rlm_local.llama.watch import Place

LEAST_PLACES = 8  # sequences decoded together, before it is known how many are worth it

_COUNTED_CHARS = 1 << 20  # at once: the tokenizer takes much memory


class Worker:
    """A loaded model that answers commands."""

    def __init__(self, load: Load, listener: Listener, reply_pipe: int) -> None:
        self._listener = listener
        self._watch = listener.watch
        self._pipe = reply_pipe
        how = Loading(
            cells=load.plan.cells,
            batch_tokens=load.plan.batch_tokens,
            threads=load.threads,
            flash=load.plan.flash,
            mapped=load.plan.mapped,
            check_tensors=load.check,
            adapters=load.adapters,
            kv_type=load.plan.kv_type,
            gpu_layers=load.plan.gpu_layers,
        )
        self._fraction = 0.0
        self.native = Native(Path(load.path), how, progress=self._progress)
        vocabulary = self.native.vocabulary
        self._vocabulary = vocabulary
        chat = Chat(vocabulary, ChatFormat(load.template, load.specials, load.bos, load.eos))
        for special in load.specials:  # by its text a thought is told from the reply
            if special.text in (chat.thought_marks or ()):
                vocabulary.spell(special.id, special.text)
        self._intake = Intake(
            chat,
            vocabulary,
            window=load.plan.context_tokens,
            end=load.eos,
            grammar=self.native.grammar,
        )
        self._cache = PrefixCache(
            self.native,
            cells=load.plan.cells,
            sequences=SEQUENCES,
            swap=Swap(Path(load.states or tempfile.gettempdir())),
            store=_store(load),
        )
        places = Places(LEAST_PLACES, load.plan.parallel)
        self._scheduler = Scheduler(
            self.native,
            self._cache,
            places=places,
            speculator=self._speculation(load),
            # CPU time does not tell of the machine's other work, but a GPU's takes none.
            clock=time.perf_counter if uses_gpu() else time.process_time,
            clears=not uses_gpu(),
            attend=lambda job: self._watch.attend(
                Place(job.call.number, job.index) if job else None
            ),
        )

    def _speculation(self, load: Load) -> Speculation | None:
        """Who guesses tokens, if anybody."""
        if not load.speculate:
            return None
        if load.draft is None:
            return Speculation(Lookups())
        plan = load.draft.plan
        how = Loading(
            cells=plan.cells,
            batch_tokens=plan.batch_tokens,
            threads=load.threads,
            flash=plan.flash,
            mapped=plan.mapped,
            kv_type=plan.kv_type,
            gpu_layers=plan.gpu_layers,
        )
        native = Native(Path(load.draft.path), how, beside=self.native)
        model = DraftModel(
            native, cells=plan.cells, sequences=SEQUENCES, vocabulary=self._vocabulary.size
        )
        return Speculation(Lookups(), model)

    def _progress(self, fraction: float) -> None:
        if fraction - self._fraction >= 0.01:
            self._fraction = fraction
            protocol.send(self._pipe, protocol.Loading(fraction=fraction))

    def run(self) -> NoReturn:
        """Answer what the listener hears, for good."""
        while True:
            due = self._listener.due()
            for command in self._listener.take(wait=not self._scheduler.busy):
                self._begin(command)
            for number in due:
                self._scheduler.end(number, "deadline")
            try:
                self._scheduler.step()
            except ModelError as error:
                for call in self._scheduler.reset():
                    self._reply(_failure(call.number, error))
            with self._listener.finishing:
                for call in self._scheduler.take_finished():
                    completions = tuple(job.completion() for job in call.jobs)
                    self._reply(Completed(id=call.number, completions=completions))
                if not self._scheduler.busy:
                    self._cache.tend()
                self._watch.attend(None)  # a sign of life, after what may have taken its time

    def _begin(self, command: Command) -> None:
        """Answer `command` at once, or see that it will be."""
        try:
            match command:
                case Complete():
                    jobs = self._jobs(command)
                    self._scheduler.submit(Call(command.id, jobs, token_limit=command.token_limit))
                case Count():
                    self._reply(Counted(id=command.id, tokens=self._count(command.text)))
                case Forget():
                    self._cache.forget(command.node)
        except ModelError as error:
            self._reply(_failure(command.id, error))

    def _jobs(self, command: Complete) -> list[Job]:
        def attend(index: int) -> None:
            self._watch.attend(Place(command.id, index))

        try:
            return self._intake.jobs(command.requests, attend=attend)
        finally:
            self._watch.attend(None)

    def refuse(self, place: Place) -> None:
        """Tell of a request that the main thread does not come back from."""
        error = FormError(
            f"a step of keeping a reply to its form took more than {self._watch.patience:g} s of "
            "CPU time, and ended the model's process",
            hint="give a schema or grammar whose alternatives differ where they begin",
            index=place.at,
        )
        protocol.send(self._pipe, _failure(place.call, error))

    def _count(self, text: str) -> int:
        """Tokens of `text`; of a long one, up to a few more at each of the cuts."""
        tokens = 0
        for at in range(0, len(text), _COUNTED_CHARS):
            tokens += len(self._vocabulary.tokenize(text[at : at + _COUNTED_CHARS]))
            self._watch.attend(None)
        return tokens

    def _reply(self, reply: Reply) -> None:
        self._listener.answered(reply.id)
        protocol.send(self._pipe, reply)


def main(command_pipe: int, reply_pipe: int, memory_bytes: int) -> None:
    # Ctrl-C is the parent's to handle: it ends us by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not uses_gpu():  # GPU drivers reserve far more than they use
        _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)  # the weights are on disk already
    log_warnings_only()  # what is written last is all that tells why it died
    listener = Listener(command_pipe)
    load = listener.first()
    if not isinstance(load, Load):
        sys.exit("the first command was not to load a model")
    try:
        worker = Worker(load, listener, reply_pipe)
    except ModelError as error:
        protocol.send(reply_pipe, protocol.Failed(id=0, message=str(error), hint=error.hint))
        sys.exit(1)
    listener.attach(worker.native, refuse=worker.refuse)
    protocol.send(reply_pipe, protocol.Loaded())
    worker.run()


def _store(load: Load) -> PrefixStore | None:
    if not (load.states and load.identity):
        return None
    key = state_key(load.identity, f"{load.plan.kv_type} flash={load.plan.flash}")
    return PrefixStore(Path(load.states) / key)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(kind, (most, most))


def _failure(number: int, error: ModelError) -> Reply:
    if isinstance(error, RequestError):
        refused = tuple(_refusal(each) for each in (error, *error.others))
        return protocol.Refused(id=number, requests=refused)
    return protocol.Failed(id=number, message=str(error), hint=error.hint)


def _refusal(error: RequestError) -> protocol.TooLong | protocol.Malformed:
    if isinstance(error, WindowError):
        return protocol.TooLong(tokens=error.tokens, fits=error.fits, index=error.index)
    return protocol.Malformed(message=str(error), hint=error.hint, index=error.index)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
