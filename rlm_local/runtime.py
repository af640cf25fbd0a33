"""Wiring, and who lives how long.

A `Runtime` holds the models (`engines`) and a sandbox for any number of questions, one
at a time. All start on threads of their own while the first prompt is being read.
`ask` is the same for one question.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec.structs import replace

from rlm_local import controller
from rlm_local.asked import Context, check_asked, open_context
from rlm_local.budget import Budget
from rlm_local.catalog import DEFAULT_MODEL, find, verified
from rlm_local.closing import Closing
from rlm_local.engines import Engines, Lora, Report, Room, Wanted, check_remote, wanted
from rlm_local.errors import UsageError
from rlm_local.eventfile import RunWriter, sync_files
from rlm_local.journal import Journal, Recorder
from rlm_local.limits import Limits
from rlm_local.memo import MemoModel
from rlm_local.model import Model
from rlm_local.options import ModelOptions
from rlm_local.past import PASSING
from rlm_local.paths import cache_folder
from rlm_local.prompt import Prompt
from rlm_local.records import Adapter, Answer, Event, Mode, TurnForm
from rlm_local.remote import is_url
from rlm_local.runs import CHECKPOINTS, PROMPT, SETUP_FORMAT, RunSetup, RunStore
from rlm_local.sandbox import Sandbox
from rlm_local.starting import Starting

if TYPE_CHECKING:
    from rlm_local.replies import ReplyStore

#: Called with a stage ("reading", "loading"), what is done and what there is (0: not known).
Progress = Callable[[str, int, int], None]


def ask(
    question: str,
    context: Context,
    *,
    model: str | Path | Model = DEFAULT_MODEL,
    sub_model: str | Path | Model | None = None,
    lora: Lora = (),
    sub_lora: Lora = (),
    limits: Limits | None = None,
    reuse_calls: bool = False,
    mode: Mode = "auto",
    turn_form: TurnForm = "auto",
    on_event: Callable[[Event], None] | None = None,
    seed: int = 0,
) -> Answer:
    """Answer `question` about `context`, with a local model and nothing else.

    `context`: a str is the text itself and a Path names a file or a folder; a
    list of either is several documents, and so is a dict from name to text.
    `model`: a name of the catalogue, the path of a GGUF file, the URL of a server (see
    `rlm_local.remote.address`), or a Model. It takes the turns, and answers plain calls
    (`llm_query`) too unless `sub_model` is to. `lora` and
    `sub_lora` are LoRA adapters for them, each a path or "PATH:SCALE".
    `reuse_calls`: a plain call that was answered in another run of this kind costs
    nothing. `mode`
    "auto" gives a prompt that fits the window straight to the model, if it is a
    model for that. `turn_form` "block" has each turn be text and one block of code,
    "free" has it be as the model likes. `on_event` gets every event of the run, once it is on disk.

    A run that a limit ends returns what was found; `Answer.stop` says why. Raises
    RlmError for what cannot be done at all, as in `rlm_local.errors`.
    """
    with Runtime(
        model=model,
        sub_model=sub_model,
        lora=lora,
        sub_lora=sub_lora,
        limits=limits,
        reuse_calls=reuse_calls,
    ) as runtime:
        return runtime.ask(
            question, context, mode=mode, turn_form=turn_form, on_event=on_event, seed=seed
        )


class Runtime(Closing):
    """Models and a sandbox for many questions. Use it as a context manager."""

    def __init__(
        self,
        *,
        model: str | Path | Model = DEFAULT_MODEL,
        sub_model: str | Path | Model | None = None,
        lora: Lora = (),
        sub_lora: Lora = (),
        draft_model: str | Path | None = None,
        limits: Limits | None = None,
        options: ModelOptions = ModelOptions(),  # noqa: B008  # frozen
        reuse_calls: bool = False,
        sandbox: Sandbox | None = None,
        store: RunStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Begin to start the parts; nothing is waited for, errors come out of `ask`.

        `sub_lora` without a `sub_model` makes one of `model`, in a worker of its own.
        `draft_model`, a small one with the same tokens, guesses those of `model`, if the
        `options` let tokens be guessed. A model or `sandbox` that is handed over ready
        stays its owner's to close.
        """
        if not isinstance(limits, Limits | None):
            raise UsageError(
                f"the limits are of the type {type(limits).__name__}",
                hint="give Limits, as Limits(turns=3)",
            )
        self.limits = limits if limits is not None else Limits()
        self.store = store if store is not None else RunStore()
        self._options = options
        self._draft_model = draft_model if options.speculate else None
        self._reuse_calls = reuse_calls
        self._progress = progress
        self._closing = threading.Event()
        if sub_model is None and sub_lora:
            sub_model = model
        self._engines = Engines(
            wanted(model, lora, options.context_tokens, self._draft_model),
            None if sub_model is None else wanted(sub_model, sub_lora),
            self._load,
            memory_bytes=self.limits.model_memory_bytes,
            options=options,
            report=self._report,
        )
        self._sandbox = sandbox
        self._starting_sandbox: Starting[Sandbox] | None = None
        if sandbox is None:
            self._starting_sandbox = Starting(
                lambda: start_sandbox(lambda stage: self._report(stage)(0, 0))
            )

    @property
    def model(self) -> Model:
        """The model that takes turns, once it is loaded. Raises ModelError."""
        return self._engines.model

    @property
    def sub_model(self) -> Model:
        """The model for plain calls: the same, unless there are two. Raises ModelError."""
        return self._engines.sub_model

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox, once it is ready. Raises SandboxError."""
        if self._sandbox is None:
            self._sandbox = cast("Starting[Sandbox]", self._starting_sandbox).result()
        return self._sandbox

    def ask(
        self,
        question: str,
        context: Context,
        *,
        mode: Mode = "auto",
        turn_form: TurnForm = "auto",
        on_event: Callable[[Event], None] | None = None,
        seed: int = 0,
    ) -> Answer:
        """As `rlm_local.ask`."""
        check_asked(question, seed, mode=mode, turn_form=turn_form)
        with contextlib.ExitStack() as opened:
            prompt = self.open(context)
            if prompt is not context:
                opened.enter_context(prompt)
            self._wait_for_parts()
            run = opened.enter_context(self.begin(prompt))
            checkpoints = self.store.folder / run.run_id / CHECKPOINTS
            return self.carry_out(
                run.run_id,
                question,
                prompt,
                Journal(recorder(run, on_event), checkpoints=checkpoints),
                limits=self.limits,
                mode=mode,
                turn_form=turn_form,
                seed=seed,
            )

    def open(
        self,
        context: Context,
        *,
        stdin: BinaryIO | None = None,
        replace_bad_bytes: bool = False,
    ) -> Prompt:
        """Make `context` a prompt: spooled, checked, ready to be asked about many times.

        The path `-` stands for `stdin`. Raises PromptError.
        """
        return open_context(
            context,
            stdin=stdin,
            bad_bytes="replace" if replace_bad_bytes else "error",
            progress=self._report("reading"),
        )

    def close(self) -> None:
        """Stop the parts that were started here. Closing twice is harmless."""
        self._closing.set()
        for part in (self._engines, self._starting_sandbox):
            if part is not None:
                part.close()

    def _wait_for_parts(self) -> tuple[Model, Model, Sandbox]:
        """Raise now what keeps them from being there: that is no run worth a record."""
        return self.model, self.sub_model, self.sandbox

    @contextmanager
    def begin(self, prompt: Prompt) -> Iterator[RunWriter]:
        """Begin the record of a run over `prompt`, so that it can be taken up again.

        A run of which nothing comes on record, since its prompt cannot be kept or the
        question cannot be asked so, leaves nothing behind.
        """
        info = self.model.info
        sub_info = self.sub_model.info if self._engines.two else None
        draft = None if self._draft_model is None else find(self._draft_model).path.absolute()
        run = self.store.new(
            RunSetup(
                format=SETUP_FORMAT,
                model=info.path or info.name,
                info=info,
                sub_model=None if sub_info is None else sub_info.path or sub_info.name,
                sub_info=sub_info,
                reuse_calls=self._reuse_calls,
                draft_model=None if draft is None else str(draft),
                sources=tuple(map(str, prompt.sources)),
                replace_bad_bytes=prompt.bad_bytes == "replace",
                identity=prompt.identity,
                **self._options.by_name(),
            )
        )
        try:
            with run:
                if not prompt.sources:
                    prompt.keep(run.folder / PROMPT)
                    # Nothing waits for the disk: until it is there, the run has hardly begun.
                    keeping = threading.Thread(
                        target=sync_files, args=[run.folder / PROMPT], daemon=True
                    )
                    with contextlib.suppress(RuntimeError):  # the system has no more threads
                        keeping.start()
                yield run
        finally:
            if run.is_empty:
                self.store.remove(run.run_id)

    def carry_out(
        self,
        run_id: str,
        question: str,
        prompt: Prompt,
        journal: Journal,
        *,
        limits: Limits,
        mode: Mode,
        turn_form: TurnForm,
        seed: int,
        used_seconds: float = 0.0,
    ) -> Answer:
        """Run a question to its end. What only serves to go on with it goes then."""
        with self._kept_replies() as kept:
            model, sub_model, sandbox = self._wait_for_parts()
            budget = Budget(limits, used_seconds=used_seconds)
            journal.begin(budget)
            answer = controller.answer(
                question,
                prompt,
                model=model,
                sub_model=MemoModel(
                    sub_model,
                    past=journal.past.events.values(),
                    kept=kept,
                ),
                sandbox=sandbox,
                limits=limits,
                run_id=run_id,
                record=journal.record,
                mode=mode,
                turn_form=turn_form,
                seed=seed,
                budget=budget,
                journal=journal,
            )
        if answer.stop not in PASSING:
            self.store.prune(run_id)
        return answer

    @contextmanager
    def _kept_replies(self) -> Iterator[ReplyStore | None]:
        """What other runs were told, where this one is to know it."""
        if not self._reuse_calls:
            yield None
            return
        from rlm_local.replies import ReplyStore

        store = ReplyStore(cache_folder("replies"), notice=self._notice)
        with closing(store):
            yield store

    def _load(self, model: Wanted, room: Room, report: Report) -> Model:
        return load_model(
            model.name,
            adapters=model.adapters,
            draft=model.draft,
            memory_bytes=room.memory_bytes,
            gpu_share=room.gpu_share,
            options=replace(
                self._options, context_tokens=room.context_tokens, gpu_layers=room.gpu_layers
            ),
            progress=report,
            notice=self._notice,
        )

    def _notice(self, text: str) -> None:
        """Tell of what has come about, beside what was asked for."""
        self._report(text)(0, 0)

    def _report(self, stage: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if self._closing.is_set():
                raise _ClosedError
            if stage == "reading":
                # A long prompt is not read to its end for a model that is not there.
                for part in (self._engines, self._starting_sandbox):
                    if part is not None:
                        part.check()
            if self._progress is not None:
                self._progress(stage, done, total)

        return report


def recorder(run: RunWriter, on_event: Callable[[Event], None] | None) -> Recorder:
    """What writes events to `run`, then tells of them."""

    def record(event: Event) -> None:
        run.append(event)
        if on_event is not None:
            on_event(event)

    return record


def load_model(
    name: str | Path,
    *,
    adapters: Sequence[Adapter] = (),
    draft: str | Path | None = None,
    memory_bytes: int,
    gpu_share: float = 1.0,
    options: ModelOptions = ModelOptions(),  # noqa: B008  # frozen
    progress: Callable[[int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Model:
    """The model `name` with LoRA `adapters`, checked against the catalogue and loaded; or the
    one on the server that `name` is the URL of.

    `draft` guesses for it, if the `options` let it: a name or a path too. `notice` is told
    what it does without, and when its worker has died. Here, and nowhere else, a name
    becomes a Model. Raises ConfigError, ModelError.
    """
    if is_url(name):
        check_remote(name, adapters)
        from rlm_local.remote.model import RemoteModel

        return RemoteModel(str(name), context_tokens=options.context_tokens)
    file = verified(name)
    size = file.path.stat().st_size
    from rlm_local.llama import LlamaModel

    return LlamaModel(
        file.path,
        memory_bytes=memory_bytes,
        name=file.name,
        adapters=adapters,
        context_tokens=options.context_tokens,
        threads=options.threads,
        kv_type=options.kv_type,
        gpu_layers=options.gpu_layers,
        gpu_share=gpu_share,
        speculate=options.speculate,
        draft=verified(draft).path if draft is not None and options.speculate else None,
        progress=progress and (lambda fraction: progress(int(fraction * size), size)),
        notice=notice,
        states=cache_folder("prefixes"),
    )


def start_sandbox(notice: Callable[[str], None] = lambda _: None) -> Sandbox:
    """The WebAssembly sandbox, ready to fork; `notice` hears of what takes long.

    The packages that the user has added can be imported in it. Raises SandboxError.
    """
    from rlm_local.packages.store import PackageStore
    from rlm_local.wasm import WasmSandbox

    sandbox = WasmSandbox(packages=PackageStore().packages(), notice=notice)
    sandbox.prepare()
    return sandbox


class _ClosedError(Exception):
    """Ends a part's start from within its progress report: nobody waits for it any more."""
