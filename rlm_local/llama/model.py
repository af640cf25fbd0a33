"""A GGUF model as a `Model`: checked, planned, and run in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rlm_local.closing import Closing
from rlm_local.errors import FormError, ModelError, RequestError, WindowError, WorkerDied
from rlm_local.forms.outgoing import encodable, outgoing
from rlm_local.llama.devices import Device
from rlm_local.llama.devices import find as find_gpus
from rlm_local.llama.drafting import Draft, plan_with
from rlm_local.llama.identity import identity, reply_identity, weights
from rlm_local.llama.memory import MemoryPlan
from rlm_local.llama.modelfile import ModelFile, inspect
from rlm_local.llama.process import Exchange, WorkerProcess
from rlm_local.llama.protocol import (
    MOST_BYTES,
    Cancel,
    Complete,
    Completed,
    Count,
    Counted,
    Failed,
    Forget,
    Load,
    Loaded,
    Loading,
    Malformed,
    Refused,
    Reply,
    TooLong,
    bytes_of,
)
from rlm_local.llama.succession import Succession
from rlm_local.llama.threads import default_threads
from rlm_local.model import Interrupted, is_within, nothing_done
from rlm_local.records import Adapter, Completion, KvChoice, LayerChoice, ModelInfo, Request
from rlm_local.thoughts import marks_of

LOAD_SECONDS = 1_800.0
GRACE_SECONDS = 20.0  # after a deadline, for a batch to stop
INTERRUPT_SECONDS = 3.0  # after Ctrl-C, for what there is to come back
_TEXT_SECONDS = 600.0  # for tokenizing one text


class LlamaModel(Closing):
    """A model file, loaded in a worker process.

    Raises ModelFileError, ModelMemoryError, ConfigError before anything is loaded,
    WorkerDied and ModelError if loading fails. `name` is what it is called, by default what
    its file says, which other files may say too. `adapters` change the model for all
    that it is asked. `progress` is given the loaded
    fraction. When the worker dies, `notice` is told how, and a new one takes over
    the calls that were under way: once in `succession.RESTART_SECONDS`. At a second death
    within that time they end with WorkerDied.
    `states`: a folder, the user's own, where system prompts are kept as the model
    has read them, so that the next process need not read them again. For
    `context_tokens`, `kv_type` and `gpu_layers` see `plan`; `gpu_share` is the part
    that the model may take of what is free on GPUs. `speculate`: compute guessed tokens
    along where that is faster; see `speculation`. `draft`: the file of a small model with
    the same tokens, which guesses too; raises DraftError.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory_bytes: int,
        name: str = "",
        adapters: Sequence[Adapter] = (),
        context_tokens: int | None = None,
        kv_type: KvChoice = "auto",
        gpu_layers: LayerChoice = "auto",
        gpu_share: float = 1.0,
        threads: int | None = None,
        progress: Callable[[float], None] | None = None,
        notice: Callable[[str], None] | None = None,
        states: Path | None = None,
        speculate: bool = True,
        draft: Path | None = None,
    ) -> None:
        self._file = inspect(path, adapters)
        memory_bytes = min(memory_bytes, physical_bytes())
        self._plan, self._draft = plan_with(
            self._file,
            draft if speculate else None,
            memory_bytes=memory_bytes,
            context_tokens=context_tokens,
            kv_type=kv_type,
            gpus=[gpu.share(gpu_share) for gpu in usable_gpus(gpu_layers, notice=notice)],
            gpu_layers=gpu_layers,
        )
        self.threads = threads or default_threads(self._file.parameters)
        self._ids = itertools.count(1)
        self._running: dict[int, Complete] = {}
        self._cancelled: set[int] = set()
        self._identity = identity(self._file)
        self._info = ModelInfo(
            name="+".join([name or self._file.name, *map(_label, adapters)]),
            path=self._file.path,
            context_tokens=self._plan.context_tokens,
            profile=self._file.profile,
            parameters=self._file.parameters,
            file_bytes=self._file.file_bytes,
            thinks=thinks(self._file),
            adapters=tuple(adapters),
            weights=weights(self._file),
            identity=reply_identity(
                self._identity,
                kv_type=self._plan.kv_type,
                flash=self._plan.flash,
                gpu_layers=self._plan.gpu_layers,
            ),
        )
        self._workers = Succession(
            lambda born: start_worker(
                self._file,
                self._plan,
                self.threads,
                progress=progress,
                identity=self._identity,
                states=states,
                speculate=speculate,
                draft=self._draft,
                born=born,
            ),
            notice=notice,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def memory_plan(self) -> MemoryPlan:
        return self._plan

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._workers.worker.pid

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`.

        Of a prompt that a limit cut off before its reply began, `prompt_tokens`
        counts what was processed. Raises FormError for more than `protocol.MOST_BYTES` of text
        at once.
        """
        if not requests:
            return []
        command = Complete(
            id=next(self._ids),
            requests=tuple(_checked(requests)),
            deadline=deadline,
            token_limit=token_limit,
        )
        self._running[command.id] = command
        try:
            reply = self._ask(command, deadline=deadline, grace=GRACE_SECONDS)
        finally:
            del self._running[command.id]
            self._cancelled.discard(command.id)
        if not isinstance(reply, Completed):
            raise ModelError(f"the worker answered with {type(reply).__name__}")
        return list(reply.completions)

    def count_tokens(self, text: str) -> int:
        """See `Model.count_tokens`. Raises ModelError for more than `protocol.MOST_BYTES`."""
        text = encodable(text)
        if (size := bytes_of(text)) > MOST_BYTES:
            raise ModelError(
                f"a text of {size:,} bytes was to be counted, and {MOST_BYTES:,} are taken at once",
                hint="count it in parts",
            )
        command = Count(id=next(self._ids), text=text)
        reply = self._ask(command, deadline=time.monotonic() + _TEXT_SECONDS)
        if not isinstance(reply, Counted):
            raise ModelError(f"the worker answered with {type(reply).__name__}")
        return reply.tokens

    def cancel(self, node: str = "") -> None:
        """See `Model.cancel`."""
        for command in list(self._running.values()):
            if not node or any(is_within(request.node, node) for request in command.requests):
                self._cancelled.add(command.id)
                self._tell(Cancel(id=command.id))
        self._workers.wake()
        if node:
            self._tell(Forget(id=next(self._ids), node=node))

    def close(self) -> None:
        """End the worker. A call that runs in another thread ends with a ModelError."""
        self._workers.close()

    # --------------------------------------------------------------- worker

    def _tell(self, command: Cancel | Forget) -> None:
        with contextlib.suppress(WorkerDied):  # then it has nothing to end or to forget
            self._workers.worker.send(command, until=time.monotonic() + GRACE_SECONDS)

    def _ask(self, command: Complete | Count, *, deadline: float, grace: float = 0.0) -> Reply:
        """The reply to `command`. If the worker dies meanwhile, its successor is asked.

        A call that ends before there is one has nothing done.
        """
        worker = self._workers.worker
        while True:
            if worker.death is not None or self._workers.closed:
                successor = self._workers.after(
                    worker, until=deadline, ended=lambda: command.id in self._cancelled
                )
                if successor is None:
                    return _undone(command, worker.died())
                worker = successor
            try:
                reply = self._exchange(worker, command, max(deadline, time.monotonic()) + grace)
            except WorkerDied:
                if self._workers.closed:
                    raise ModelError("the model was closed") from None
                if time.monotonic() >= deadline:
                    raise
                continue
            match reply:
                case Refused():
                    raise RequestError.of_all([_refusal(each) for each in reply.requests])
                case Failed():
                    raise ModelError(reply.message, hint=reply.hint)
                case _:
                    return reply

    def _exchange(self, worker: WorkerProcess, command: Complete | Count, until: float) -> Reply:
        with worker.exchange(command, until=until) as exchange:
            if command.id in self._cancelled:  # before the worker knew of it
                self._tell(Cancel(id=command.id))
            try:
                return exchange.receive(until=until)
            except KeyboardInterrupt as interrupt:
                if not isinstance(command, Complete):
                    raise
                raise self._interrupted(exchange) from interrupt

    def _interrupted(self, exchange: Exchange) -> Interrupted:
        """What the call under way has made until now. A second Ctrl-C does not wait for it."""
        self._tell(Cancel(id=exchange.number))
        try:
            reply = exchange.receive(until=time.monotonic() + INTERRUPT_SECONDS)
        except ModelError:
            return Interrupted(())
        return Interrupted(reply.completions if isinstance(reply, Completed) else ())


def start_worker(
    file: ModelFile,
    plan: MemoryPlan,
    threads: int,
    *,
    progress: Callable[[float], None] | None = None,
    identity: str = "",
    states: Path | None = None,
    speculate: bool = True,
    draft: Draft | None = None,
    check: bool = False,
    born: Callable[[WorkerProcess], None] = lambda _: None,
) -> WorkerProcess:
    """A worker with the model loaded. `check`: read every weight for validity. `born` is told of
    its process before that.

    Raises WorkerDied, ModelError.
    """
    beside_bytes = draft.plan.host_bytes if draft is not None else 0
    worker = WorkerProcess(memory_bytes=plan.host_bytes + beside_bytes)
    born(worker)
    command = Load(
        path=file.path,
        plan=plan,
        threads=threads,
        template=file.template,
        specials=file.specials,
        bos=file.bos,
        eos=file.eos,
        adapters=tuple(Adapter(path=a.path, scale=a.scale) for a in file.adapters),
        identity=identity,
        states=str(states or ""),
        speculate=speculate,
        draft=draft,
        check=check,
    )
    loaded = False
    try:
        with worker.exchange(command, until=time.monotonic() + LOAD_SECONDS) as exchange:
            while not loaded:
                reply = exchange.receive(until=time.monotonic() + LOAD_SECONDS)
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


def _refusal(told: TooLong | Malformed) -> RequestError:
    if isinstance(told, TooLong):
        return WindowError(told.tokens, told.fits, index=told.index)
    return FormError(told.message, hint=told.hint, index=told.index)


def _undone(command: Complete | Count, death: WorkerDied) -> Reply:
    """What becomes of a call that ends while there is no worker. Raises WorkerDied: nothing can."""
    if isinstance(command, Count):
        raise death
    completions = tuple(nothing_done("deadline") for _ in command.requests)
    return Completed(id=command.id, completions=completions)


def usable_gpus(
    gpu_layers: LayerChoice, *, notice: Callable[[str], None] | None = None
) -> tuple[Device, ...]:
    """The GPUs to plan with: none if no layers are to be there.

    One that cannot be asked for its memory is gone without, and `notice` told so, unless
    layers were asked to be there: that raises ModelError.
    """
    if gpu_layers == 0:
        return ()
    try:
        return find_gpus()
    except ModelError as error:
        if gpu_layers != "auto":
            raise
        if notice is not None:
            notice(f"{error}; the model computes without")
        return ()


def thinks(file: ModelFile) -> bool:
    """Whether the model can write thoughts before its replies."""
    return marks_of(file.template, (special.text for special in file.specials)) is not None


def _checked(requests: Sequence[Request]) -> Iterator[Request]:
    """As they go to the worker. Raises FormError, also where they are too much for one command."""
    size = 0
    for at, request in enumerate(requests):
        ready = outgoing(request, at)
        size += bytes_of(ready)
        if size > MOST_BYTES:
            raise FormError(
                f"the requests of a call have {size:,} bytes up to number {at}, and {MOST_BYTES:,} "
                "are taken at once",
                hint="ask in smaller batches",
                index=at,
            )
        yield ready


def _label(adapter: Adapter) -> str:
    """`style`, or `style:0.5`."""
    scale = "" if adapter.scale == 1 else f":{adapter.scale:g}"
    return f"{Path(adapter.path).stem}{scale}"


def physical_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
