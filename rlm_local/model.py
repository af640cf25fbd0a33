"""What the controller asks of a language model, and a scripted one for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rlm_local.errors import ModelError
from rlm_local.records import Completion, ModelInfo, Request


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came while a model was completing. `completions`: what there was by then."""

    def __init__(self, completions: Sequence[Completion]) -> None:
        super().__init__()
        self.completions = tuple(completions)


class Model(Protocol):
    """A language model. One call at a time; `complete` may be called from any thread."""

    @property
    def info(self) -> ModelInfo: ...

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """Complete all requests together, one `Completion` for each, in order.

        `deadline` is on `time.monotonic`'s clock: at that moment decoding stops
        and what there is comes back with finish "deadline". `token_limit` bounds
        the sum of `work_tokens` over the batch; what it cuts has finish "tokens".

        Raises WindowError (a prompt does not fit; nothing was computed),
        WorkerDied, ModelError; Interrupted where Ctrl-C came in between.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens in `text` alone, without template or special tokens."""
        ...

    def cancel(self) -> None:
        """End the `complete` that runs in another thread, as at its deadline."""
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


class ScriptedModel:
    """A model for tests: replies are read from a script, tokens are words.

    `turns` answers requests that belong to a dialogue (the root's turns),
    `sub_calls` the one-offs. Each is a sequence of replies, used up in order, or
    a function of the request. `requests` keeps what was asked.
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
        self.requests: list[Request] = []
        self.closed = False

    @property
    def info(self) -> ModelInfo:
        return self._info

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        return [self._complete(request) for request in requests]

    def _complete(self, request: Request) -> Completion:
        self.requests.append(request)
        text = (self._turns if request.dialogue else self._sub_calls)(request)
        return Completion(
            text=text,
            finish="stop",
            prompt_tokens=sum(self.count_tokens(m.content) for m in request.messages),
            cached_tokens=0,
            completion_tokens=self.count_tokens(text),
            seconds=0.0,
        )

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reader(script: Script, name: str) -> Callable[[Request], str]:
    if callable(script):
        return script
    replies = iter(script)

    def read(request: Request) -> str:
        try:
            return next(replies)
        except StopIteration:
            raise ModelError(f"the script of {name} has no more replies") from None

    return read
