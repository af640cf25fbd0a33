"""The loop of a Recursive Language Model: ask, run, observe, until there is an answer.

The controller knows no adapter: a `Model` writes turns, a `Sandbox` runs them,
the `Budget` holds every limit, and each event is recorded before the next thing
is done. Whatever ends a run, what was found so far comes back as an `Answer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from rlm_local import dialogue
from rlm_local.errors import (
    LimitReached,
    ModelError,
    RlmError,
    SandboxError,
    UsageError,
    WindowError,
)
from rlm_local.limits import Budget, Limits
from rlm_local.model import Interrupted, Model
from rlm_local.prompt import Prompt
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    Message,
    Mode,
    Observation,
    Ran,
    Replied,
    Request,
    RunEnded,
    RunStarted,
    StopReason,
    TurnStarted,
)
from rlm_local.sandbox import Repl, Sandbox
from rlm_local.subcalls import SubCalls

Recorder = Callable[[Event], None]

#: Consecutive turns that bring nothing new before the run is ended.
MAX_STALLED_TURNS = 4
#: A prompt is given to the model directly if it takes at most this share of its window.
DIRECT_SHARE = 0.5


def answer(
    question: str,
    prompt: Prompt,
    *,
    model: Model,
    sandbox: Sandbox,
    limits: Limits,
    run_id: str,
    record: Recorder,
    mode: Mode = "auto",
    seed: int = 0,
    budget: Budget | None = None,
) -> Answer:
    """Answer `question` about `prompt`.

    `record` gets each event and returns once it is durable. A limit, a model or
    a sandbox that fails for good, and Ctrl-C end the run with the best partial
    answer and its stop reason. Raises UsageError if the question itself does not
    fit the model's window (or, in mode "direct", the prompt).
    """
    run = _Run(question, prompt, model, sandbox, limits, record, budget or Budget(limits), seed)
    direct_text = _direct_text(prompt, question, model, mode)
    record(
        RunStarted(
            run_id=run_id,
            time=time.time(),
            question=question,
            model=model.info.name,
            mode="rlm" if direct_text is None else "direct",
            prompt=prompt.describe(),
            limits=msgspec.structs.asdict(limits),
        )
    )
    refusal: UsageError | None = None
    stop, message = StopReason.ANSWERED, ""
    try:
        if direct_text is None:
            run.loop()
        else:
            run.direct(direct_text)
    except LimitReached as error:
        stop, message = error.stop, _with_hint(error)
    except _QuestionTooLongError as error:
        stop, message = StopReason.WINDOW, str(error)
        refusal = UsageError(str(error), hint=error.hint)
    except WindowError as error:
        stop, message = StopReason.WINDOW, f"the dialogue outgrew the window: {error}"
    except ModelError as error:
        stop, message = StopReason.MODEL, _with_hint(error)
    except SandboxError as error:
        stop, message = StopReason.SANDBOX, _with_hint(error)
    except KeyboardInterrupt:
        stop, message = StopReason.INTERRUPTED, "the run was interrupted"
    ended = Answer(
        text=run.final if run.final is not None else run.partial,
        stop=StopReason.ANSWERED if run.final is not None else stop,
        usage=run.budget.usage(),
        run_id=run_id,
        model=model.info.name,
        message="" if run.final is not None else message,
    )
    record(RunEnded(time=time.time(), answer=ended))
    if refusal is not None:
        raise refusal
    return ended


def _with_hint(error: RlmError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)


class _QuestionTooLongError(WindowError):
    """The very first request does not fit: no run can come of it."""


class _Run:
    """One root node: its dialogue, its REPL, and what it has found so far."""

    def __init__(
        self,
        question: str,
        prompt: Prompt,
        model: Model,
        sandbox: Sandbox,
        limits: Limits,
        record: Recorder,
        budget: Budget,
        seed: int,
    ) -> None:
        self.question = question
        self.prompt = prompt
        self.model = model
        self.sandbox = sandbox
        self.limits = limits
        self.record = record
        self.budget = budget
        self.seed = seed
        self.profile = dialogue.profile_of(model.info.profile)
        self.sub_calls = SubCalls(model, budget, record)
        self.final: str | None = None
        self._content = ""  # what the code put into answer["content"]
        self._latest = ""  # else, what was last seen
        self._turn = 0
        self._last_cell: tuple[str, str] | None = None
        self._stalled = 0

    @property
    def partial(self) -> str:
        """The best there is, should the run end now."""
        return self._content or self._latest

    # ------------------------------------------------------------- two ways

    def direct(self, text: str) -> None:
        """Give the model the whole text, once."""
        self._turn = 1
        try:
            completion = self._complete(dialogue.direct(self.question, text))
        except Interrupted as interrupted:
            self._latest = "".join(part.text for part in interrupted.completions).strip()
            raise
        self._latest = completion.text.strip()
        self.record(Replied(turn=1, text=completion.text, code="", completion=completion))
        self._check(completion)
        self.final = self.partial

    def loop(self) -> None:
        """Turns of ask, run and observe, until the code hands over a final value."""
        messages = list(dialogue.opening(self.profile, self.question, self._facts()))
        with self._fork() as repl:
            mark = time.monotonic()
            while self.final is None:
                self._turn += 1
                completion = self._complete(tuple(messages))
                turn = dialogue.read_turn(completion.text, cut=completion.finish == "length")
                self.record(
                    Replied(
                        turn=self._turn,
                        text=completion.text,
                        code=turn.code,
                        completion=completion,
                    )
                )
                self._check(completion)
                ran = self._execute(repl, turn.code) if turn.code else Observation()
                shown = self._observe(turn, ran)
                messages += (Message("assistant", turn.said), Message("user", shown))
                # From mark to mark, so that recording an event counts as overhead too.
                before, mark = mark, time.monotonic()
                took = mark - before
                busy = completion.seconds + ran.seconds + self.sub_calls.take_seconds()
                self.record(
                    Ran(
                        turn=self._turn,
                        observation=ran,
                        shown=shown,
                        turn_seconds=took,
                        model_seconds=completion.seconds,
                        overhead_seconds=max(0.0, took - busy),
                    )
                )
                if self.final is None and self._stalled >= MAX_STALLED_TURNS:
                    raise LimitReached(
                        StopReason.REPEATS,
                        f"{self._stalled} turns in a row brought nothing new",
                        hint="ask in other words, or use a larger model",
                    )

    # ------------------------------------------------------------ one turn

    def _complete(self, messages: tuple[Message, ...]) -> Completion:
        self.budget.charge_turn()
        self.record(TurnStarted(turn=self._turn))
        request = Request(
            messages=messages,
            max_tokens=min(self.limits.turn_tokens, self.budget.tokens_left),
            stop="fence",
            seed=self.seed,
            dialogue="root",
        )
        try:
            [completion] = self.model.complete(
                [request], deadline=self.budget.deadline, token_limit=self.budget.tokens_left
            )
        except Interrupted as interrupted:
            self.budget.charge_completions(interrupted.completions)
            raise
        except WindowError as error:
            if self._turn > 1:
                raise
            raise _QuestionTooLongError(error.tokens, error.fits) from error
        self.budget.charge_completions([completion])
        return completion

    def _check(self, completion: Completion) -> None:
        """A turn that a limit cut short is on record, and is not run."""
        if completion.finish in ("deadline", "tokens"):
            self.budget.check_clock()
            raise LimitReached(
                StopReason.TOKENS,
                f"the run reached its limit of {self.limits.tokens:,} tokens",
                hint="raise tokens",
            )

    def _execute(self, repl: Repl, code: str) -> Observation:
        self.budget.check_clock()
        self.sub_calls.turn = self._turn
        ran = repl.execute(
            code, deadline=self.budget.deadline, cell_seconds=self.limits.cell_seconds
        )
        self._content = ran.partial or self._content
        self._latest = (ran.stdout or ran.value or "").strip() or self._latest
        if self.final is None:
            self.budget.check_clock()
        return ran

    def _observe(self, turn: dialogue.Turn, ran: Observation) -> str:
        """What the model is told, and whether this turn brought anything new."""
        if not turn.code:
            self._stalled += 1
            if turn.cut:
                return dialogue.cut_short(self.limits.turn_tokens)
            self._latest = turn.said.strip() or self._latest
            return dialogue.NO_CODE
        shown = dialogue.observation(self.profile, ran, self.limits.output_chars)
        cell = (turn.code.strip(), shown)
        if cell == self._last_cell:
            self._stalled += 1
            return dialogue.REPEATED
        self._last_cell = cell
        self._stalled = 0
        return shown

    # ------------------------------------------------------------- the REPL

    def _fork(self) -> Repl:
        return self.sandbox.repl(
            self.prompt,
            question=self.question,
            host=self._host,
            functions=SubCalls.NAMES if self.limits.depth else (),
            memory_bytes=self.limits.guest_memory_bytes,
            output_chars=self.limits.output_chars,
            seed=self.seed,
        )

    def _host(self, name: str, arguments: list[object]) -> object:
        """Answer a call of the guest, on the guest's thread."""
        if name == "final":
            self._hand_over(arguments)
            return None
        if not self.limits.depth:
            return self.sub_calls.refuse(name)
        return self.sub_calls(name, arguments)

    def _hand_over(self, arguments: list[object]) -> None:
        if self.final is not None:
            return
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.limits.answer_bytes:
            self._content = text[: self.limits.answer_bytes // 4]
            raise LimitReached(
                StopReason.ANSWER_SIZE,
                f"the answer has {size:,} bytes, and the limit is {self.limits.answer_bytes:,}",
                hint="raise answer_bytes",
            )
        self.final = text

    def _facts(self) -> dialogue.PromptFacts:
        head = self.prompt.preview(self.profile.head_chars)
        return dialogue.PromptFacts(
            documents=len(self.prompt.documents),
            single=self.prompt.single,
            chars=self.prompt.chars,
            head=head,
            call_chars=self._call_chars() if self.limits.depth else 0,
        )

    def _call_chars(self) -> int:
        """Characters that fit a sub-call, from the model's tokenizer on this very text."""
        sample = self.prompt.preview(2_000)
        per_token = len(sample) / max(1, self.model.count_tokens(sample))
        room = self.model.info.context_tokens - self.limits.sub_call_tokens
        return max(0, int(0.8 * room * per_token))


def _direct_text(prompt: Prompt, question: str, model: Model, mode: Mode) -> str | None:
    """The text to give the model directly, or None where it is to work in the REPL."""
    if mode == "rlm" or (mode == "auto" and not dialogue.profile_of(model.info.profile).direct):
        return None
    most_tokens = model.info.context_tokens * (1.0 if mode == "direct" else DIRECT_SHARE)
    # No tokenizer packs more than some 16 characters a token over a whole text.
    if prompt.chars > most_tokens * 16:
        if mode == "auto":
            return None
        raise UsageError(
            f"the prompt has {prompt.chars:,} characters, too many for a window of "
            f"{model.info.context_tokens:,} tokens",
            hint="use --mode rlm",
        )
    text = _whole(prompt)
    if mode == "auto" and model.count_tokens(text) + model.count_tokens(question) > most_tokens:
        return None
    return text


def _whole(prompt: Prompt) -> str:
    """All of a short prompt, its documents under their names."""
    if prompt.single:
        return prompt.read(0)
    return "\n\n".join(
        f"[{document.name}]\n{prompt.read(index)}"
        for index, document in enumerate(prompt.documents)
    )
