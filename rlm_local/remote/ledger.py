"""Tokens of one batch. What a server will use is not known before, so the most is set aside."""

from __future__ import annotations

import asyncio


class Ledger:
    """`limit` tokens of work, for requests that run side by side on one event loop."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._set_aside = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def take(self, prompt: int, most: int) -> int:
        """How many tokens a reply may have, up to `most`, for a prompt of `prompt` tokens.

        0: none are left for it. While others may still give some back, a request that
        would have to do with less waits for them. What is taken is set aside until `give`.
        """
        while self._set_aside and self._left - self._set_aside < prompt + most:
            change = asyncio.get_running_loop().create_future()
            self._waiting.append(change)
            await change
        allowed = max(0, min(most, self._left - self._set_aside - prompt))
        if allowed:
            self._set_aside += prompt + allowed
        return allowed

    def give(self, taken: int, used: int) -> None:
        """End what was taken as `taken` tokens, prompt and reply; `used` of them are gone."""
        self._set_aside -= taken
        self._left -= used
        for change in self._waiting:
            if not change.done():
                change.set_result(None)
        self._waiting.clear()
