"""Wiring, and who lives how long.

A `Runtime` holds a model and a sandbox for any number of questions, one at a
time. Both start on threads of their own while the first prompt is being read.
`ask` is the same for one question.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Protocol, Self, TypeVar, cast, get_args

from rlm_local import controller
from rlm_local.catalog import DEFAULT_MODEL, verified
from rlm_local.errors import RlmError, UsageError
from rlm_local.eventfile import RunWriter, sync_files
from rlm_local.journal import Journal, Recorder
from rlm_local.limits import Budget, Limits
from rlm_local.memo import MemoModel
from rlm_local.model import Model
from rlm_local.past import PASSING
from rlm_local.paths import cache_folder
from rlm_local.prompt import Prompt, open_prompt, prompt_from_text, prompt_from_texts
from rlm_local.records import Answer, Event, Mode, TurnForm
from rlm_local.runs import CHECKPOINTS, PROMPT, SETUP_FORMAT, RunSetup, RunStore
from rlm_local.sandbox import Sandbox
from rlm_local.spool.utf8 import BadBytes

#: A text; several texts, by name or not; files and folders; or a prompt that is open already.
Context = str | Sequence[str] | Mapping[str, str] | Path | Sequence[Path] | Prompt

#: Called with a stage ("reading", "loading"), what is done and what there is (0: not known).
Progress = Callable[[str, int, int], None]

T = TypeVar("T")


class Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=Closable)


def ask(
    question: str,
    context: Context,
    *,
    model: str | Path | Model = DEFAULT_MODEL,
    limits: Limits | None = None,
    mode: Mode = "auto",
    turn_form: TurnForm = "auto",
    on_event: Callable[[Event], None] | None = None,
    seed: int = 0,
) -> Answer:
    """Answer `question` about `context`, with a local model and nothing else.

    `context`: a str is the text itself and a Path names a file or a folder; a
    list of either is several documents, and so is a dict from name to text.
    `model`: a name of the catalogue, the path of a GGUF file, or a Model. `mode`
    "auto" gives a prompt that fits the window straight to the model, if it is a
    model for that. `turn_form` "block" has each turn be text and one block of code,
    "free" has it be as the model likes. `on_event` gets every event of the run, once it is on disk.

    A run that a limit ends returns what was found; `Answer.stop` says why. Raises
    RlmError for what cannot be done at all, as in `rlm_local.errors`.
    """
    with Runtime(model=model, limits=limits) as runtime:
        return runtime.ask(
            question, context, mode=mode, turn_form=turn_form, on_event=on_event, seed=seed
        )


class Runtime:
    """A model and a sandbox for many questions. Use it as a context manager."""

    def __init__(
        self,
        *,
        model: str | Path | Model = DEFAULT_MODEL,
        limits: Limits | None = None,
        context_tokens: int | None = None,
        threads: int | None = None,
        sandbox: Sandbox | None = None,
        store: RunStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Begin to start the parts; nothing is waited for, errors come out of `ask`.

        `context_tokens` is the window to give the model and `threads` what it
        computes with; None leaves it to the engine. A `model` or `sandbox` that
        is handed over ready stays its owner's to close.
        """
        self.limits = limits if limits is not None else Limits()
        self.store = store if store is not None else RunStore()
        self._context_tokens = context_tokens
        self._threads = threads
        self._progress = progress
        self._closing = threading.Event()
        self._sandbox = sandbox
        self._model = None if isinstance(model, str | Path) else model
        self._starting_model: _Starting[Model] | None = None
        self._starting_sandbox: _Starting[Sandbox] | None = None
        if isinstance(model, str | Path):
            name = model
            self._starting_model = _Starting(
                lambda: load_model(
                    name,
                    memory_bytes=self.limits.model_memory_bytes,
                    context_tokens=context_tokens,
                    threads=threads,
                    progress=self._report("loading"),
                )
            )
        if sandbox is None:
            self._starting_sandbox = _Starting(
                lambda: start_sandbox(lambda stage: self._report(stage)(0, 0))
            )

    @property
    def model(self) -> Model:
        """The model, once it is loaded. Raises ModelError."""
        if self._model is None:
            self._model = cast("_Starting[Model]", self._starting_model).result()
        return self._model

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox, once it is ready. Raises SandboxError."""
        if self._sandbox is None:
            self._sandbox = cast("_Starting[Sandbox]", self._starting_sandbox).result()
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
        if not question.strip():
            raise UsageError("the question is empty")
        if mode not in get_args(Mode):
            raise UsageError(f"there is no mode {mode!r}", hint="use auto, direct or rlm")
        if turn_form not in get_args(TurnForm):
            raise UsageError(f"no turn has the form {turn_form!r}", hint="use auto, free or block")
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
        bad_bytes: BadBytes = "replace" if replace_bad_bytes else "error"
        if isinstance(context, Prompt):
            return context
        if isinstance(context, str):
            return prompt_from_text(context, bad_bytes=bad_bytes)
        if isinstance(context, Path):
            context = [context]
        if isinstance(context, Mapping):
            return prompt_from_texts(context, bad_bytes=bad_bytes)
        texts = [item for item in context if isinstance(item, str)]
        paths = [item for item in context if isinstance(item, Path)]
        if len(context) not in (len(texts), len(paths)):
            kinds = sorted({type(item).__name__ for item in context})
            raise UsageError(
                f"the context holds {', '.join(kinds)}",
                hint="give only str, for texts, or only Path, for files",
            )
        if texts:
            return prompt_from_texts(texts, bad_bytes=bad_bytes)
        return open_prompt(
            paths, stdin=stdin, bad_bytes=bad_bytes, progress=self._report("reading")
        )

    def close(self) -> None:
        """Stop the parts that were started here. Closing twice is harmless."""
        self._closing.set()
        for part in (self._starting_model, self._starting_sandbox):
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_for_parts(self) -> tuple[Model, Sandbox]:
        """Raise now what keeps them from being there: that is no run worth a record."""
        return self.model, self.sandbox

    def begin(self, prompt: Prompt) -> RunWriter:
        """Begin the record of a run over `prompt`, so that it can be taken up again."""
        info = self.model.info
        run = self.store.new(
            RunSetup(
                format=SETUP_FORMAT,
                model=info.path or info.name,
                info=info,
                context_tokens=self._context_tokens,
                threads=self._threads,
                sources=tuple(map(str, prompt.sources)),
                replace_bad_bytes=prompt.bad_bytes == "replace",
                identity=prompt.identity,
            )
        )
        if not prompt.sources:
            prompt.keep(run.folder / PROMPT)
            # Nothing waits for the disk: until it is there, the run has hardly begun.
            threading.Thread(target=sync_files, args=[run.folder / PROMPT], daemon=True).start()
        return run

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
        answer = controller.answer(
            question,
            prompt,
            model=MemoModel(
                self.model,
                past=journal.past.events.values(),
                sub_call_tokens=limits.sub_call_tokens,
                thought_tokens=limits.sub_call_thought_tokens,
            ),
            sandbox=self.sandbox,
            limits=limits,
            run_id=run_id,
            record=journal.record,
            mode=mode,
            turn_form=turn_form,
            seed=seed,
            budget=Budget(limits, used_seconds=used_seconds),
            journal=journal,
        )
        if answer.stop not in PASSING:
            self.store.prune(run_id)
        return answer

    def _report(self, stage: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if self._closing.is_set():
                raise _ClosedError
            if stage == "reading":
                # A long prompt is not read to its end for a model that is not there.
                for part in (self._starting_model, self._starting_sandbox):
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
    memory_bytes: int,
    context_tokens: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """The model `name`, checked against the catalogue and loaded. Raises ModelError."""
    path = verified(name).path
    size = path.stat().st_size
    from rlm_local.llama import LlamaModel

    return LlamaModel(
        path,
        memory_bytes=memory_bytes,
        context_tokens=context_tokens,
        threads=threads,
        progress=progress and (lambda fraction: progress(int(fraction * size), size)),
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


class _Starting(Generic[Part]):
    """A part that is being made on a thread of its own.

    The thread lives as long as the part and closes it: a child process may be
    tied to the thread that started it. It is a daemon, so a start that cannot be
    broken off does not hold up the end of the process.
    """

    def __init__(self, make: Callable[[], Part]) -> None:
        self._make = make
        self._part: Part | None = None
        self._error: BaseException | None = None
        self._made = threading.Event()
        self._release = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def result(self) -> Part:
        """The part, waited for; or the error that its making raised."""
        while not self._made.wait(0.2):
            pass  # awake now and then: a signal may have gone to another thread
        if self._error is not None:
            raise self._error
        return cast("Part", self._part)

    def check(self) -> None:
        """Raise the error of a start that has failed already, if it is one of ours."""
        if isinstance(self._error, RlmError):
            raise self._error

    def close(self) -> None:
        """Close the part. One that is still being made is closed when it is ready."""
        self._release.set()
        if self._made.is_set():
            self._thread.join()

    def _live(self) -> None:
        try:
            self._part = self._make()
        except BaseException as error:  # noqa: BLE001  # raised where the part is waited for
            self._error = error
        self._made.set()
        if self._part is not None:
            self._release.wait()
            self._part.close()
