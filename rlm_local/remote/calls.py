"""One call of the model: its requests side by side, each until it has its end.

What a call does happens on the event loop's thread. A limit, a cancellation and Ctrl-C
all end it in the same way: what is under way is dropped, which closes its connection,
and a server stops computing for whom nobody listens. What has come by then is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

from rlm_local.errors import ModelError
from rlm_local.records import Completion, Request
from rlm_local.remote.exchange import Exchange, Remote
from rlm_local.remote.ledger import Ledger
from rlm_local.remote.retry import persistently


class Call:
    """One `complete`. `grammars`: for each request its form in GBNF, or ''."""

    def __init__(
        self,
        remote: Remote,
        requests: Sequence[Request],
        grammars: Sequence[str],
        *,
        deadline: float,
        token_limit: int,
    ) -> None:
        self.nodes = {request.node for request in requests}
        self._remote = remote
        self._deadline = deadline
        self._ledger = Ledger(token_limit)
        self._exchanges = [
            Exchange(remote, index, *each)
            for index, each in enumerate(zip(requests, grammars, strict=True))
        ]
        most = sum(one.prompt + one.most for one in self._exchanges)
        self._tight = most > token_limit
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    async def run(self) -> list[Completion]:
        """Raises WindowError, ModelError. Of a prompt that does not fit, before anything is sent,
        unless only the server can tell."""
        await self._side_by_side(self._measure(one) for one in self._exchanges)
        try:
            await self._side_by_side(self._answer(one) for one in self._exchanges)
        except ModelError as error:
            error.completions = tuple(one.completion() for one in self._exchanges)
            raise
        return [one.completion() for one in self._exchanges]

    def stop(self) -> None:
        """End it as at its deadline."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def _side_by_side(self, work: Iterable[Coroutine[None, None, None]]) -> None:
        """Until all has ended, one has failed, or time is up."""
        self._tasks = [asyncio.create_task(each) for each in work]
        now = asyncio.get_running_loop().time()
        left = None if math.isinf(self._deadline) else max(0.0, self._deadline - now)
        try:
            if self._stopped:
                self.stop()
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in self._tasks:
                task.cancel()
            ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _measure(self, one: Exchange) -> None:
        if one.surely_fits and not self._tight:
            return
        async with self._remote.place(one.request):
            await self._persistently(one.measure)

    async def _answer(self, one: Exchange) -> None:
        async with self._remote.place(one.request):
            allowed = await self._ledger.take(one.prompt, one.most)
            if not allowed:
                one.out_of_tokens = True
                return
            one.out_of_tokens = allowed < one.most
            one.most = allowed
            taken = one.prompt + allowed
            began = asyncio.get_running_loop().time()
            try:
                await self._persistently(one.ask)
                await one.settle()
            finally:
                one.seconds = asyncio.get_running_loop().time() - began
                self._ledger.give(taken, one.completion().work_tokens)

    async def _persistently(self, attempt: Callable[[], Awaitable[None]]) -> None:
        options = self._remote.options
        await persistently(
            attempt,
            server=self._remote.address.server,
            attempts=options.attempts,
            first_seconds=options.first_wait_seconds,
            deadline=self._deadline,
            hint="see that it runs and is reachable; `rlm-local runs resume` goes on then",
        )
