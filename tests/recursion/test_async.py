"""Calls that code goes on beside: handles, `await`, `asyncio`, and that all of it is replayable."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from rlm_local.errors import WindowError
from rlm_local.model import ScriptedModel
from rlm_local.records import (
    CallRaised,
    Completion,
    Event,
    NodeEnded,
    Polled,
    Ran,
    Request,
    StopReason,
    SubCalled,
    Submitted,
)
from tests.recursion.conftest import Asker, by_depth, cell

CHILD = "FINAL(question + '/' + str(len(context)))"


def run(ask: Asker, *cells: str, **limits: object) -> str:
    """The answer of a root that runs these cells."""
    turns = iter(cells)
    answer = ask(lambda r: cell(next(turns) if r.depth == 0 else CHILD), **limits)
    assert answer.stop is StopReason.ANSWERED, answer.message
    return answer.text


class TestHandles:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            ("FINAL(submit('a').result())", "A"),
            ("FINAL(gather([submit('a'), submit('b')]))", "['A', 'B']"),
            ("FINAL(gather(submit('a'), submit('b', 'xx')))", "['A', 'b/2']"),
            ("FINAL(gather([]))", "[]"),
            ("h = submit('a')\nFINAL((h.result(), h.result(), h.done()))", "('A', 'A', True)"),
            ("hs = [submit(str(n)) for n in range(40)]\nFINAL(''.join(gather(hs)))", None),
            ("hs = [submit(c) for c in 'abc']\nFINAL(gather(reversed(hs)))", "['C', 'B', 'A']"),
            ("FINAL(submit('q', context).result()[:2])", "q/"),
            ("FINAL(await submit('a'))", "A"),
            ("import asyncio\nFINAL(await asyncio.gather(submit('a'), submit('b')))", "['A', 'B']"),
            ("h = submit('a')\nFINAL(repr(h))", "<handle of call 1>"),
        ],
    )
    def test_results(self, ask: Asker, code: str, text: str | None) -> None:
        assert run(ask, code) == (text or "".join(map(str, range(40))))

    def test_a_handle_lives_on_in_later_cells(self, ask: Asker) -> None:
        assert run(ask, "h = submit('a')", "g = submit('b')", "FINAL(gather(h, g))") == "['A', 'B']"

    def test_code_goes_on_while_the_model_works(self, ask: Asker) -> None:
        """The model replies only when the code has gone on to another call."""
        went_on = threading.Event()

        def reply(request: Request) -> str:
            if request.messages[0].content == "slow":
                assert went_on.wait(20)
                return "slow done"
            went_on.set()
            return "fast done"

        code = "h = submit('slow')\nfast = llm_query('fast')\nFINAL([fast, h.result()])"
        assert ask(by_depth(code), reply).text == "['fast done', 'slow done']"

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("submit(3)", "TypeError"),
            ("submit('q', 3)", "TypeError"),
            ("submit('q', '').result()", "ValueError"),
            ("submit('q', 'x', budget=7)", "ValueError"),
            ("submit('x' * 600_000).result()", "ValueError"),
            ("gather(3)", "TypeError"),
            ("type(submit('a'))(99).result()", "ValueError"),
            ("type(submit('a'))(1, 5).result()", "ValueError"),
            ("type(submit('a'))(1, -1).result()", "ValueError"),
            ("type(submit('a'))('one').result()", "ValueError"),
        ],
    )
    def test_mistakes_raise_in_the_guest(self, ask: Asker, code: str, error: str) -> None:
        tried = f"try: {code}\nexcept Exception as e: FINAL(type(e).__name__)"
        assert run(ask, tried) == error

    @pytest.mark.parametrize("all_told", [True, False])
    def test_a_prompt_that_does_not_fit_fails_alone(
        self, ask: Asker, events: list[Event], all_told: bool
    ) -> None:
        """Whether the model tells of the first such prompt, or of all at once."""
        batches: list[int] = []

        class Narrow(ScriptedModel):
            def complete(
                self, requests: Sequence[Request], *, deadline: float, token_limit: int
            ) -> list[Completion]:
                if not requests[0].dialogue:
                    batches.append(len(requests))
                refused = [
                    WindowError(9_000, 2_000, index=index)
                    for index, request in enumerate(requests)
                    if not request.dialogue and "long" in request.messages[0].content
                ]
                if refused:
                    refused[0].others = tuple(refused[1:]) if all_told else ()
                    raise refused[0]
                return super().complete(requests, deadline=deadline, token_limit=token_limit)

        code = (
            "import asyncio\n"
            "asked = [llm_query_async(p) for p in ('a', 'long', 'b', 'long too')]\n"
            "said = await asyncio.gather(*asked, return_exceptions=True)\n"
            "FINAL([s if isinstance(s, str) else type(s).__name__ for s in said])"
        )
        answer = ask(model=Narrow(by_depth(code), lambda r: r.messages[0].content.upper()))
        assert answer.text == "['A', 'ValueError', 'B', 'ValueError']"
        [called] = [event for event in events if isinstance(event, SubCalled)]
        assert called.prompts == ("a", "b")
        raised = [event.index for event in events if isinstance(event, CallRaised)]
        assert raised == [1, 3]
        assert batches == ([4, 2] if all_told else [4, 3, 2])

    def test_polling(self, ask: Asker, events: list[Event]) -> None:
        """`done` is true in the end, and the first time that it is, is on record."""
        code = (
            "h = submit('a')\nn = 1\nwhile not h.done(): n += 1\nFINAL((n, h.done(), h.result()))"
        )
        text = run(ask, code)
        [polled] = [event for event in events if isinstance(event, Polled)]
        assert text == f"({polled.polls}, True, 'A')"
        assert (polled.call, polled.index) == (1, 0)

    def test_what_is_not_waited_for_is_cancelled(self, ask: Asker, events: list[Event]) -> None:
        class Waiting(ScriptedModel):
            stopped = threading.Event()

            def cancel(self, node: str = "") -> None:
                self.stopped.set()

            def complete(
                self, requests: Sequence[Request], *, deadline: float, token_limit: int
            ) -> list[Completion]:
                if not requests[0].dialogue:
                    self.stopped.wait(30)
                return super().complete(requests, deadline=deadline, token_limit=token_limit)

        code = (
            "hs = [submit('a') for n in range(20)]\nhs += [submit('q', 'x') for h in hs]\nFINAL(1)"
        )
        began = time.monotonic()
        answer = ask(model=Waiting(by_depth(code, "while True: pass"), lambda r: "y"))
        assert (answer.text, answer.stop) == ("1", StopReason.ANSWERED)
        assert time.monotonic() - began < 15
        assert answer.usage.sub_calls == 40
        assert {e.stop for e in events if isinstance(e, NodeEnded)} <= {StopReason.CANCELLED}
        assert threading.active_count() < 30

    def test_what_was_submitted_is_on_record_before_it_comes_back(
        self, ask: Asker, events: list[Event]
    ) -> None:
        run(ask, "FINAL(gather(submit('a'), submit('b')))")
        submitted = {e.call: e.prompts for e in events if isinstance(e, Submitted)}
        called = {e.call: e.prompts for e in events if isinstance(e, SubCalled)}
        assert submitted == called == {1: ("a",), 2: ("b",)}


class TestAwait:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            ("x = await llm_query_async('a')\nFINAL(x)", "A"),
            ("FINAL(await llm_query('a'))", "A"),
            ("FINAL(await llm_query_batched(['a', 'b']))", "['A', 'B']"),
            ("FINAL(await rlm_query('q', 'xyz'))", "q/3"),
            ("FINAL(await rlm_query_batched([('q', 'xyz'), ('r', 'x')]))", "['q/3', 'r/1']"),
            ("FINAL(await rlm_query_async('q', 'xyz', budget=0.5))", "q/3"),
            (
                "FINAL(await rlm_query_batched([('q', 'xyz'), ('r', 'a')], budget=0.5))",
                "['q/3', 'r/1']",
            ),
            (
                "import asyncio\nFINAL(await asyncio.gather(*[llm_query_async(p) for p in 'abc']))",
                "['A', 'B', 'C']",
            ),
            (
                "import asyncio\nFINAL(await asyncio.gather(*[llm_query(p) for p in 'abc']))",
                "['A', 'B', 'C']",
            ),
            (
                "from asyncio import gather\n"
                "FINAL(await gather(llm_query('a'), rlm_query('q', 'x')))",
                "['A', 'q/1']",
            ),
            (
                "import asyncio\n"
                "async def ask(p): return p + (await llm_query(p))\n"
                "FINAL(await asyncio.gather(*map(ask, 'ab')))",
                "['aA', 'bB']",
            ),
            (
                "import asyncio\n"
                "async def ask(p): return await llm_query_async(p)\n"
                "async def main(): return await asyncio.gather(ask('a'), ask('b'))\n"
                "FINAL(asyncio.run(main()))",
                "['A', 'B']",
            ),
            (
                "import asyncio\n"
                "async def main(): return await llm_query_async('a')\n"
                "FINAL(asyncio.get_event_loop().run_until_complete(main()))",
                "A",
            ),
            (
                "import asyncio\n"
                "async with asyncio.TaskGroup() as group:\n"
                "    ts = [group.create_task(llm_query_async(p)) for p in 'ab']\n"
                "FINAL([t.result() for t in ts])",
                "['A', 'B']",
            ),
            (
                "import asyncio\n"
                "said = []\n"
                "for each in asyncio.as_completed([llm_query_async(p) for p in 'abc']):\n"
                "    said.append(await each)\n"
                "FINAL(sorted(said))",
                "['A', 'B', 'C']",
            ),
            (
                "import asyncio\n"
                "limit = asyncio.Semaphore(2)\n"
                "async def ask(p):\n"
                "    async with limit: return await llm_query_async(p)\n"
                "FINAL(await asyncio.gather(*map(ask, 'abcde')))",
                "['A', 'B', 'C', 'D', 'E']",
            ),
            ("import asyncio\nFINAL(await asyncio.wait_for(llm_query_async('a'), 30))", "A"),
            ("import asyncio\nFINAL(await asyncio.to_thread(llm_query, 'a'))", "A"),
            ("FINAL([await llm_query_async(p) for p in 'ab'])", "['A', 'B']"),
            (
                "async def each():\n"
                "    for p in 'ab': yield await llm_query_async(p)\n"
                "FINAL([x async for x in each()])",
                "['A', 'B']",
            ),
            ("async def llm_query(p): return 'own ' + p\nFINAL(await llm_query('a'))", "own a"),
            ("import asyncio\nawait asyncio.sleep(10**6)\nFINAL('woke')", "woke"),
            ("import asyncio\nq = asyncio.Queue()\nawait q.put(1)\nFINAL(await q.get())", "1"),
        ],
    )
    def test_forms(self, ask: Asker, code: str, text: str) -> None:
        assert run(ask, code) == text

    def test_what_is_awaited_together_is_asked_together(
        self, ask: Asker, events: list[Event]
    ) -> None:
        code = "import asyncio\nFINAL(await asyncio.gather(*[llm_query(str(n)) for n in range(9)]))"
        run(ask, code)
        assert [len(event.prompts) for event in events if isinstance(event, SubCalled)] == [9]

    def test_a_value_is_shown_and_tasks_go_on_in_later_cells(self, ask: Asker) -> None:
        cells = [
            "import asyncio\nt = asyncio.create_task(llm_query_async('a'))",
            "async def later(): return await t\nu = asyncio.ensure_future(later())",
            "FINAL(await u)",
        ]
        text = run(ask, "import asyncio\nawait asyncio.sleep(0)\n" + cells[0], *cells[1:])
        assert text == "A"

    @pytest.mark.parametrize(
        ("code", "shown"),
        [
            ("await llm_query_async('a')", "'A'"),
            ("import asyncio\nawait asyncio.gather(llm_query('a'))", "['A']"),
            ("await nothing()", "NameError"),
            ("import asyncio\nawait asyncio.Future()", "waits for something that will never come"),
            ("import asyncio\nawait asyncio.gather(llm_query_async(3))", "TypeError"),
            ("async def f(): 1/0\nawait f()", "ZeroDivisionError"),
            ("llm_query_async('a')", "coroutine"),
            ("def f():\n    await g()", "SyntaxError"),
        ],
    )
    def test_what_the_model_is_shown(
        self, ask: Asker, events: list[Event], code: str, shown: str
    ) -> None:
        run(ask, code, "FINAL(1)", syntax_retries=0)
        seen = next(event.shown for event in events if isinstance(event, Ran))
        assert shown in seen
        assert "asyncio/" not in seen
        assert "_rlm_tasks" not in seen

    def test_final_ends_the_run_from_within_a_task(self, ask: Asker) -> None:
        code = (
            "import asyncio\n"
            "async def finish(): FINAL('done')\n"
            "async def wait(): await asyncio.sleep(9)\n"
            "await asyncio.gather(finish(), wait())"
        )
        assert run(ask, code) == "done"

    def test_an_interrupt_leaves_variables_and_a_fresh_loop(self, ask: Asker) -> None:
        spin = "import asyncio\nx = 5\nwhile True: await asyncio.sleep(0)"
        text = run(ask, spin, "FINAL((x, await llm_query_async('a')))", cell_seconds=0.5)
        assert text == "(5, 'A')"

    def test_a_cancelled_task_does_not_disturb_the_others(self, ask: Asker) -> None:
        code = (
            "import asyncio\n"
            "ts = [asyncio.create_task(llm_query_async(p)) for p in 'abc']\n"
            "await asyncio.sleep(0)\n"
            "ts[1].cancel()\n"
            "said = await asyncio.gather(*ts, return_exceptions=True)\n"
            "FINAL([s if isinstance(s, str) else type(s).__name__ for s in said])"
        )
        assert run(ask, code) == "['A', 'CancelledError', 'C']"


RACES = """
import asyncio
order = []
async def ask(p):
    order.append(await llm_query_async(p))
    if p in 'ab': order.append(await rlm_query_async(p, 'x'))
async def tick():
    for n in range(3):
        await asyncio.sleep(1); order.append(n)
hs = [submit(c) for c in 'xyz']
await asyncio.gather(*map(ask, 'abcd'), tick())
FINAL(order + gather(hs))
"""


@pytest.mark.parametrize("seed", range(3))
def test_whichever_call_ends_first_the_code_sees_the_same(
    ask: Asker, events: list[Event], seed: int
) -> None:
    import random

    delays = random.Random(seed)

    def reply(request: Request) -> str:
        time.sleep(delays.random() * 0.02)
        return request.messages[0].content.upper()

    answer = ask(by_depth(RACES, CHILD), reply)
    assert answer.text == str(["A", "B", "C", "D", "a/1", "b/1", 0, 1, 2, "X", "Y", "Z"])
    assert Counter(type(event) for event in events)[NodeEnded] == 2
