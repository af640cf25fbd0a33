"""Requests on their way through the engine, one by one and as they came together."""

from __future__ import annotations

import time
from collections.abc import Sequence as Items
from typing import Literal, Protocol

from rlm_local.llama.cache import Sequence
from rlm_local.llama.choices import Choices
from rlm_local.llama.engine import Logits, Tokens
from rlm_local.llama.lookup import Lookup
from rlm_local.llama.steering import Steering
from rlm_local.llama.stream import TextStream
from rlm_local.records import Completion

Finish = Literal["stop", "length", "deadline", "tokens"]


class Picker(Protocol):
    """Takes the next token of one reply; told of nothing else."""

    def __call__(self, logits: Logits) -> int:
        """A token, given its row of logits (vocabulary,), which may be overwritten."""
        ...

    def close(self) -> None:
        """Release what is native. Closing twice is harmless."""
        ...


class Job:
    """One request on its way: the prompt's tokens, then the reply as it grows.

    Without a `picker` the likeliest token is taken; `steering` may put others in the
    place of what was taken. With `choices` there is no reply to write: one of them is
    found to be the likeliest. `max_tokens` bounds the reply, and its thoughts may take
    `thought_tokens` besides. The first `prefix` tokens will be needed by other
    processes too.
    """

    def __init__(
        self,
        prompt: Tokens,
        *,
        max_tokens: int,
        stream: TextStream,
        picker: Picker | None = None,
        steering: Steering | None = None,
        thought_tokens: int = 0,
        choices: Choices | None = None,
        dialogue: str = "",
        node: str = "",
        depth: int = 0,
        prefix: int = 0,
    ) -> None:
        self.prompt = prompt
        self.max_tokens = max_tokens
        self.stream = stream
        self.picker = picker
        self.steering = steering
        self.thought_tokens = thought_tokens
        self.choices = choices
        self.dialogue = dialogue
        self.node = node
        self.depth = depth
        self.prefix = prefix
        self.call: Call
        self.index = 0  # in the call
        self.sequence: Sequence | None = None
        self.tokens = prompt  # what has to be in the cache: also the reply, after a restart
        self.made = 0  # tokens of the reply
        self.lookup = Lookup()
        self.cached = 0
        self.charged = 0  # tokens of the prompt that were computed
        self.finish: Finish | None = None
        self._started = time.monotonic()
        self._seconds = 0.0

    @property
    def line(self) -> tuple[int, str]:
        """Whom it waits with."""
        return self.depth, self.node

    @property
    def uncounted(self) -> int:
        """Tokens of the prompt that have been neither found in the cache nor computed."""
        return len(self.prompt) - self.cached - self.charged

    @property
    def room(self) -> int:
        """Tokens that may still be appended to the sequence."""
        return self.max_tokens + self.thought_tokens - (0 if self.choices else self.made)

    @property
    def full(self) -> bool:
        """Whether the reply is as long as it may be."""
        return self.room <= 0 or self.made - self.stream.thought_tokens >= self.max_tokens

    @property
    def prefilling(self) -> bool:
        return self.sequence is not None and len(self.sequence.pending) > 1

    def end(self, finish: Finish) -> None:
        self.finish = finish
        self._seconds = time.monotonic() - self._started
        self.call.unfinished -= 1
        self.release()

    def release(self) -> None:
        """Free what is native."""
        if self.picker is not None:
            self.picker.close()

    def completion(self) -> Completion:
        """What became of it. Of a prompt that was cut off, what was computed counts."""
        return Completion(
            text=self.stream.finish(),
            finish=self.finish or "deadline",
            prompt_tokens=self.cached + self.charged,
            cached_tokens=self.cached,
            completion_tokens=self.made,
            seconds=self._seconds,
            thought=self.stream.thought,
            thought_tokens=self.stream.thought_tokens,
        )


class Call:
    """Jobs that came together: they share a limit, and are answered together.

    `tokens_left` bounds what may still be computed for them.
    """

    def __init__(self, number: int, jobs: Items[Job], *, token_limit: int) -> None:
        self.number = number
        self.jobs = tuple(jobs)
        self.tokens_left = token_limit
        self.unfinished = len(jobs)
        for index, job in enumerate(jobs):
            job.call, job.index = self, index
