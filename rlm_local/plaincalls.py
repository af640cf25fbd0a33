"""Plain calls of the model by a node's code: a prompt in, a reply out, no REPL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rlm_local import dialogue
from rlm_local.budget import Budget
from rlm_local.errors import LimitReached, ModelError, RequestError, RlmError, WindowError
from rlm_local.limits import Limits
from rlm_local.model import Model, nothing_done
from rlm_local.outcomes import Call, Outcome, failed
from rlm_local.prompt import Prompt
from rlm_local.queries import MOST_CHARS_PER_TOKEN, Text, beginning, length, text_of
from rlm_local.records import (
    CallRaised,
    Completion,
    ModelInfo,
    Record,
    Request,
    StopReason,
    SubCalled,
    depth_of,
)
from rlm_local.sandbox import GuestRaise, GuestText
from rlm_local.tree import Tree

#: Tokens that a chat template may add to a message, with plenty to spare.
TEMPLATE_TOKENS = 1_024
#: Of the prompt, to see how many characters a token has.
SAMPLE_CHARS = 2_000
#: Of the long texts in choices or a schema.
MOST_FORM_CHARS = 1 << 20


class Form(Record, frozen=True):
    """What form replies must have: none, one of `choices`, or JSON that `schema` admits."""

    choices: tuple[str, ...] = ()
    schema: dict[str, object] | None = None

    @classmethod
    def of(cls, value: object) -> Form:
        """What the guest gave: null, or an object with one of the two. Raises GuestRaise."""
        match _read(value):
            case None:
                return cls()
            case {"choices": [str(), *_] as choices, **rest} if not rest:
                if all(isinstance(choice, str) for choice in choices):
                    return cls(choices=tuple(choices))
            case {"schema": dict() as schema, **rest} if not rest:
                return cls(schema=schema)
        raise GuestRaise("TypeError", "choices are a list of str, a schema is a dict; give one")


#: Replies as the model likes.
FREE = Form()


class PlainCalls:
    """The calls of one node, charged to its budget and recorded."""

    def __init__(self, tree: Tree, budget: Budget) -> None:
        self.depth = depth_of(budget.node) + 1  # of what is called
        self._tree = tree
        self._budget = budget
        self._lost: dict[int, list[Completion]] = {}  # of calls that have failed, until on record

    def ask(self, call: Call, prompts: list[str], form: Form = FREE) -> list[str]:
        """The replies to all prompts, asked at once. Raises GuestRaise for all of them."""
        if not prompts:
            return []
        self._budget.charge_sub_calls(len(prompts))
        if (refused := self._refused(call)) is not None:
            raise refused
        try:
            completions = self._complete(call, prompts, form)
        except RequestError as error:
            raise _mistake(error, len(prompts)) from error
        return [_reply(completion, form) for completion in completions]

    def ask_each(
        self, call: Call, prompts: Sequence[str | GuestRaise], form: Form = FREE
    ) -> list[Outcome]:
        """As `ask`, with an outcome for each: one that fails leaves the others alone.

        They are charged already. A GuestRaise stands for a prompt that has failed before.
        """
        errors: dict[int, GuestRaise] = {}
        wanted: dict[int, str] = {}
        for at, prompt in enumerate(prompts):
            if isinstance(prompt, GuestRaise):
                errors[at] = prompt
            elif (mistake := self._refused(call, at, prompt)) is not None:
                errors[at] = mistake
            else:
                wanted[at] = prompt
        completions: list[Completion] = []
        while wanted:
            try:
                completions = self._complete(call, list(wanted.values()), form)
                break
            except RequestError as refusal:
                places = list(wanted)
                for each in (refusal, *refusal.others):
                    errors[places[each.index]] = _mistake(each, 1)
                    del wanted[places[each.index]]
        outcomes: dict[int, Outcome] = {}
        for at, completion in zip(wanted, completions, strict=True):
            try:
                outcomes[at] = {"text": _reply(completion, form)}
            except GuestRaise as not_in_form:
                errors[at] = not_in_form
        for at, error in errors.items():
            self.raised(call, error, at)
            outcomes[at] = failed(error)
        return [outcomes[at] for at in range(len(prompts))]

    def checked(self, prompt: Text) -> str:
        """The prompt's text. Raises GuestRaise if it cannot fit whatever the tokenizer says."""
        self.check_length(length(prompt))
        return text_of(prompt)

    def check_length(self, chars: int) -> None:
        """Refuse a prompt so long that the tokenizer need not be asked. Raises GuestRaise."""
        window = self._tree.sub_model.info.context_tokens
        if chars > MOST_CHARS_PER_TOKEN * window:
            raise GuestRaise(
                "ValueError",
                f"the prompt has {chars:,} characters, far more than the model's window of "
                f"{window:,} tokens takes; split the text and ask about each part",
            )

    def raised(self, call: Call, error: GuestRaise, index: int = -1) -> None:
        """Record that a call, or item `index` of it, raises in the guest's code."""
        self._tree.record(
            CallRaised(
                turn=call.turn,
                call=call.number,
                kind=error.kind,
                message=error.message,
                node=self._budget.node,
                index=index,
                completions=tuple(self._lost.pop(call.number, ())),
            )
        )

    def _refused(self, call: Call, index: int = -1, prompt: str = "") -> GuestRaise | None:
        journal, node = self._tree.journal, self._budget.node
        refused = journal.refused(node, call.number, index, prompt)
        if refused is not None and (raised := journal.past.raised(node, call.number, index)):
            self._budget.charge_completions(raised.completions, depth=self.depth)
        return refused

    def _complete(self, call: Call, prompts: list[str], form: Form) -> list[Completion]:
        """One batch. Raises RequestError; what it has cost by then is charged."""
        limits = self._tree.limits
        requests = [
            Request(
                messages=dialogue.sub_call(prompt),
                max_tokens=limits.sub_call_tokens,
                thought_tokens=limits.sub_call_thought_tokens,
                node=self._budget.node,
                depth=self.depth,
                call=call.number,
                choices=form.choices,
                schema=form.schema,
            )
            for prompt in prompts
        ]
        most = [most_tokens(request, self._tree.sub_model.info) for request in requests]
        done, short = self._known(requests, most)
        seconds = 0.0
        ended: RlmError | None = None
        try:
            self._check_cut(done, short=short)
            while len(done) < len(requests):
                part, took, short = self._part(requests[len(done) :], most[len(done) :])
                done += part
                seconds += took
                self._check_cut(part, short=short)
        except RequestError as refusal:
            self._lost.setdefault(call.number, []).extend([*done, *refusal.completions])
            for each in (refusal, *refusal.others):
                each.index += len(done)
            raise
        except RlmError as error:  # what there is by then goes on record
            if not done:
                raise
            ended = error
        out_of_tokens = isinstance(ended, LimitReached) and ended.stop is StopReason.TOKENS
        rest = nothing_done("tokens" if out_of_tokens else "deadline")
        done += [rest] * (len(requests) - len(done))
        self._tree.record(
            SubCalled(
                turn=call.turn,
                prompts=tuple(prompts),
                replies=tuple(completion.text for completion in done),
                completions=tuple(done),
                seconds=seconds,
                node=self._budget.node,
                depth=self.depth,
                call=call.number,
                choices=form.choices,
                schema=form.schema,
            )
        )
        if ended is not None:
            raise ended
        return done

    def _known(self, requests: list[Request], most: list[int]) -> tuple[list[Completion], bool]:
        """The completions of a whole batch that is on record, else none; and whether it could use
        more tokens than there are. `most`: what each of them can use."""
        known = self._tree.journal.completions(requests)
        if known is None:
            return [], False
        short = sum(most) > self._budget.tokens_left
        with self._budget.grant(sum(completion.work_tokens for completion in known)) as grant:
            grant.charge(known, depth=self.depth)
        return known, short

    def _part(
        self, requests: list[Request], most: list[int]
    ) -> tuple[list[Completion], float, bool]:
        """The completions of the first requests, of all unless they could use too many tokens,
        the seconds that they took, and whether they were granted less than they can use."""
        with self._budget.grant(*most) as grant, self._tree.busy(self._budget):
            began = time.monotonic()
            try:
                done = self._tree.sub_model.complete(
                    requests[: grant.requests],
                    deadline=self._budget.deadline,
                    token_limit=grant.tokens,
                )
            except ModelError as error:
                grant.charge(error.completions, depth=self.depth)
                raise
            seconds = time.monotonic() - began
            grant.charge(done, depth=self.depth)
        return done, seconds, grant.tokens < sum(most[: grant.requests])

    def _check_cut(self, completions: list[Completion], *, short: bool) -> None:
        """Raise the limit that cut replies short. `short`: they were granted less than they can
        use. Else no limit of the run has done that: see `_reply`."""
        if short:
            check_cut(self._budget, completions)
        elif any(completion.is_cut for completion in completions):
            self._budget.check()


def most_tokens(request: Request, model: ModelInfo) -> int:
    """The most that one request can use: a token takes at least a byte of text."""
    texts = (message.content.encode("utf-8", "surrogatepass") for message in request.messages)
    size = sum(len(text) + TEMPLATE_TOKENS for text in texts)
    if request.choices:
        return min(model.context_tokens, size) + _most_compared(request.choices)
    thoughts = request.thought_tokens if model.thinks else 0
    return min(model.context_tokens, size + request.max_tokens + thoughts)


def _most_compared(choices: tuple[str, ...]) -> int:
    """The most tokens that finding the likeliest choice takes: it may come to each beginning
    of one from another, and then computes it anew."""
    sizes = [len(choice.encode("utf-8", "replace")) + 1 for choice in choices]  # and its end
    return sizes[0] if len(sizes) == 1 else sum(size * (size + 1) // 2 for size in sizes)


def most_written(limits: Limits, model: ModelInfo) -> int:
    """The most tokens that a sub-call's reply can have, thoughts included."""
    return limits.sub_call_tokens + (limits.sub_call_thought_tokens if model.thinks else 0)


def call_chars(prompt: Prompt, limits: Limits, model: Model) -> int:
    """Characters that fit a sub-call, by the tokenizer of its model on this very text."""
    sample = beginning(prompt, SAMPLE_CHARS)
    per_token = len(sample) / max(1, model.count_tokens(sample))
    room = model.info.context_tokens - most_written(limits, model.info)
    return max(0, int(0.8 * room * per_token))


def check_cut(budget: Budget, completions: list[Completion]) -> None:
    """Raise the limit that cut a reply short: such a reply never reaches the guest's code."""
    if any(completion.is_cut for completion in completions):
        budget.check()
        raise budget.cut_short()


def _reply(completion: Completion, form: Form) -> str:
    """What the guest gets. Raises GuestRaise for a reply that is not in its form, or not whole."""
    if completion.is_cut:
        raise GuestRaise(
            "ValueError",
            "the model needs more tokens than are set aside for such a call; give it a shorter "
            "prompt, or fewer and shorter choices",
        )
    if completion.finish == "form":
        wanted = "one of the choices" if form.choices else "JSON as the schema has it"
        raise GuestRaise("ValueError", f"the reply is not {wanted}: {completion.text[:200]!r}")
    return completion.text if form.choices else completion.text.strip()  # choices to the letter


def _read(value: object) -> object:
    """`value` with the long texts in it, which are still in the guest's memory, as str.

    Raises GuestRaise if they are far longer than any form: all of it goes on record.
    """
    chars = sum(text.chars for text in _long_texts(value))
    if chars > MOST_FORM_CHARS:
        raise GuestRaise(
            "ValueError",
            f"choices or a schema with texts of {chars:,} characters were given, and "
            f"{MOST_FORM_CHARS:,} are allowed",
        )
    return _as_str(value)


def _long_texts(value: object) -> Iterator[GuestText]:
    match value:
        case GuestText():
            yield value
        case list():
            for each in value:
                yield from _long_texts(each)
        case dict():
            for each in value.values():
                yield from _long_texts(each)


def _as_str(value: object) -> object:
    match value:
        case GuestText():
            return value.read()
        case list():
            return [_as_str(each) for each in value]
        case dict():
            return {key: _as_str(each) for key, each in value.items()}
    return value


def _mistake(error: RequestError, batch: int) -> GuestRaise:
    """What the guest is told of a request that the model refuses."""
    if not isinstance(error, WindowError):
        hint = f"; {error.hint}" if error.hint else ""
        return GuestRaise("ValueError", f"{error}{hint}")
    which = f"prompt {error.index} of the batch" if batch > 1 else "the prompt"
    return GuestRaise(
        "ValueError",
        f"{which} has {error.tokens:,} tokens, and {error.fits:,} fit the model's window; "
        "split the text and ask about each part",
    )
