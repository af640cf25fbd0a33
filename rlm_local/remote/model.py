"""A model on a server, as a `Model`: threads on this side, an event loop behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

import msgspec

from rlm_local import catalog
from rlm_local.closing import Closing
from rlm_local.errors import FormError, ModelError, RlmError
from rlm_local.forms.outgoing import encodable, outgoing
from rlm_local.model import Interrupted, is_within
from rlm_local.records import Completion, ModelInfo, Request
from rlm_local.remote.address import RemoteAddress, parse_url
from rlm_local.remote.calls import Call
from rlm_local.remote.exchange import Remote, RemoteOptions
from rlm_local.remote.places import Places
from rlm_local.remote.retry import persistently
from rlm_local.remote.server import Server, Tokenizer, estimate, examine
from rlm_local.remote.web import Web
from rlm_local.remote.wire import choices_grammar, takes_grammar
from rlm_local.starting import begin

T = TypeVar("T")

LOAD_ATTEMPTS = 4
LOAD_SECONDS = 120.0  # for all that is asked of a server before the first request
INTERRUPT_SECONDS = 3.0  # after Ctrl-C, for what there is to come back
_COUNT_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_CLOSE_SECONDS = 2.0


class RemoteModel(Closing):
    """A model on the server that `url` names (`rlm_local.remote.address` says how).

    The server is asked which models it has and how large the window is. Raises ConfigError
    for a URL that cannot be used, a window that nobody names, and where httpx is missing;
    ModelError for a server that is not there or refuses.

    A connection that fails, and an answer of 429 or 5xx, is tried again, unless text has
    come: that is never asked for twice. Tokens are counted as the server counts them; where
    it does not, they are counted or estimated here, rather too many than too few.
    """

    def __init__(
        self,
        url: str,
        *,
        context_tokens: int | None = None,
        options: RemoteOptions = RemoteOptions(),  # noqa: B008  # frozen
    ) -> None:
        self.address = parse_url(url)
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="remote", daemon=True)
        try:
            begin(self._thread, "the model", ModelError)
        except ModelError:
            self._loop.close()
            raise
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._web: Web | None = None
        opened = False
        try:
            self._remote = self._do(self._open(context_tokens), seconds=LOAD_SECONDS)
            opened = True
        finally:
            if not opened:
                self.close()
        server = self._remote.server
        self._info = ModelInfo(
            name=server.model,
            path=url,
            context_tokens=server.window,
            profile=_profile_of(self.address, server),
            parameters=server.parameters,
        )

    @property
    def info(self) -> ModelInfo:
        """`path` is the URL."""
        return self._info

    @property
    def server(self) -> Server:
        """What the server said of itself."""
        return self._remote.server

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`.

        A reply that does not keep to its form has finish "form". Where only the server can
        tell that a prompt does not fit, WindowError comes when it has told. Of a prompt
        that was cut off before its reply began, all tokens are counted.
        """
        if not requests:
            return []
        checked = [outgoing(request, index) for index, request in enumerate(requests)]
        grammars = [
            self._grammar(request, known.grammar, index)
            for index, (request, known) in enumerate(zip(requests, checked, strict=True))
        ]
        # Servers make their own grammar of a schema, unless they take ours.
        asked = [
            known if request.schema is None else _with_schema(known, request)
            for request, known in zip(requests, checked, strict=True)
        ]
        call = Call(self._remote, asked, grammars, deadline=deadline, token_limit=token_limit)
        with self._lock:
            self._check_open()
            self._calls.add(call)
            future = asyncio.run_coroutine_threadsafe(call.run(), self._loop)
        try:
            completions = _waited_for(future)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted(call, future) from interrupt
        finally:
            with self._lock:
                self._calls.discard(call)
        self._check_open()
        return completions

    def count_tokens(self, text: str) -> int:
        """See `Model.count_tokens`. A server that does not count, or not soon, has it estimated:
        too high."""
        text = encodable(text)
        if not self._remote.server.counts:
            return estimate(text)
        with self._lock:
            self._check_open()
        return self._do(self._count(text), seconds=2 * _COUNT_SECONDS)

    def cancel(self, node: str = "") -> None:
        """See `Model.cancel`. What servers keep of dialogues is theirs to let go."""
        with self._lock:
            calls = [
                call
                for call in self._calls
                if not node or any(is_within(each, node) for each in call.nodes)
            ]
            if not self._closed:
                for call in calls:
                    self._loop.call_soon_threadsafe(call.stop)

    def close(self) -> None:
        """End the connections. A call that runs in another thread ends with a ModelError."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            calls = list(self._calls)
        future = asyncio.run_coroutine_threadsafe(self._shut(calls), self._loop)
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        self._thread.join()

    # ------------------------------------------------------------- the event loop

    def _live(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _open(self, context_tokens: int | None) -> Remote:
        web = self._web = Web(
            self.address,
            connect_seconds=self._options.connect_seconds,
            silence_seconds=self._options.silence_seconds,
        )
        server = await self._persistently(
            lambda: examine(web, self.address, context_tokens),
            min(LOAD_ATTEMPTS, self._options.attempts),
        )
        return Remote(
            address=self.address,
            options=self._options,
            web=web,
            server=server,
            tokenizer=Tokenizer(web, self.address, server),
            turns=Places(self.address.connections),
            one_offs=Places(self.address.connections),
        )

    async def _count(self, text: str) -> int:
        """By the server, or estimated if it takes long: a count knows no deadline."""
        attempt = partial(self._remote.tokenizer.count, text)
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                return await self._persistently(attempt, self._options.attempts)
        except TimeoutError:
            return estimate(text)

    async def _shut(self, calls: Sequence[Call]) -> None:
        for call in calls:
            call.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, left = await asyncio.wait(others, timeout=_CLOSE_SECONDS)
            for task in left:  # whoever waits for it would wait for ever
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=_CLOSE_SECONDS)
        if self._web is not None:
            await self._web.close()

    async def _persistently(self, attempt: Callable[[], Awaitable[T]], attempts: int) -> T:
        return await persistently(
            attempt,
            server=self.address.server,
            attempts=attempts,
            first_seconds=self._options.first_wait_seconds,
            deadline=float("inf"),
        )

    def _do(self, work: Coroutine[Any, Any, T], *, seconds: float) -> T:
        """Have the loop do something that is no call of the model."""

        async def limited() -> T:
            try:
                async with asyncio.timeout(seconds):
                    return await work
            except TimeoutError:
                raise ModelError(
                    f"the model's server {self.address.server} did not answer in {seconds:g} s",
                    hint="see whether it is busy",
                ) from None

        future = asyncio.run_coroutine_threadsafe(limited(), self._loop)
        try:
            return _waited_for(future)
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _interrupted(
        self, call: Call, future: concurrent.futures.Future[list[Completion]]
    ) -> Interrupted:
        """What the call has made until now. A second Ctrl-C does not wait for it."""
        self._loop.call_soon_threadsafe(call.stop)
        try:
            return Interrupted(future.result(INTERRUPT_SECONDS))
        except (RlmError, TimeoutError, concurrent.futures.CancelledError):
            return Interrupted(())

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError("the model was closed")

    def _grammar(self, request: Request, grammar: str, index: int) -> str:
        """The form in GBNF, if the server takes that. Raises FormError."""
        if takes_grammar(self._remote.server):
            return choices_grammar(request.choices) if request.choices else grammar
        if request.grammar:
            raise FormError(
                f"the server {self.address.server} takes no GBNF grammar",
                hint="ask for a JSON Schema, or check the reply in code",
                index=index,
            )
        return ""


def _waited_for(future: concurrent.futures.Future[T]) -> T:
    """The result. Awake now and then: a signal may have gone to another thread."""
    while True:
        done, _ = concurrent.futures.wait([future], timeout=_LOOK_SECONDS)
        if done and future.cancelled():
            raise ModelError("the model was closed")
        if done:
            return future.result()


def _with_schema(known: Request, request: Request) -> Request:
    return msgspec.structs.replace(known, schema=request.schema, grammar="")


def _profile_of(address: RemoteAddress, server: Server) -> str:
    """What the URL says, else what the catalogue says of a model of this name."""
    if address.profile:
        return address.profile
    name = PurePosixPath(server.model).name.removesuffix(".gguf")
    known = catalog.models().get(name)
    return known.profile if known else "generic"
