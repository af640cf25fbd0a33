"""Another attempt, later: for what a server that is busy or starting will do next time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rlm_local.errors import ModelError, NoTimeLeft

T = TypeVar("T")

_FACTOR = 2.0
_MOST_SECONDS = 30.0


class PassingError(Exception):
    """What may go better next time. `wait`: the seconds that the server asks for, if it does."""

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


async def persistently(
    attempt: Callable[[], Awaitable[T]],
    *,
    server: str,
    attempts: int,
    first_seconds: float,
    deadline: float,
    hint: str = "see that it runs and is reachable",
) -> T:
    """What `attempt` gives, tried again after a PassingError, at ever longer intervals.

    The first waits about `first_seconds`; never so long that `deadline`, on the loop's
    clock, would come in between. Raises ModelError after the last attempt, and NoTimeLeft
    where there is no time for another, both with `hint`.
    """
    now = asyncio.get_running_loop().time
    delay = first_seconds
    made = 0
    while True:
        try:
            return await attempt()
        except PassingError as error:
            made += 1
            # Callers that failed together do not come back together.
            wait = max(error.wait or 0.0, delay * random.uniform(0.5, 1.0))
            if made >= attempts or now() + wait >= deadline:
                message = _given_up(error, server, made, deadline - now())
                kind = ModelError if made >= attempts else NoTimeLeft
                raise kind(message, hint=hint) from error
        await asyncio.sleep(wait)
        delay = min(delay * _FACTOR, _MOST_SECONDS)


def _given_up(error: PassingError, server: str, made: int, left: float) -> str:
    times = "1 attempt" if made == 1 else f"{made} attempts"
    message = f"the model's server {server} failed in {times}: {error}"
    if error.wait is not None and error.wait >= left:
        message += f", and asks to wait {error.wait:.0f} s, where {max(0.0, left):.0f} s are left"
    return message
