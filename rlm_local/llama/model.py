"""A GGUF model as a `Model`: checked, planned, and run in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rlm_local.errors import ModelError, WindowError, WorkerDied
from rlm_local.llama.memory import MemoryPlan, plan
from rlm_local.llama.modelfile import ModelFile, inspect
from rlm_local.llama.process import WorkerProcess
from rlm_local.llama.protocol import (
    Cancel,
    Complete,
    Completed,
    Count,
    Counted,
    Failed,
    Load,
    Loaded,
    Loading,
    Reply,
    TooLong,
)
from rlm_local.llama.threads import default_threads
from rlm_local.model import Interrupted
from rlm_local.records import Completion, Message, ModelInfo, Request

LOAD_SECONDS = 1_800.0
GRACE_SECONDS = 20.0  # after a deadline, for a batch to stop
INTERRUPT_SECONDS = 3.0  # after Ctrl-C, for what there is to come back
_TEXT_SECONDS = 600.0  # for tokenizing one text


class LlamaModel:
    """A model file, loaded in a worker process.

    Raises ModelFileError, ModelMemoryError, ConfigError before anything is loaded,
    WorkerDied and ModelError if loading fails. `progress` is given the loaded
    fraction. After a WorkerDied the next call starts a new worker, once.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory_bytes: int,
        context_tokens: int | None = None,
        threads: int | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._file = inspect(path)
        self._plan = plan(
            self._file,
            memory_bytes=min(memory_bytes, physical_bytes()),
            context_tokens=context_tokens,
        )
        self.threads = threads or default_threads(self._file.parameters)
        self._progress = progress
        self._ids = itertools.count(1)
        self._running = 0  # the id of the `complete` under way
        self._call_lock = threading.Lock()
        self._closed = False
        self._restarts_left = 1
        self._info = ModelInfo(
            name=self._file.name,
            path=self._file.path,
            context_tokens=self._plan.context_tokens,
            profile=self._file.profile,
            parameters=self._file.parameters,
            file_bytes=self._file.file_bytes,
        )
        self._worker = self._start()

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def memory_plan(self) -> MemoryPlan:
        return self._plan

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._worker.pid

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`.

        Of a prompt that a limit cut off before its reply began, `prompt_tokens`
        counts what was processed.
        """
        if not requests:
            return []
        command = Complete(
            id=next(self._ids),
            requests=tuple(map(_clean, requests)),
            deadline=deadline,
            token_limit=token_limit,
        )
        with self._call_lock:
            self._running = command.id
            try:
                reply = self._ask(command, until=max(deadline, time.monotonic()) + GRACE_SECONDS)
            except KeyboardInterrupt as interrupt:
                raise self._interrupted(command.id) from interrupt
            finally:
                self._running = 0
        return _completions(reply)

    def count_tokens(self, text: str) -> int:
        """See `Model.count_tokens`."""
        command = Count(id=next(self._ids), text=_encodable(text))
        with self._call_lock:
            reply = self._ask(command, until=time.monotonic() + _TEXT_SECONDS)
        if not isinstance(reply, Counted):
            raise ModelError(f"the worker answered with {type(reply).__name__}")
        return reply.tokens

    def cancel(self) -> None:
        """See `Model.cancel`."""
        if running := self._running:
            self._cancel(running)

    def close(self) -> None:
        """End the worker. A call that runs in another thread ends with a ModelError."""
        self._closed = True
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --------------------------------------------------------------- worker

    def _cancel(self, number: int) -> None:
        with contextlib.suppress(WorkerDied):  # then there is nothing left to cancel
            self._worker.send(Cancel(id=number))

    def _interrupted(self, number: int) -> Interrupted:
        """What the call under way has made until now. A second Ctrl-C does not wait for it."""
        self._cancel(number)
        try:
            reply = self._await(number, until=time.monotonic() + INTERRUPT_SECONDS)
        except ModelError:
            return Interrupted(())
        return Interrupted(reply.completions if isinstance(reply, Completed) else ())

    def _ask(self, command: Complete | Count, *, until: float) -> Reply:
        """Send `command` and wait for its reply."""
        try:
            self._living_worker().send(command)
            reply = self._await(command.id, until=until)
        except WorkerDied:
            if self._closed:
                raise ModelError("the model was closed") from None
            raise
        if isinstance(reply, TooLong):
            raise WindowError(reply.tokens, reply.fits, index=reply.index)
        if isinstance(reply, Failed):
            raise ModelError(reply.message, hint=reply.hint)
        return reply

    def _await(self, number: int, *, until: float) -> Reply:
        """The reply to call `number`. Replies to calls that were interrupted are nobody's."""
        while True:
            reply = self._worker.receive(until=until)
            if not isinstance(reply, Loading | Loaded) and reply.id == number:
                return reply

    def _living_worker(self) -> WorkerProcess:
        if self._closed:
            raise ModelError("the model was closed")
        if self._worker.death is not None:
            if not self._restarts_left:
                raise self._worker.death
            self._restarts_left -= 1
            self._worker.close()
            self._worker = self._start()
        return self._worker

    def _start(self) -> WorkerProcess:
        return start_worker(self._file, self._plan, self.threads, progress=self._progress)


def start_worker(
    file: ModelFile,
    plan: MemoryPlan,
    threads: int,
    *,
    progress: Callable[[float], None] | None = None,
    check: bool = False,
) -> WorkerProcess:
    """A worker with the model loaded. `check`: read every weight for validity.

    Raises WorkerDied, ModelError.
    """
    worker = WorkerProcess(memory_bytes=plan.total_bytes)
    loaded = False
    try:
        worker.send(
            Load(
                path=file.path,
                plan=plan,
                threads=threads,
                template=file.template,
                specials=file.specials,
                bos=file.bos,
                eos=file.eos,
                check=check,
            )
        )
        while not loaded:
            reply = worker.receive(until=time.monotonic() + LOAD_SECONDS)
            if isinstance(reply, Failed):
                worker.close()  # so that all it wrote has been read
                raise ModelError(
                    worker.with_last_words(reply.message),
                    hint=reply.hint or "use another conversion of the model",
                )
            if isinstance(reply, Loading) and progress is not None:
                progress(reply.fraction)
            loaded = isinstance(reply, Loaded)
    finally:
        if not loaded:
            worker.close()
    return worker


def _completions(reply: Reply) -> list[Completion]:
    if not isinstance(reply, Completed):
        raise ModelError(f"the worker answered with {type(reply).__name__}")
    return list(reply.completions)


def physical_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _clean(request: Request) -> Request:
    """The request with text that can be UTF-8: lone surrogates become '?'."""
    messages = request.messages
    if all(message.content.isascii() for message in messages):
        return request
    cleaned = tuple(Message(m.role, _encodable(m.content)) for m in messages)
    return msgspec.structs.replace(request, messages=cleaned)


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
