"""Who goes next, and what tokens are left."""

from __future__ import annotations

import asyncio

import pytest

from rlm_local.remote.ledger import Ledger
from rlm_local.remote.places import Places


def test_the_deepest_goes_first() -> None:
    async def main() -> list[int]:
        places, order = Places(1), []
        held = asyncio.Event()

        async def first() -> None:
            async with places.at(0):
                await held.wait()

        async def work(number: int, depth: int) -> None:
            async with places.at(depth):
                order.append(number)

        tasks = [asyncio.create_task(first())]
        await asyncio.sleep(0)
        for number, depth in enumerate([1, 0, 2, 2, 1]):
            tasks.append(asyncio.create_task(work(number, depth)))
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(main()) == [2, 3, 0, 4, 1]


@pytest.mark.parametrize("moment", ["waiting", "given"])
def test_who_is_cancelled_keeps_no_place(moment: str) -> None:
    async def main() -> None:
        places = Places(1)
        done = asyncio.Event()

        async def hold() -> None:
            async with places.at(0):
                await done.wait()

        async def wait() -> None:
            async with places.at(0):
                pass

        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        if moment == "given":
            done.set()
            holding.cancel()
            await asyncio.sleep(0)  # the place is passed on: `waiting` has it, and has not run
        waiting.cancel()
        done.set()
        await asyncio.gather(holding, waiting, return_exceptions=True)
        await asyncio.wait_for(wait(), 5)

    asyncio.run(main())


def test_a_reply_gets_what_is_left() -> None:
    async def main() -> None:
        ledger = Ledger(100)
        assert await ledger.take(40, 30) == 30
        ledger.give(70, 50)
        assert await ledger.take(40, 30) == 10
        ledger.give(50, 49)
        assert await ledger.take(1, 5) == 0
        assert await ledger.take(0, 5) == 1

    asyncio.run(main())


def test_whoever_would_get_less_waits_for_others() -> None:
    async def main() -> None:
        ledger = Ledger(100)
        assert await ledger.take(40, 30) == 30
        waiting = asyncio.create_task(ledger.take(20, 20))
        await asyncio.sleep(0)
        assert not waiting.done()
        ledger.give(70, 45)
        assert await waiting == 20

    asyncio.run(main())
