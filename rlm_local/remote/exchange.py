"""One request of a call: what is posted, what comes back, and what it has cost."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from rlm_local.errors import ModelError, WindowError
from rlm_local.records import Completion, Finish, Record, Request
from rlm_local.remote.address import RemoteAddress
from rlm_local.remote.events import EventReader, EventTooLongError
from rlm_local.remote.places import Places
from rlm_local.remote.refusals import TooLong, model_error, too_long
from rlm_local.remote.reply import Reply
from rlm_local.remote.retry import PassingError
from rlm_local.remote.server import Server, Tokenizer, at_most, estimate, template_tokens
from rlm_local.remote.shape import keeps_to
from rlm_local.remote.web import Refused, Web
from rlm_local.remote.wire import Used, begun, body_of, piece_of, said

REPLY_TOKENS = 32  # a prompt that leaves less of the window does not fit
_TAIL_SECONDS = 10.0  # after a reply's end, for the figures that come behind it
_LAST_SECONDS = 0.25  # after those, for the stream's own end: then the connection serves again
_STREAM_BYTES, _STREAM_BYTES_PER_TOKEN = 1 << 20, 1 << 12


class RemoteOptions(Record, frozen=True):
    """How patient to be. `silence_seconds`: how long a server may send nothing at all."""

    attempts: int = 6
    first_wait_seconds: float = 0.5
    connect_seconds: float = 10.0
    silence_seconds: float = 300.0


class Remote(NamedTuple):
    """What all calls share."""

    address: RemoteAddress
    options: RemoteOptions
    web: Web
    server: Server
    tokenizer: Tokenizer
    turns: Places
    one_offs: Places

    def place(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Wait for a place for `request`. Turns of dialogues are few, and one-offs do not keep
        them out."""
        return (self.turns if request.dialogue else self.one_offs).at(request.depth)


class Exchange:
    """A request, and what has come of it."""

    def __init__(self, remote: Remote, index: int, request: Request, grammar: str) -> None:
        self.request = request
        self._messages = said(request, remote.server)
        self.prompt = at_most(self._messages)  # tokens, at most as far as is known
        window = remote.server.window
        self.reserve = min(request.max_tokens, REPLY_TOKENS, window // 2)
        self.surely_fits = self.prompt + request.max_tokens <= window
        self.most = request.max_tokens
        self.out_of_tokens = False
        self.seconds = 0.0
        self._remote = remote
        self._index = index
        self._grammar = grammar
        self._reply: Reply | None = None
        self._narrowed = False

    async def measure(self) -> None:
        """Count the prompt. Raises WindowError."""
        window, messages = self._remote.server.window, self._messages
        counted = await self._remote.tokenizer.prompt(messages)
        alone = counted - template_tokens(messages)
        fits = window - self.reserve
        if alone > fits:
            raise WindowError(counted, fits, index=self._index)
        self.prompt = min(self.prompt, counted)
        # What the template adds is not known. If it matters, the server will say so.
        room = window - self.prompt
        self.most = max(1, min(self.most, room if room >= self.reserve else window - alone))

    async def ask(self) -> None:
        """One attempt. Raises PassingError if nothing has come; WindowError, ModelError."""
        reply = self._reply = Reply(
            self.most,
            fence=self.request.stop == "fence",
            begun=begun(self.request, self._remote.server),
        )
        try:
            await self._read(reply)
        except Refused as refused:
            self._reply = None  # nothing was made of it
            if (told := too_long(refused)) is None:
                raise model_error(refused, self._remote.address) from refused
            self._narrow(told)
            await self.ask()
        except PassingError as error:
            if reply.finish is None:
                if reply.pieces:
                    raise self._broken(reply, str(error)) from error
                self._reply = None  # nothing was made of it
                raise
        except (ValueError, EventTooLongError) as error:
            if reply.finish is None:  # what comes behind the end is nothing to us
                raise self._broken(reply, f"what it sent cannot be read ({error})") from error

    async def _read(self, reply: Reply) -> None:
        remote = self._remote
        body = body_of(self.request, remote.server, most=self.most, grammar=self._grammar)
        most_bytes = _STREAM_BYTES + _STREAM_BYTES_PER_TOKEN * self.most
        reader = EventReader()
        path = f"{remote.address.path}/chat/completions"
        now = asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(None) as tail,
                remote.web.stream(path, body, most_bytes=most_bytes) as pieces,
            ):
                async for piece in pieces:
                    for data in reader.feed(piece):
                        if data.strip() == b"[DONE]":
                            self._check_ended(reply)
                            tail.reschedule(now() + _LAST_SECONDS)
                            continue
                        told = piece_of(data)
                        if told.error:
                            raise self._refused_midway(reply, told.error)
                        reply.feed(told)
                        if reply.finish and not told.finish:
                            return None  # we end it, not the server
                        if reply.finish and tail.when() is None:
                            tail.reschedule(now() + _TAIL_SECONDS)
        except TimeoutError:
            pass
        return self._check_ended(reply)

    async def settle(self) -> None:
        """Count what the server has not counted."""
        reply = self._reply
        if reply is not None and not (reply.used and reply.used.prompt):
            try:
                self.prompt = await self._remote.tokenizer.prompt(self._messages)
            except (ModelError, PassingError):
                self.prompt = self._remote.tokenizer.guess(self._messages)

    def completion(self) -> Completion:
        """What there is by now."""
        reply = self._reply
        if reply is None:
            finish: Finish = "tokens" if self.out_of_tokens else "deadline"
            return Completion(
                text="", finish=finish, prompt_tokens=0, cached_tokens=0,
                completion_tokens=0, seconds=self.seconds,
            )  # fmt: skip
        reply.close()
        used = self._used(reply)
        text, finish = self._ending(reply)
        return Completion(
            text=text,
            finish=finish,
            prompt_tokens=used.prompt,
            cached_tokens=used.cached,
            completion_tokens=used.completion,
            seconds=self.seconds,
            thought=reply.thought,
            thought_tokens=min(reply.thought_pieces, used.completion),
        )

    # ------------------------------------------------------------------- its end

    def _ending(self, reply: Reply) -> tuple[str, Finish]:
        """The reply's text and how it ended: a form that was asked for is looked at here."""
        request, text = self.request, reply.text
        if reply.finish is None:
            return text, "deadline"
        if reply.finish == "length":
            return text, "tokens" if self.out_of_tokens else "length"
        if request.choices:
            if not self._grammar:  # then it is the choice as JSON
                text = _unquoted(text)
            if text not in request.choices and text.strip() in request.choices:
                text = text.strip()
            return text, "stop" if text in request.choices else "form"
        if request.schema is not None and not keeps_to(request.schema, text):
            return text, "form"
        return text, "stop"

    def _used(self, reply: Reply) -> Used:
        if reply.used is not None and reply.used.prompt:
            return reply.used
        written = reply.pieces
        if not self._remote.server.kind:  # a piece may be many tokens
            written = max(written, estimate(reply.text))
        prompt = min(self.prompt, self._remote.tokenizer.guess(self._messages))
        return Used(prompt, 0, written)

    def _check_ended(self, reply: Reply) -> None:
        if reply.finish is None:
            if not reply.pieces:
                raise PassingError("it ended its answer before the reply began")
            raise self._broken(reply, "it ended its answer before the reply's end")

    def _narrow(self, told: TooLong) -> None:
        """Ask for less, if only the reply is too long. Raises WindowError if the prompt is."""
        window = told.window or self._remote.server.window
        room = window - told.tokens if told.tokens else self.reserve
        if room < self.reserve or room >= self.most or self._narrowed:
            raise self._too_long(told)
        self._narrowed = True
        self.most = room

    def _refused_midway(self, reply: Reply, text: str) -> ModelError | WindowError:
        told = too_long(Refused(400, text.encode(), ""))
        if told is not None and not reply.pieces:
            self._reply = None
            return self._too_long(told)
        return self._broken(reply, self._remote.web.shown(text.encode()))

    def _too_long(self, told: TooLong) -> WindowError:
        fits = max(1, (told.window or self._remote.server.window) - self.reserve)
        return WindowError(max(told.tokens or self.prompt, fits + 1), fits, index=self._index)

    def _broken(self, reply: Reply, why: str) -> ModelError:
        hint = "see what its log says; `rlm-local runs resume` goes on then"
        if self._remote.server.kind == "llama-cpp-python":
            hint = f"start it with --interrupt_requests false, if that is missing; {hint}"
        return ModelError(
            f"the model's server {self._remote.address.server} broke off a reply after "
            f"{reply.pieces} tokens: {why}",
            hint=hint,
        )


def _unquoted(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text
