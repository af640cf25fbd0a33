"""`await` in a cell: an event loop whose only events are calls of the host.

There are no threads and no files here, so a task can wait for a call, or for the
virtual clock. When all tasks wait, the calls that they want are submitted in one
go, and then answered in the order in which they were made, whichever ends first:
so the same cell sees the same things again. A call takes no virtual time: timers
fire when no call is out.
"""

from __future__ import annotations

import _thread
import ast
import asyncio
import inspect
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

from _rlm_calls import (  # type: ignore[import-not-found] # calls.py
    begin,
    collect,
    form_of,
    listed,
    one_query,
    prompt_of,
    query_of,
    value_of,
    values_of,
)

NO_THREADS = (
    "this Python has no threads; to do many calls at once use llm_query_batched(prompts), "
    "submit(prompt) or `await asyncio.gather(...)`"
)

Place = tuple[int, int]


class Loop(asyncio.BaseEventLoop):
    """An event loop for one session's cells."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self  # the base asks it what has happened
        self._wanted: list[tuple[str, Any, Any, asyncio.Future[Any]]] = []
        self._out: deque[tuple[Place, asyncio.Future[Any]]] = deque()

    async def call(self, kind: str, item: Any, extra: Any = None) -> dict[str, Any]:
        """The outcome of one plain call ("llm") or child ("rlm"); see `begin` for `extra`."""
        future: asyncio.Future[dict[str, Any]] = self.create_future()
        self._wanted.append((kind, item, extra, future))
        return await future

    async def waiting_for(self, place: Place) -> str:
        """The value of a call that was submitted already."""
        return value_of(await self._outcome(place))  # type: ignore[no-any-return]

    async def batch(self, kind: str, items: list[Any], extra: Any) -> list[dict[str, Any]]:
        """The outcomes of what is one call, and shares what `extra` is."""
        call = begin(kind, items, extra)
        return await asyncio.gather(*[self._outcome((call, at)) for at in range(len(items))])

    def _outcome(self, place: Place) -> asyncio.Future[dict[str, Any]]:
        future: asyncio.Future[dict[str, Any]] = self.create_future()
        self._out.append((place, future))
        return future

    # ------------------------------------------------------- asked by the base class

    def select(self, timeout: float | None) -> list[object]:
        """Called between rounds; with a `timeout` other than 0 when no task can go on."""
        if timeout is not None and timeout <= 0:
            return []
        if self._wanted:
            self._submit()
        elif self._out:
            self._answer_oldest()
        elif timeout is None:
            raise RuntimeError("every task waits for something that will never come")
        else:
            time.sleep(timeout)
        return []

    def _process_events(self, events: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: object, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        """`asyncio.to_thread` and the like: done at once, since there are no threads."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - it belongs to who awaits it
            future.set_exception(error)
        return future

    # ------------------------------------------------------------------- the calls

    def _submit(self) -> None:
        wanted = [each for each in self._wanted if not each[3].done()]  # or cancelled
        self._wanted = []
        while wanted:
            kind, _, extra, _ = wanted[0]
            if kind == "rlm" and extra is not None:  # a child's own budget
                batch, wanted = wanted[:1], wanted[1:]
            else:
                batch = [each for each in wanted if each[0] == kind and each[2] == extra]
                wanted = [each for each in wanted if each[0] != kind or each[2] != extra]
            futures = [future for *_, future in batch]
            try:
                call = begin(kind, [item for _, item, _, _ in batch], extra)
            except Exception as error:  # noqa: BLE001 - it belongs to who awaits them
                _fail(futures, error)
            else:
                self._out.extend(((call, at), future) for at, future in enumerate(futures))

    def _answer_oldest(self) -> None:
        """Wait for the oldest call that is out, with all that were submitted with it."""
        first = self._out[0][0][0]
        batch = []
        while self._out and self._out[0][0][0] == first:
            batch.append(self._out.popleft())
        try:
            outcomes = collect([place for place, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to who awaits them
            _fail([future for _, future in batch], error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():  # or cancelled
                future.set_result(outcome)


def _fail(futures: list[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


# --------------------------------------------------------------- what code can await


async def llm_query_async(prompt: str, *, choices: Any = None, schema: Any = None) -> str:
    """As llm_query, to be awaited; what is awaited together is asked together."""
    form = form_of(choices, schema)
    value: str = value_of(await running_loop().call("llm", prompt_of(prompt), *form))
    return value


async def llm_query_batched_async(
    prompts: Any, *, choices: Any = None, schema: Any = None
) -> list[str]:
    """As llm_query_batched, to be awaited."""
    wanted = [prompt_of(each) for each in listed(prompts, "llm_query_batched_async")]
    form = form_of(choices, schema)
    loop = running_loop()
    values: list[str] = values_of(
        await asyncio.gather(*[loop.call("llm", prompt, *form) for prompt in wanted])
    )
    return values


async def rlm_query_async(question: str, context: Any = None, budget: float | None = None) -> str:
    """As rlm_query, to be awaited."""
    wanted = query_of(question, context)
    value: str = value_of(await running_loop().call("rlm", wanted, budget))
    return value


async def rlm_query_batched_async(queries: Any, budget: float | None = None) -> list[str]:
    """As rlm_query_batched, to be awaited."""
    wanted = [one_query(each) for each in listed(queries, "rlm_query_batched_async")]
    loop = running_loop()
    outcomes = (
        await asyncio.gather(*[loop.call("rlm", query) for query in wanted])
        if budget is None
        else await loop.batch("rlm", wanted, budget)
    )
    values: list[str] = values_of(outcomes)
    return values


FORMS = {
    form.__name__: form
    for form in (
        llm_query_async,
        llm_query_batched_async,
        rlm_query_async,
        rlm_query_batched_async,
    )
}

# ------------------------------------------------------------------------- running

_loop: Loop | None = None


def session_loop() -> Loop:
    """The loop of this session's cells; its tasks go on in the next cell that awaits."""
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = Loop()
        asyncio.set_event_loop(_loop)
    return _loop


def running_loop() -> Loop:
    """The loop that runs now."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, Loop):
        raise TypeError(f"calls can be awaited in this Python's own loop, not in {loop!r}")
    return loop


def run(code: CodeType, variables: dict[str, object]) -> object:
    """Run the code of a cell, which may await."""
    global _loop
    result = eval(code, variables)
    if not code.co_flags & inspect.CO_COROUTINE:
        return result
    coroutine: Coroutine[Any, Any, object] = result
    try:
        return session_loop().run_until_complete(coroutine)
    except (KeyboardInterrupt, SystemExit):
        _loop = None  # what was under way is not to go on
        raise


class _Awaited(ast.NodeTransformer):
    """Makes `await llm_query(p)` mean its async form, also within `asyncio.gather(...)`."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Await(self, node: ast.Await) -> ast.Await:
        self.generic_visit(node)
        self._change(node.value)
        return node

    def _change(self, node: ast.expr) -> None:
        match node:
            case ast.Call(func=ast.Name(id=name) as function) if name in self._names:
                function.id = f"{name}_async"
            case ast.Call(func=ast.Name(id="gather") | ast.Attribute(attr="gather")):
                for argument in node.args:
                    self._change(argument)
            case ast.Starred(value=value):
                self._change(value)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
                self._change(element)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                for element in elements:
                    self._change(element)


def make_awaitable(tree: ast.Module) -> None:
    """Let a cell await the plain names, as models do that know them to be async, unless
    it gives them a meaning of its own."""
    names = {name.removesuffix("_async") for name in FORMS}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.discard(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.discard(name)
            case ast.alias(name=name, asname=other):
                names.discard(other or name)
    _Awaited(names).visit(tree)


class Policy(asyncio.DefaultEventLoopPolicy):
    """Has `asyncio.run` and the like make loops of ours."""

    def new_event_loop(self) -> Loop:
        return Loop()

    def get_event_loop(self) -> Loop:
        return session_loop()


def _no_threads(*_arguments: object, **_options: object) -> None:
    raise RuntimeError(NO_THREADS)


if sys.platform == "wasi":  # elsewhere, in tests, the process has others in it
    asyncio.set_event_loop_policy(Policy())
    for module in (_thread, threading):
        for name in ("start_new_thread", "start_joinable_thread"):
            for spelling in (name, f"_{name}"):
                if hasattr(module, spelling):
                    setattr(module, spelling, _no_threads)
