"""Equal sub-calls of a run are computed once.

Code that maps a question over many pieces often asks the same of the same piece
again. A greedy model says the same again, so its first reply is given. A batch is
looked through too: of equal requests in it, the first is computed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence

import msgspec

from rlm_local import dialogue
from rlm_local.errors import FormError, WindowError
from rlm_local.model import Model, ModelWrapper
from rlm_local.records import Completion, Event, Request, RunStarted, SubCalled


class MemoModel(ModelWrapper):
    """`model`, and what it has said to greedy one-off requests. For one run.

    `past` is the record of what the run has done before, if it goes on, and
    `sub_call_tokens` how long replies to plain calls may be in it.
    """

    def __init__(
        self, model: Model, *, past: Iterable[Event] = (), sub_call_tokens: int = 0
    ) -> None:
        super().__init__(model)
        self._said: dict[bytes, Completion] = {}
        self._lock = threading.Lock()
        of_this_model = False
        for event in past:
            if isinstance(event, RunStarted):
                # Else it is a fork to another.
                of_this_model = (event.sub_model or event.model) == model.info.name
            elif isinstance(event, SubCalled) and of_this_model:
                for prompt, completion in zip(event.prompts, event.completions, strict=False):
                    request = Request(
                        messages=dialogue.sub_call(prompt),
                        max_tokens=sub_call_tokens,
                        choices=event.choices,
                        schema=event.schema,
                    )
                    self._learn(_key(request), completion)

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`. What is not computed anew is `reused`."""
        keys = [_key(request) for request in requests]
        with self._lock:
            said = {key: self._said[key] for key in keys if key in self._said}
        asked: dict[bytes, int] = {}  # the first of equal requests, and those without a key
        for at, key in enumerate(keys):
            if key not in said:
                asked.setdefault(key or at.to_bytes(4), at)
        try:
            completions = self._model.complete(
                [requests[at] for at in asked.values()], deadline=deadline, token_limit=token_limit
            )
        except (WindowError, FormError) as error:
            error.index = list(asked.values())[error.index]
            raise
        done = dict(zip(asked.values(), completions, strict=True))
        said |= {keys[at]: completion for at, completion in done.items()}
        with self._lock:
            for at, completion in done.items():
                self._learn(keys[at], completion)
        return [done[at] if at in done else _again(said[key]) for at, key in enumerate(keys)]

    def _learn(self, key: bytes, completion: Completion) -> None:
        if key and completion.finish in ("stop", "length") and not completion.reused:
            self._said.setdefault(key, completion)


def _key(request: Request) -> bytes:
    """Equal for requests that must be answered alike; b"" for one that need not be."""
    if request.dialogue or request.temperature:
        return b""
    asked = msgspec.structs.replace(request, node="", depth=0, turn=0, call=0, seed=0)
    return hashlib.blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _again(completion: Completion) -> Completion:
    """The same text, for nothing."""
    return msgspec.structs.replace(
        completion,
        cached_tokens=completion.prompt_tokens,
        completion_tokens=0,
        seconds=0.0,
        reused=True,
    )
