"""The calls that the model's code makes to a model: `llm_query`, `rlm_query` and their kin.

They run on the guest's thread while the guest waits. A mistake of the code
raises in the guest; a limit or a dead worker ends the cell, and what else it ends.

What a call gives back is a list of outcomes, one for each prompt or query:
`{"text": str}`, for a child that did not finish with `"note": str` beside it, or
`{"error": [kind, message]}`. The guest's side makes values and exceptions of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from rlm_local import dialogue
from rlm_local.errors import RlmError, WindowError
from rlm_local.helpers import Job
from rlm_local.journal import Standing
from rlm_local.limits import Budget
from rlm_local.prompt import Prompt
from rlm_local.queries import MOST_CHARS_PER_TOKEN, ChildContext, Query, Text, length, text_of
from rlm_local.records import (
    CallRaised,
    Completion,
    Message,
    NodeEnded,
    Polled,
    Request,
    StopReason,
    SubCalled,
    Submitted,
    depth_of,
)
from rlm_local.sandbox import GuestRaise, GuestText
from rlm_local.tree import Tree, cancelled

Outcome = dict[str, object]
#: Tokens that a chat template may add to a message, with plenty to spare.
TEMPLATE_TOKENS = 1_024
#: How long a poll of a call that is not done may wait: code that polls in a loop is slowed.
_POLL_SECONDS = 0.005


class Child:
    """A child that a call of its parent's code wants: number `index` of those."""

    def __init__(
        self, query: Query, budget: Budget, *, call: int, index: int, share: float | None
    ) -> None:
        self.query = query
        self.budget = budget
        self.call = call
        self.index = index
        self.share = share


#: Makes a child, runs it to its end and tells how it ended. Raises GuestRaise where its
#: parent's code has made a mistake, and what ends more than the child.
RunChild = Callable[[Child], NodeEnded]


class SubCalls:
    """Host functions for one REPL.

    `turn` is the node's turn that they are recorded under; `calls` and `children`
    count what its code has called so far.
    """

    NAMES: ClassVar[tuple[str, ...]] = (
        "llm_query",
        "llm_query_batched",
        "rlm_query",
        "rlm_query_batched",
        "submit",
        "collect",
        "poll",
    )

    def __init__(self, tree: Tree, budget: Budget, prompt: Prompt, run_child: RunChild) -> None:
        self.turn = 0
        self.calls = 0
        self.children = 0
        self._tree = tree
        self._budget = budget
        self._prompt = prompt
        self._run_child = run_child
        self._depth = depth_of(budget.node) + 1  # of what is called
        self._jobs: dict[int, _Submission] = {}
        self._seconds = 0.0

    def __call__(self, name: str, arguments: list[object]) -> object:
        """Answer `name(*arguments)`."""
        match name, arguments:
            case "collect", [list() as items]:
                return [self._collect(*self._place(item)) for item in items]
            case "poll", [item]:
                return self._poll(*self._place(item))
        self.calls += 1
        call = self.calls
        try:
            return self._answer(call, name, arguments)
        except GuestRaise as error:
            self._raised(call, error)
            raise

    def take_seconds(self) -> float:
        """Time spent waiting for calls since the last time this was asked."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def standing(self) -> Standing | None:
        """Where the calls stand, for a checkpoint; None while one is not done."""
        if not all(job.done for submission in self._jobs.values() for job, _ in submission.jobs):
            return None
        try:
            outcomes = {call: submission.outcomes() for call, submission in self._jobs.items()}
        except RlmError:  # of a job, which ends more than this
            return None
        return Standing(
            calls=self.calls,
            children=self.children,
            sub_calls=self._budget.usage().sub_calls,
            outcomes=outcomes,
            polled=[
                (call, index)
                for call, submission in self._jobs.items()
                for index, polls in submission.polls.items()
                if polls < 0
            ],
        )

    def restore(self, standing: Standing) -> None:
        """Go on where the calls stood."""
        self.calls, self.children = standing.calls, standing.children
        for call, outcomes in standing.outcomes.items():
            job: Job[list[Outcome]] = Job(partial(list, outcomes))
            job.run()
            self._jobs[call] = _Submission([(job, at) for at in range(len(outcomes))])
        for call, index in standing.polled:
            self._jobs[call].polls[index] = -1

    def close(self) -> None:
        """Cancel what was submitted and is not done, and wait for what has begun."""
        for submission in self._jobs.values():
            submission.cancel(self._tree)
        for submission in self._jobs.values():
            submission.settle()

    def _answer(self, call: int, name: str, arguments: list[object]) -> object:
        match name, arguments:
            case "llm_query", [str() | GuestText() as prompt]:
                return self._ask(call, [self._checked(prompt)])[0]
            case "llm_query_batched", [list() as prompts]:
                return self._ask(call, [self._checked(_text(prompt, name)) for prompt in prompts])
            case "rlm_query", [[*query], share]:
                return self._query(call, [_query(query, name)], _share(share))
            case "rlm_query_batched", [list() as queries, share]:
                return self._query(call, [_query(q, name) for q in queries], _share(share))
            case "submit", ["llm", list() as prompts]:
                return self._submit_plain(call, [_text(prompt, "llm_query") for prompt in prompts])
            case "submit", ["rlm", list() as queries, share]:
                wanted = [_query(query, "rlm_query") for query in queries]
                return self._submit_queries(call, wanted, _share(share))
            case _ if name in _USAGE:
                raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")
            case _:
                raise GuestRaise("NameError", f"there is no host function {name!r}")

    # ---------------------------------------------------------- plain calls

    def _ask(self, call: int, prompts: list[str]) -> list[str]:
        """All prompts at once, or an exception for all."""
        if not prompts:
            return []
        self._budget.charge_sub_calls(len(prompts))
        with self._waiting():
            try:
                return self._complete(call, prompts)
            except WindowError as error:
                raise GuestRaise("ValueError", _too_long(error, len(prompts))) from error

    def _ask_each(self, call: int, prompts: list[str | GuestRaise]) -> list[Outcome]:
        """The prompts at once, each with an outcome of its own. They are charged already."""
        outcomes: list[Outcome] = [{} for _ in prompts]
        errors = {at: prompt for at, prompt in enumerate(prompts) if isinstance(prompt, GuestRaise)}
        wanted = {at: prompt for at, prompt in enumerate(prompts) if isinstance(prompt, str)}
        replies: list[str] = []
        while wanted:
            try:
                replies = self._complete(call, list(wanted.values()))
                break
            except WindowError as error:
                at = list(wanted)[error.index]
                errors[at] = GuestRaise("ValueError", _too_long(error, 1))
                del wanted[at]
        for at, mistake in errors.items():
            self._raised(call, mistake, at)
            outcomes[at] = _error(mistake)
        for at, reply in zip(wanted, replies, strict=True):
            outcomes[at] = {"text": reply}
        return outcomes

    def _complete(self, call: int, prompts: list[str]) -> list[str]:
        """One batch. Raises WindowError; then nothing was computed."""
        limits, model = self._tree.limits, self._tree.model
        requests = [
            Request(
                messages=dialogue.sub_call(prompt),
                max_tokens=limits.sub_call_tokens,
                node=self._budget.node,
                depth=self._depth,
                call=call,
            )
            for prompt in prompts
        ]
        window = model.info.context_tokens
        most = sum(most_tokens(r.messages, r.max_tokens, window) for r in requests)
        with self._budget.grant(most) as grant, self._tree.busy(self._budget):
            began = time.monotonic()
            completions = model.complete(
                requests, deadline=self._budget.deadline, token_limit=grant.tokens
            )
            seconds = time.monotonic() - began
            grant.charge(completions, depth=self._depth)
        self._tree.record(
            SubCalled(
                turn=self.turn,
                prompts=tuple(prompts),
                replies=tuple(completion.text for completion in completions),
                completions=tuple(completions),
                seconds=seconds,
                node=self._budget.node,
                depth=self._depth,
                call=call,
            )
        )
        check_cut(self._budget, completions)
        return [completion.text.strip() for completion in completions]

    def _checked(self, prompt: Text, chars: int | None = None) -> str:
        """The prompt's text, unless it is so long that the tokenizer need not be asked."""
        chars = length(prompt) if chars is None else chars
        window = self._tree.model.info.context_tokens
        if chars > MOST_CHARS_PER_TOKEN * window:
            raise GuestRaise(
                "ValueError",
                f"the prompt has {chars:,} characters, far more than the model's window of "
                f"{window:,} tokens takes; split the text and ask about each part",
            )
        return text_of(prompt)

    # ------------------------------------------------------------- children

    def _query(self, call: int, queries: list[Query], share: float | None) -> list[Outcome]:
        """Children side by side; plain calls where no further child is allowed."""
        if not queries:
            return []
        if not self._may_have_children:
            return [{"text": text} for text in self._ask(call, [self._plain(q) for q in queries])]
        self._budget.charge_sub_calls(len(queries))
        wanted = self._number(call, queries, share)
        with self._waiting():
            return self._tree.helpers.all([partial(self._run, child) for child in wanted])

    @property
    def _may_have_children(self) -> bool:
        return self._depth < self._tree.limits.depth

    def _plain(self, query: Query) -> str:
        self._checked("", query.chars(self._prompt))
        return query.as_call(self._prompt)

    def _number(self, call: int, queries: list[Query], share: float | None) -> list[Child]:
        """Give each child its name and its budget, in the order of the call."""
        children = []
        for index, query in enumerate(queries):
            self.children += 1
            node = f"{self._budget.node}.{self.children}"
            budget = self._budget.child(node, share=share, among=len(queries))
            children.append(Child(query, budget, call=call, index=index, share=share))
        return children

    def _run_alone(self, child: Child) -> list[Outcome]:
        return [self._run(child)]

    def _run(self, child: Child) -> Outcome:
        """One child, from beginning to end."""
        try:
            ended = self._run_child(child)
        except GuestRaise as error:
            self._raised(child.call, error, child.index)
            return _error(error)
        if ended.stop is StopReason.ANSWERED:
            return {"text": ended.text}
        if ended.text:
            return {"text": ended.text, "note": f"only a partial answer: {ended.message}"}
        mistake = GuestRaise("RuntimeError", f"it ended without an answer: {ended.message}")
        self._raised(child.call, mistake, child.index)
        return _error(mistake)

    # ------------------------------------------- calls that the code goes on beside

    def _submit_plain(self, call: int, texts: list[Text]) -> int:
        return self._submit_checked(call, [self._prompt_or_mistake(text) for text in texts])

    def _submit_checked(self, call: int, prompts: list[str | GuestRaise]) -> int:
        self._budget.charge_sub_calls(len(prompts))
        asked = tuple(prompt for prompt in prompts if isinstance(prompt, str))
        self._tree.record(
            Submitted(
                turn=self.turn,
                call=call,
                prompts=asked,
                node=self._budget.node,
                depth=self._depth,
            )
        )
        job = self._tree.helpers.start(
            Job(self._ending_all(partial(self._ask_each, call, prompts)))
        )
        self._jobs[call] = _Submission([(job, at) for at in range(len(prompts))])
        return call

    def _submit_queries(self, call: int, queries: list[Query], share: float | None) -> int:
        if not self._may_have_children:
            return self._submit_checked(call, [self._plain_or_mistake(query) for query in queries])
        for query in queries:
            query.fetch()
        self._budget.charge_sub_calls(len(queries))
        children = self._number(call, queries, share)
        submission = _Submission([], children)
        for child in children:
            run = self._ending_all(partial(self._run_alone, child))
            submission.jobs.append((self._tree.helpers.start(Job(run)), 0))
        self._jobs[call] = submission
        return call

    def _prompt_or_mistake(self, text: Text) -> str | GuestRaise:
        try:
            return self._checked(text)
        except GuestRaise as error:
            return error

    def _plain_or_mistake(self, query: Query) -> str | GuestRaise:
        try:
            return self._plain(query)
        except GuestRaise as error:
            return error

    def _ending_all(self, function: Callable[[], list[Outcome]]) -> Callable[[], list[Outcome]]:
        """`function`, for a thread that nobody may be waiting for: what ends a part of the
        tree is told to that part."""

        def run() -> list[Outcome]:
            try:
                return function()
            except RlmError as error:
                self._tree.end(error, self._budget)
                raise

        return run

    def _place(self, item: object) -> tuple[int, int]:
        match item:
            case [int() as call, int() as index] if call in self._jobs:
                if 0 <= index < len(self._jobs[call].jobs):
                    return call, index
        raise GuestRaise("ValueError", "there is no such call")

    def _collect(self, call: int, index: int) -> Outcome:
        job, at = self._jobs[call].jobs[index]
        with self._waiting():
            return job.result(self._budget.check)[at]

    def _poll(self, call: int, index: int) -> bool:
        """Whether a call is done: what was said once stays so, and is on record."""
        self._budget.check()
        submission = self._jobs[call]
        job, _ = submission.jobs[index]
        polls = submission.polls.get(index, 0)
        if polls < 0:
            return True
        with self._waiting():
            known = self._tree.journal.polled(
                self._budget.node, self.turn, (call, index), polls + 1
            )
            done = job.wait(_POLL_SECONDS) if known is None else known
        submission.polls[index] = -1 if done else polls + 1
        if done:
            self._tree.record(
                Polled(
                    turn=self.turn,
                    call=call,
                    index=index,
                    polls=polls + 1,
                    node=self._budget.node,
                )
            )
        return done

    # ---------------------------------------------------------- small things

    def _raised(self, call: int, error: GuestRaise, index: int = -1) -> None:
        self._tree.record(
            CallRaised(
                turn=self.turn,
                call=call,
                kind=error.kind,
                message=error.message,
                node=self._budget.node,
                index=index,
            )
        )

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """The guest's thread waits: neither its code nor the runtime is what takes the time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - began


class _Submission:
    """The jobs of one call of `submit`: for each item its job, and its place in the outcome."""

    def __init__(
        self, jobs: list[tuple[Job[list[Outcome]], int]], children: list[Child] | None = None
    ) -> None:
        self.jobs = jobs
        self.children = children or []
        self.polls: dict[int, int] = {}  # by index: polls so far, -1 once it is done

    def outcomes(self) -> list[Outcome]:
        """Of all items. The jobs are done; raises what ended one of them."""
        return [job.result()[at] for job, at in self.jobs]

    def cancel(self, tree: Tree) -> None:
        for job, _ in self.jobs:
            job.drop()
        for child in self.children:
            tree.end_level(cancelled(child.budget), child.budget)

    def settle(self) -> None:
        for job, _ in self.jobs:
            job.settle()


def most_tokens(messages: tuple[Message, ...], max_tokens: int, window: int) -> int:
    """The most that one request can use: a token takes at least a byte of text."""
    size = sum(4 * len(message.content) + TEMPLATE_TOKENS for message in messages)
    return min(window, size + max_tokens)


def check_cut(budget: Budget, completions: list[Completion]) -> None:
    """Raise the limit that cut a reply short: such a reply never reaches the guest's code."""
    if any(completion.finish in ("deadline", "tokens") for completion in completions):
        budget.check()
        raise budget.cut_short()


_USAGE = {
    "llm_query": "give one prompt, a str",
    "llm_query_batched": "give a list of prompts, each a str",
    "rlm_query": "give a question, a str, and a context",
    "rlm_query_batched": "give a list of (question, context) pairs",
    "submit": "give a prompt, or a question and a context",
    "collect": "give handles",
    "poll": "give a handle",
}


def _text(value: object, name: str) -> Text:
    if not isinstance(value, str | GuestText):
        raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")
    return value


def _query(value: object, name: str) -> Query:
    match value:
        case [str() | GuestText() as prompt] | (str() | GuestText() as prompt):
            return Query(prompt)
        case [str() | GuestText() as question, context]:
            return Query(question, ChildContext.of(context))
    raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")


def _share(value: object) -> float | None:
    match value:
        case None:
            return None
        case bool():
            pass
        case int() | float() if 0 < value <= 1:
            return float(value)
    raise GuestRaise("ValueError", f"a budget is a share above 0 and at most 1, not {value!r}")


def _error(error: GuestRaise) -> Outcome:
    return {"error": [error.kind, error.message]}


def _too_long(error: WindowError, batch: int) -> str:
    which = f"prompt {error.index} of the batch" if batch > 1 else "the prompt"
    return (
        f"{which} has {error.tokens:,} tokens, and {error.fits:,} fit the model's window; "
        "split the text and ask about each part"
    )
