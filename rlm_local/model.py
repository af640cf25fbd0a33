"""What the controller asks of a language model, and a scripted one for tests."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

from rlm_local.closing import Closing
from rlm_local.errors import ModelError
from rlm_local.records import Completion, ModelInfo, Request


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came while a model was completing. `completions`: what there was by then."""

    def __init__(self, completions: Sequence[Completion]) -> None:
        super().__init__()
        self.completions = tuple(completions)


def is_within(node: str, other: str) -> bool:
    """Whether `node` is `other` or below it: "0.3.1" is within "0.3"."""
    return node == other or node.startswith(f"{other}.")


def nothing_done(finish: Literal["deadline", "tokens"]) -> Completion:
    """What became of a request that a limit ended before anything was computed."""
    return Completion(
        text="",
        finish=finish,
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        seconds=0.0,
    )


class Model(Protocol):
    """A language model, for any number of threads at once.

    Calls under way are computed together. Each keeps its own deadline and limit; the
    end of one is not the end of another.
    """

    @property
    def info(self) -> ModelInfo: ...

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """Complete all requests together, one `Completion` for each, in order.

        `deadline` is on `time.monotonic`'s clock: at that moment decoding stops
        and what there is comes back with finish "deadline". `token_limit` bounds
        the sum of `work_tokens` over the batch; what it cuts has finish "tokens".

        Raises WindowError (a prompt does not fit) and FormError (a schema, grammar
        or choices that cannot be kept to), both before anything is computed;
        WorkerDied, ModelError; Interrupted where Ctrl-C came in between.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens in `text` alone, without template or special tokens."""
        ...

    def cancel(self, node: str = "") -> None:
        """End what runs in other threads for `node` and those below it, as at a deadline.

        '' ends whatever runs. A node that is named is over: what was kept of its
        dialogues is let go.
        """
        ...

    def close(self) -> None:
        """Release the model. Closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


Script = Iterable[str] | Callable[[Request], str]


class ModelWrapper(Closing):
    """Another model, passed on as it is. Subclasses change how requests are completed."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        return self._model.complete(requests, deadline=deadline, token_limit=token_limit)

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    def cancel(self, node: str = "") -> None:
        self._model.cancel(node)

    def close(self) -> None:
        self._model.close()


class ScriptedModel(Closing):
    """A model for tests: replies are read from a script, tokens are words.

    `turns` answers requests that belong to a dialogue (the root's turns),
    `sub_calls` the one-offs. Each is a sequence of replies, used up in order, or
    a function of the request, which may be called from several threads at once.
    `requests` keeps what was asked. Limits are kept as by any model, save that time
    is looked at between requests only.
    """

    def __init__(
        self,
        turns: Script = (),
        sub_calls: Script = (),
        *,
        name: str = "scripted",
        profile: str = "generic",
        context_tokens: int = 32_768,
    ) -> None:
        self._info = ModelInfo(name=name, path="", context_tokens=context_tokens, profile=profile)
        self._turns = _reader(turns, "turns")
        self._sub_calls = _reader(sub_calls, "sub_calls")
        self._lock = threading.Lock()
        self._running: list[_Running] = []
        self.requests: list[Request] = []
        self.closed = False

    @property
    def info(self) -> ModelInfo:
        return self._info

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        running = _Running({request.node for request in requests})
        with self._lock:
            self._running.append(running)
        try:
            done: list[Completion] = []
            for request in requests:
                left = token_limit - sum(completion.work_tokens for completion in done)
                if running.cancelled.is_set() or time.monotonic() >= deadline:
                    done.append(nothing_done("deadline"))
                elif left <= 0:
                    done.append(nothing_done("tokens"))
                else:
                    done.append(_limited(self._complete(request), left))
        finally:
            with self._lock:
                self._running.remove(running)
        return done

    def _complete(self, request: Request) -> Completion:
        with self._lock:
            self.requests.append(request)
        text = request.begun + (self._turns if request.dialogue else self._sub_calls)(request)
        return Completion(
            text=text,
            finish="stop",
            prompt_tokens=sum(self.count_tokens(m.content) for m in request.messages),
            cached_tokens=0,
            completion_tokens=self.count_tokens(text[len(request.begun) :]),
            seconds=0.0,
        )

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def cancel(self, node: str = "") -> None:
        with self._lock:
            for running in self._running:
                if not node or any(is_within(one, node) for one in running.nodes):
                    running.cancelled.set()

    def close(self) -> None:
        self.closed = True


class _Running:
    """A call of `ScriptedModel` that is under way, for these nodes."""

    def __init__(self, nodes: set[str]) -> None:
        self.nodes = nodes
        self.cancelled = threading.Event()


def _limited(whole: Completion, tokens: int) -> Completion:
    """What `tokens` tokens of work allow of `whole`."""
    if whole.work_tokens <= tokens:
        return whole
    prompt = min(whole.prompt_tokens, tokens)
    words = re.findall(r"\s*\S+", whole.text)[: tokens - prompt]
    return msgspec.structs.replace(
        whole,
        text="".join(words),
        finish="tokens",
        prompt_tokens=prompt,
        completion_tokens=len(words),
    )


def _reader(script: Script, name: str) -> Callable[[Request], str]:
    if callable(script):
        return script
    replies = iter(script)
    lock = threading.Lock()

    def read(request: Request) -> str:
        with lock:
            reply = next(replies, None)
        if reply is None:
            raise ModelError(f"the script of {name} has no more replies")
        return reply

    return read
