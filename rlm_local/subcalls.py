"""The calls that the model's code makes to a model: `llm_query`, `rlm_query` and their kin.

They run on the guest's thread while the guest waits. A mistake of the code
raises in the guest; a limit or a dead worker ends the cell, and what else it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from rlm_local.budget import Budget
from rlm_local.journal import Standing
from rlm_local.outcomes import Call, Outcome, attempted, failed, of_child
from rlm_local.plaincalls import FREE, Form, PlainCalls
from rlm_local.prompt import Prompt
from rlm_local.queries import ChildContext, Query, Text
from rlm_local.records import NodeEnded, Submitted
from rlm_local.sandbox import GuestRaise, GuestText
from rlm_local.submissions import Submissions
from rlm_local.tree import Tree


class Child:
    """A child that a call of its parent's code wants: number `index` of those."""

    def __init__(
        self, query: Query, budget: Budget, *, call: Call, index: int, share: float | None
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
        self._plain = PlainCalls(tree, budget)
        self._submissions = Submissions(tree, budget)
        self._seconds = 0.0

    def __call__(self, name: str, arguments: list[object]) -> object:
        """Answer `name(*arguments)`."""
        with self._waiting():
            match name, arguments:
                case "collect", [list() as items]:
                    places = [self._submissions.place(item) for item in items]
                    return [self._submissions.collect(place) for place in places]
                case "poll", [item]:
                    place = self._submissions.place(item)
                    return self._submissions.poll(place, self.turn, self.calls)
            self.calls += 1
            call = Call(self.turn, self.calls)
            try:
                return self._answer(call, name, arguments)
            except GuestRaise as error:
                self._plain.raised(call, error)
                raise

    def take_seconds(self) -> float:
        """Time spent in calls since the last time this was asked."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def close(self) -> None:
        """Cancel what was submitted and is not done, and wait for what has begun."""
        self._submissions.close()

    def standing(self) -> Standing | None:
        """Where the calls stand, for a checkpoint; None while one is not done."""
        outcomes = self._submissions.outcomes()
        if outcomes is None:
            return None
        return Standing(
            calls=self.calls,
            children=self.children,
            sub_calls=self._budget.usage().sub_calls,
            outcomes=outcomes,
            polled=self._submissions.polled(),
        )

    def restore(self, standing: Standing) -> None:
        """Go on where the calls stood."""
        self.calls, self.children = standing.calls, standing.children
        self._submissions.restore(standing.outcomes, standing.polled)

    def _answer(self, call: Call, name: str, arguments: list[object]) -> object:
        plain = self._plain
        match name, arguments:
            case "llm_query", [str() | GuestText() as prompt, *form] if len(form) <= 1:
                return plain.ask(call, [plain.checked(prompt)], _form(form))[0]
            case "llm_query_batched", [list() as prompts, *form] if len(form) <= 1:
                texts = [plain.checked(_text(each, name)) for each in prompts]
                return plain.ask(call, texts, _form(form))
            case "rlm_query", [[*query], share]:
                return self._query(call, [_query(query, name)], _share(share))
            case "rlm_query_batched", [list() as queries, share]:
                return self._query(call, [_query(q, name) for q in queries], _share(share))
            case "submit", ["llm", list() as prompts, *form] if len(form) <= 1:
                given = [_text(prompt, "llm_query") for prompt in prompts]
                checked = [attempted(partial(plain.checked, text)) for text in given]
                return self._submit_plain(call, checked, _form(form))
            case "submit", ["rlm", list() as queries, share]:
                wanted = [_query(query, "rlm_query") for query in queries]
                return self._submit_queries(call, wanted, _share(share))
            case _ if name in _USAGE:
                raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")
            case _:
                raise GuestRaise("NameError", f"there is no host function {name!r}")

    # ------------------------------------------------------------- children

    def _query(self, call: Call, queries: list[Query], share: float | None) -> list[Outcome]:
        """Children side by side; plain calls where no further child is allowed."""
        if not queries:
            return []
        if not self._may_have_children:
            prompts = [self._as_prompt(query) for query in queries]
            return [{"text": text} for text in self._plain.ask(call, prompts)]
        self._budget.charge_sub_calls(len(queries))
        wanted = self._number(call, queries, share)
        return self._tree.helpers.all([partial(self._run, child) for child in wanted])

    @property
    def _may_have_children(self) -> bool:
        return self._plain.depth < self._tree.limits.depth

    def _as_prompt(self, query: Query) -> str:
        self._plain.check_length(query.chars(self._prompt))
        return query.as_call(self._prompt)

    def _number(self, call: Call, queries: list[Query], share: float | None) -> list[Child]:
        """Give each child its name and its budget, in the order of the call."""
        children = []
        part = self._tree.journal.share(share)
        for index, query in enumerate(queries):
            self.children += 1
            node = f"{self._budget.node}.{self.children}"
            budget = self._budget.child(node, share=part, among=len(queries))
            children.append(Child(query, budget, call=call, index=index, share=share))
        return children

    def _run(self, child: Child) -> Outcome:
        """One child, from beginning to end."""
        try:
            return of_child(self._run_child(child))
        except GuestRaise as error:
            self._plain.raised(child.call, error, child.index)
            return failed(error)

    def _run_alone(self, child: Child) -> list[Outcome]:
        return [self._run(child)]

    # ------------------------------------------- calls that the code goes on beside

    def _submit_plain(
        self, call: Call, prompts: Sequence[str | GuestRaise], form: Form = FREE
    ) -> int:
        self._budget.charge_sub_calls(len(prompts))
        self._tree.record(
            Submitted(
                turn=call.turn,
                call=call.number,
                prompts=tuple(prompt for prompt in prompts if isinstance(prompt, str)),
                node=self._budget.node,
                depth=self._plain.depth,
            )
        )
        work = partial(self._plain.ask_each, call, prompts, form)
        self._submissions.begin(call, work, len(prompts))
        return call.number

    def _submit_queries(self, call: Call, queries: list[Query], share: float | None) -> int:
        if not self._may_have_children:
            prompts = [attempted(partial(self._as_prompt, query)) for query in queries]
            return self._submit_plain(call, prompts)
        for query in queries:
            query.fetch()
        self._budget.charge_sub_calls(len(queries))
        children = self._number(call, queries, share)
        self._submissions.begin_children(
            call, [(child.budget, partial(self._run_alone, child)) for child in children]
        )
        return call.number

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """The guest's thread waits: this is no time of its code."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - began


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


def _form(given: list[object]) -> Form:
    return Form.of(given[0]) if given else FREE


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
    what = f", not {value!r}" if isinstance(value, bool | int | float) else ""
    raise GuestRaise("ValueError", f"a budget is a share above 0 and at most 1{what}")
