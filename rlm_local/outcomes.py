"""What a call of a node's code gives back, as the guest is told it.

Each prompt or query of a call has an outcome of its own: `{"text": str}`, for a child
that did not finish with `"note": str` beside it, or `{"error": [kind, message]}`. The
guest's side makes values and exceptions of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from rlm_local.records import NodeEnded, StopReason
from rlm_local.sandbox import GuestRaise

T = TypeVar("T")

Outcome = dict[str, object]


class Call(NamedTuple):
    """One call of the host by a node's code: the `number`-th, made in turn `turn`."""

    turn: int
    number: int


def failed(error: GuestRaise) -> Outcome:
    """The outcome of what raises in the guest's code."""
    return {"error": [error.kind, error.message]}


def of_child(ended: NodeEnded) -> Outcome:
    """A child's answer, or its best partial one. Raises GuestRaise if there is none at all."""
    if ended.stop is StopReason.ANSWERED:
        return {"text": ended.text}
    if ended.text:
        return {"text": ended.text, "note": f"only a partial answer: {ended.message}"}
    raise GuestRaise("RuntimeError", f"it ended without an answer: {ended.message}")


def attempted(function: Callable[[], T]) -> T | GuestRaise:
    """The result, or the guest's mistake: for calls whose items fail one by one."""
    try:
        return function()
    except GuestRaise as error:
        return error
