"""Equal sub-calls of a run are computed once, or of all runs that ask for that.

Code that maps a question over many pieces often asks the same of the same piece
again. A greedy model says the same again, so its first reply is given. A batch is
looked through too: of equal requests in it, the first is computed. `replies` has what
is kept from run to run.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from rlm_local import dialogue
from rlm_local.errors import ModelError, RequestError
from rlm_local.model import Model, ModelWrapper
from rlm_local.records import (
    Completion,
    Event,
    NodeStarted,
    Request,
    RunStarted,
    SubCalled,
)

if TYPE_CHECKING:
    from rlm_local.replies import ReplyStore


class MemoModel(ModelWrapper):
    """`model`, and what it has said to greedy one-off requests. For one run.

    `past` is the record of what the run has done before, if it goes on, under limits that
    may have been others. `kept` has what was said in other runs; it is used for a model of
    known identity.
    """

    def __init__(
        self,
        model: Model,
        *,
        past: Iterable[Event] = (),
        kept: ReplyStore | None = None,
    ) -> None:
        super().__init__(model)
        info = model.info
        self._kept = kept if info.identity else None
        # A window may cut a reply short.
        self._whose = f"{info.identity} {info.context_tokens} ".encode()
        self._said: dict[bytes, Completion] = {}
        self._lock = threading.Lock()
        for request, completion in _said_before(past, info.name):
            self._learn(_key(request, {}), completion)

    def complete(
        self, requests: Sequence[Request], *, deadline: float, token_limit: int
    ) -> list[Completion]:
        """See `Model.complete`. What is not computed anew is `reused`."""
        forms: dict[tuple[int, int], bytes] = {}
        keys = [_key(request, forms) for request in requests]
        with self._lock:
            said = {key: self._said[key] for key in keys if key in self._said}
        said |= self._recall(key for key in keys if key and key not in said)
        asked: dict[bytes, int] = {}  # the first of equal requests, and those without a key
        for at, key in enumerate(keys):
            if key not in said:
                asked.setdefault(key or at.to_bytes(4), at)
        try:
            completions = self._model.complete(
                [requests[at] for at in asked.values()], deadline=deadline, token_limit=token_limit
            )
        except ModelError as error:
            if error.completions:
                self._remember([keys[at] for at in asked.values()], error.completions)
            if isinstance(error, RequestError):
                places = list(asked.values())
                for each in (error, *error.others):
                    each.index = places[each.index]
            raise
        done = dict(zip(asked.values(), completions, strict=True))
        said |= {keys[at]: completion for at, completion in done.items()}
        self._remember([keys[at] for at in done], completions)
        return [done[at] if at in done else _again(said[key]) for at, key in enumerate(keys)]

    def _remember(self, keys: Sequence[bytes], completions: Sequence[Completion]) -> None:
        said = list(zip(keys, completions, strict=True))
        with self._lock:
            for key, completion in said:
                self._learn(key, completion)
        self._keep(dict(said))

    def _learn(self, key: bytes, completion: Completion) -> None:
        if _is_whole(key, completion):
            self._said.setdefault(key, completion)

    # ------------------------------------------------------------- other runs

    def _recall(self, keys: Iterable[bytes]) -> dict[bytes, Completion]:
        """What was said in other runs to what has these keys."""
        if self._kept is None:
            return {}
        names = {self._name(key): key for key in keys}
        return {names[name]: reply for name, reply in self._kept.get(names).items()}

    def _keep(self, replies: dict[bytes, Completion]) -> None:
        if self._kept is not None:
            self._kept.put(
                {self._name(key): reply for key, reply in replies.items() if _is_whole(key, reply)}
            )

    def _name(self, key: bytes) -> bytes:
        """The key of a reply among those of all models."""
        return hashlib.blake2b(self._whose + key, digest_size=16).digest()


def _said_before(past: Iterable[Event], model: str) -> Iterator[tuple[Request, Completion]]:
    """What a record says that `model` has said, and to what."""
    started: RunStarted | None = None
    turns: dict[str, int] = {}  # of the root, in which its children were called for
    for event in past:
        match event:
            case RunStarted():
                if (event.sub_model or event.model) != model:
                    return  # it is a fork to another
                started = event
            case NodeStarted():
                turns.setdefault(event.node, event.turn)
            case SubCalled() if started is not None:
                child = ".".join(event.node.split(".")[:2])
                if turns.get(child, event.turn) <= started.others_turns:
                    continue
                for prompt, completion in zip(event.prompts, event.completions, strict=False):
                    request = Request(
                        messages=dialogue.sub_call(prompt),
                        max_tokens=_limit(started.limits, "sub_call_tokens"),
                        thought_tokens=_limit(started.limits, "sub_call_thought_tokens"),
                        choices=event.choices,
                        schema=event.schema,
                    )
                    if _keeps_to_limit(request, completion):
                        yield request, completion


def _keeps_to_limit(request: Request, completion: Completion) -> bool:
    """Whether a reply ended where its request says: a fork has replies that were given under
    the limits of the run that it begins with."""
    written = completion.completion_tokens - completion.thought_tokens
    if completion.finish == "length":
        return written == request.max_tokens
    return written <= request.max_tokens and completion.thought_tokens <= request.thought_tokens


def _limit(limits: dict[str, object], name: str) -> int:
    """A limit as it is on record; 0, which nothing is asked with, if it is not."""
    value = limits.get(name)
    return value if isinstance(value, int) else 0


def _is_whole(key: bytes, completion: Completion) -> bool:
    """Whether it is the reply to all equal requests: no limit of the run has cut it short."""
    return bool(key) and completion.finish in ("stop", "length") and not completion.reused


def _key(request: Request, forms: dict[tuple[int, int], bytes]) -> bytes:
    """Equal for requests that must be answered alike; b"" for one that need not be.

    `forms`: of requests that live as long, what is known of the forms they share: those may
    be far longer than the prompts.
    """
    if request.dialogue or request.temperature:
        return b""
    asked = msgspec.structs.replace(
        request, node="", depth=0, turn=0, call=0, seed=0, choices=(), schema=None
    )
    form = (id(request.choices), id(request.schema))
    if form not in forms:
        forms[form] = _digest((request.choices, request.schema))
    return _digest((asked, forms[form]))


def _digest(value: object) -> bytes:
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _again(completion: Completion) -> Completion:
    """The same text, for nothing."""
    return msgspec.structs.replace(
        completion,
        cached_tokens=completion.prompt_tokens,
        completion_tokens=0,
        thought_tokens=0,
        seconds=0.0,
        reused=True,
    )
