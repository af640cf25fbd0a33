"""The calls that the model's code makes to a model: `llm_query` and its kin.

They run on the guest's thread while the guest waits. A mistake of the code
raises in the guest; a limit or a dead worker ends the cell and the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import ClassVar

from rlm_local import dialogue
from rlm_local.errors import LimitReached, WindowError
from rlm_local.limits import Budget
from rlm_local.model import Model
from rlm_local.records import Completion, Event, Request, StopReason, SubCalled
from rlm_local.sandbox import GuestRaise


class SubCalls:
    """Host functions for one REPL. `turn` is the root's turn they are recorded under."""

    NAMES: ClassVar[tuple[str, ...]] = (
        "llm_query",
        "llm_query_batched",
        "rlm_query",
        "rlm_query_batched",
    )

    def __init__(self, model: Model, budget: Budget, record: Callable[[Event], None]) -> None:
        self.turn = 0
        self._model = model
        self._budget = budget
        self._record = record
        self._seconds = 0.0
        self._lock = threading.Lock()

    def __call__(self, name: str, arguments: list[object]) -> object:
        """Answer `name(*arguments)` with a str, or a list of str for a batch."""
        match name, arguments:
            case "llm_query", [str() as prompt]:
                return self._ask([prompt])[0]
            case "llm_query_batched", [list() as prompts]:
                return self._ask([_text(prompt, name) for prompt in prompts])
            case "rlm_query", [str() as question, str() as context]:
                return self._ask([dialogue.child_as_call(question, context)])[0]
            case "rlm_query_batched", [list() as pairs]:
                return self._ask([dialogue.child_as_call(*_pair(pair)) for pair in pairs])
            case _ if name in self.NAMES:
                raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")
            case _:
                raise GuestRaise("NameError", f"there is no host function {name!r}")

    def refuse(self, name: str) -> object:
        """Answer any call in a run without sub-calls."""
        raise GuestRaise("RuntimeError", f"{name}: sub-calls are off in this run (depth 0)")

    def take_seconds(self) -> float:
        """Time spent in sub-calls since the last time this was asked."""
        with self._lock:
            seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _ask(self, prompts: list[str]) -> list[str]:
        if not prompts:
            return []
        limits = self._budget.limits
        self._budget.charge_sub_calls(len(prompts))
        requests = [
            Request(messages=dialogue.sub_call(prompt), max_tokens=limits.sub_call_tokens)
            for prompt in prompts
        ]
        began = time.monotonic()
        try:
            completions = self._model.complete(
                requests, deadline=self._budget.deadline, token_limit=self._budget.tokens_left
            )
        except WindowError as error:
            raise GuestRaise("ValueError", _too_long(error, len(prompts))) from error
        seconds = time.monotonic() - began
        with self._lock:
            self._seconds += seconds
        self._budget.charge_completions(completions)
        self._record(
            SubCalled(
                turn=self.turn,
                prompts=tuple(prompts),
                replies=tuple(completion.text for completion in completions),
                completions=tuple(completions),
                seconds=seconds,
            )
        )
        self._check(completions)
        return [completion.text.strip() for completion in completions]

    def _check(self, completions: list[Completion]) -> None:
        """Replies that a limit cut short never reach the guest's code."""
        if any(completion.finish in ("deadline", "tokens") for completion in completions):
            self._budget.check_clock()
            raise LimitReached(
                StopReason.TOKENS,
                f"the run reached its limit of {self._budget.limits.tokens:,} tokens",
                hint="raise tokens",
            )


_USAGE = {
    "llm_query": "give one prompt, a str",
    "llm_query_batched": "give a list of prompts, each a str",
    "rlm_query": "give a question and a context, both str",
    "rlm_query_batched": "give a list of (question, context) pairs of str",
}


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise GuestRaise("TypeError", f"{name}: {_USAGE[name]}")
    return value


def _pair(value: object) -> tuple[str, str]:
    match value:
        case [str() as question, str() as context]:
            return question, context
        case _:
            raise GuestRaise("TypeError", f"rlm_query_batched: {_USAGE['rlm_query_batched']}")


def _too_long(error: WindowError, batch: int) -> str:
    which = f"prompt {error.index} of the batch" if batch > 1 else "the prompt"
    return (
        f"{which} has {error.tokens:,} tokens, and {error.fits:,} fit the model's window; "
        "split the text and ask about each part"
    )
