"""Turns whose code does not parse are written again, from the beginning of the block.

Code is compiled by a Python of the sandbox that serves for nothing else: it is the
version that will run it, it leaves no trace in the node's own, and no source can
harm the host. What is kept of a turn is in the model's cache, so only what is
written anew costs. A turn's record has the reply that counts and the tokens of all.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Sequence

import msgspec

from rlm_local.errors import ModelError, SandboxError
from rlm_local.fences import blocks
from rlm_local.model import Interrupted, Model, ModelWrapper
from rlm_local.prompt import Prompt
from rlm_local.records import Completion, Request
from rlm_local.sandbox import GuestRaise, Repl, Sandbox

MOST_CHARS = 100_000  # longer code is run as it is
MOST_SECONDS = 2.0  # for compiling: what takes longer is run as it is
#: How much warmer each attempt is than the one before: a greedy one would say the same again.
WARMER, WARMEST = 0.4, 1.0
#: An attempt may have so many tokens, or twice those of the first: one that has lost its way
#: would go on to the turn's limit.
LEAST_TOKENS = 64

_CELL = """\
import ast
try:
    compile({code!r}, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
except SyntaxError as error:
    print(error.lineno or 1)
"""


class SyntaxCheck:
    """Tells where code does not parse. For any thread.

    Its Python is forked when it is first needed. `memory_bytes` bounds that, beside
    `prompt`, which lies there unread.
    """

    def __init__(self, sandbox: Sandbox, prompt: Prompt, *, memory_bytes: int) -> None:
        self._sandbox = sandbox
        self._prompt = prompt
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._repl: Repl | None = None
        self._closed = False

    def bad_line(self, code: str, deadline: float) -> int:
        """The line of `code`, from 1, at which it does not parse; 0 if it does, or if that
        cannot be said. `deadline` is on `time.monotonic`'s clock."""
        if len(code) > MOST_CHARS:
            return 0
        with self._lock:
            if self._closed:
                return 0
            try:
                ran = self._python().execute(
                    _CELL.format(code=code),
                    deadline=min(deadline, time.monotonic() + 2 * MOST_SECONDS),
                    cell_seconds=MOST_SECONDS,
                )
            except SandboxError:
                return 0
        found = ran.stdout.strip()
        return int(found) if found.isascii() and found.isdigit() and ran.error is None else 0

    def close(self) -> None:
        """Free its Python. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            if self._repl is not None:
                self._repl.close()
                self._repl = None

    def _python(self) -> Repl:
        if self._repl is None:
            self._repl = self._sandbox.repl(
                self._prompt,
                question="",
                host=_nobody,
                functions=(),
                memory_bytes=self._memory_bytes,
                output_chars=100,
            )
        return self._repl


def _nobody(name: str, arguments: list[object]) -> object:
    raise GuestRaise("RuntimeError", f"{name} cannot be called here")


class RetryingModel(ModelWrapper):
    """A model that writes a turn again if its block does not parse, up to `retries` times.

    What stood before the code stays. Going on from the line at fault does not help: what
    led there stands before it. If no attempt parses, or one cannot be made, the first one
    is the reply, as without retries.
    """

    def __init__(self, model: Model, check: SyntaxCheck, *, retries: int) -> None:
        super().__init__(model)
        self._check = check
        self._retries = retries

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`. Only a single request that stops at a fence is looked at."""
        done = super().complete(requests, deadline=deadline, token_limit=token_limit)
        if len(requests) != 1 or requests[0].stop != "fence" or not self._retries:
            return done
        return [self._parsed(requests[0], done[0], deadline, token_limit)]

    def _parsed(
        self, request: Request, first: Completion, deadline: float, token_limit: int
    ) -> Completion:
        """The first attempt that parses, with the tokens of all."""
        attempts = [first]
        begun = ""
        try:
            if first.finish == "stop":
                begun = self._before_fault(first, deadline)
            while begun and len(attempts) <= self._retries:
                left = token_limit - sum(one.work_tokens for one in attempts)
                if left <= 0:
                    break
                again = _again(request, begun, attempts)
                attempts += super().complete([again], deadline=deadline, token_limit=left)
                if attempts[-1].is_cut:
                    break
                if attempts[-1].finish == "stop":
                    begun = self._before_fault(attempts[-1], deadline)
        except ModelError as error:
            # No room for the rest, a server that takes no beginning: the first one stands.
            attempts += [made for made in error.completions if made.work_tokens]
        except KeyboardInterrupt as stop:
            if isinstance(stop, Interrupted):
                attempts += stop.completions
            raise Interrupted([_summed(first, attempts)]) from stop
        return _summed(first if begun else attempts[-1], attempts)

    def _before_fault(self, reply: Completion, deadline: float) -> str:
        """The reply up to its code, if that does not parse; else ''."""
        found = blocks(reply.text)
        if not found or not self._check.bad_line(found[0].code, deadline):
            return ""
        code = reply.text.index("\n", found[0].start) + 1
        return reply.thought + reply.text[:code]


def _again(request: Request, begun: str, attempts: Sequence[Completion]) -> Request:
    """What is asked to have other code behind `begun`."""
    attempt = len(attempts)
    most = max(LEAST_TOKENS, 2 * attempts[0].completion_tokens)
    return msgspec.structs.replace(
        request,
        max_tokens=min(request.max_tokens, most),
        begun=begun,
        temperature=max(request.temperature, min(WARMEST, attempt * WARMER)),
        seed=zlib.crc32(f"{request.seed}:{request.turn}:{attempt}".encode()),
    )


def _summed(reply: Completion, attempts: Sequence[Completion]) -> Completion:
    """`reply`, which took all `attempts`."""
    if len(attempts) == 1:
        return reply
    return msgspec.structs.replace(
        reply,
        prompt_tokens=sum(one.prompt_tokens for one in attempts),
        cached_tokens=sum(one.cached_tokens for one in attempts),
        completion_tokens=sum(one.completion_tokens for one in attempts),
        thought_tokens=sum(one.thought_tokens for one in attempts),
        seconds=sum(one.seconds for one in attempts),
        retries=len(attempts) - 1,
    )
