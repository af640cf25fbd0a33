"""Decoding many requests in one context: who computes what in the next batch.

Each step makes one batch: the next token of every running sequence, then as much
of the waiting prompts as there is room for. Requests join when a place and cells
are free and leave as soon as they are done. One that shares its beginning with a
prompt being computed waits for it and starts from its cells.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence as Items
from typing import Literal, NamedTuple

from rlm_local.errors import ModelError
from rlm_local.llama.cache import WORTH_SHARING, PrefixCache, Sequence, common_prefix
from rlm_local.llama.engine import Engine, Outcome, Tokens
from rlm_local.llama.sampling import Sampler
from rlm_local.llama.stream import TextStream
from rlm_local.records import Completion

Finish = Literal["stop", "length", "deadline", "tokens"]

# Cells kept for a running reply. Fewer than its worst case, because most replies are
# short: when cells run out all the same, the youngest request starts over later.
HORIZON = 64


class Job:
    """One request on its way: the prompt's tokens, then the reply as it grows.

    Without a `sampler` the likeliest token is taken.
    """

    def __init__(
        self,
        prompt: Tokens,
        *,
        max_tokens: int,
        stream: TextStream,
        sampler: Sampler | None = None,
        dialogue: str = "",
    ) -> None:
        self.prompt = prompt
        self.max_tokens = max_tokens
        self.stream = stream
        self.sampler = sampler
        self.dialogue = dialogue
        self.sequence: Sequence | None = None
        self.tokens = prompt  # what has to be in the cache: also the reply, after a restart
        self.made = 0  # tokens of the reply
        self.cached = 0
        self.charged = 0  # tokens of the prompt that were computed
        self.finish: Finish | None = None
        self._started = time.monotonic()
        self._seconds = 0.0

    @property
    def uncounted(self) -> int:
        """Tokens of the prompt that have been neither found in the cache nor computed."""
        return len(self.prompt) - self.cached - self.charged

    @property
    def prefilling(self) -> bool:
        return self.sequence is not None and len(self.sequence.pending) > 1

    def end(self, finish: Finish) -> None:
        self.finish = finish
        self._seconds = time.monotonic() - self._started

    def completion(self) -> Completion:
        """What became of it. Of a prompt that was cut off, what was computed counts."""
        return Completion(
            text=self.stream.finish(),
            finish=self.finish or "deadline",
            prompt_tokens=self.cached + self.charged,
            cached_tokens=self.cached,
            completion_tokens=self.made,
            seconds=self._seconds,
        )


class _Part(NamedTuple):
    """What one job has in a batch: its next `tokens`, with logits for the last one or without."""

    job: Job
    sequence: Sequence
    tokens: int
    output: bool


class Scheduler:
    """Runs batches of jobs. `parallel`: how many sequences decode together."""

    def __init__(self, engine: Engine, cache: PrefixCache, *, parallel: int) -> None:
        self._engine = engine
        self._vocabulary = engine.vocabulary
        self._cache = cache
        self._parallel = parallel
        self._queue: deque[Job] = deque()
        self._active: list[Job] = []
        self._tokens_left = 0

    def run(self, jobs: Items[Job], *, token_limit: int) -> None:
        """Bring all `jobs` to an end. Raises ModelError; then none of them counts."""
        for job in jobs:
            if job.max_tokens > 0:
                self._queue.append(job)
            else:
                job.end("length")
        self._tokens_left = token_limit
        try:
            while self._queue or self._active:
                if self._engine.aborted:
                    self._stop_all("deadline")
                elif self._tokens_left <= 0:
                    self._stop_all("tokens")
                else:
                    self._step()
        finally:
            for job in self._active:
                if job.sequence is not None:
                    self._cache.abandon(job.sequence)
            self._active.clear()
            self._queue.clear()

    def _stop_all(self, finish: Finish) -> None:
        for job in [*self._active, *self._queue]:
            self._end(job, finish)
        self._active.clear()
        self._queue.clear()

    def _end(self, job: Job, finish: Finish) -> None:
        job.end(finish)
        if job.sequence is not None:
            self._cache.close(job.sequence)
            job.sequence = None

    # ------------------------------------------------------------ admission

    def _admit(self) -> None:
        waiting = len(self._queue)
        for _ in range(waiting):
            if len(self._active) >= self._parallel:
                return
            job = self._queue.popleft()
            if self._should_wait(job):
                self._queue.append(job)
            elif not self._start(job):
                self._queue.appendleft(job)
                return

    def _should_wait(self, job: Job) -> bool:
        """Whether what it could start from is being computed right now."""
        if self._cache.busy_dialogue(job.dialogue):
            return True
        there = None
        for other in self._active:
            if other.sequence is None or not other.prefilling:
                continue
            coming = common_prefix(other.sequence.all, job.tokens[:-1])
            if coming >= WORTH_SHARING:
                if there is None:
                    there = self._cache.longest(job.tokens)[1]
                if coming >= there + WORTH_SHARING:
                    return True
        return False

    def _start(self, job: Job) -> bool:
        """Give it a sequence, if cells suffice for the prompt and a short reply."""
        source, shared = self._cache.longest(job.tokens)
        reserved = sum(self._outstanding(other) for other in self._active)
        wanted = len(job.tokens) - shared + self._horizon(job)
        while self._cache.free - reserved < wanted:
            if self._cache.evict(spare=source):
                continue
            if self._active:
                return False
            # Alone, it must fit: a window is never longer than the cache.
            if source is None or not self._cache.evict():
                raise ModelError(f"a prompt of {len(job.tokens):,} tokens found no cells")
            source, wanted = None, len(job.tokens) + self._horizon(job)
        job.sequence = self._cache.open(
            job.tokens, room=job.max_tokens - job.made, dialogue=job.dialogue
        )
        if not job.made:
            job.cached = min(job.sequence.computed, len(job.prompt))
        self._active.append(job)
        return True

    def _horizon(self, job: Job) -> int:
        return min(job.max_tokens - job.made, HORIZON)

    def _outstanding(self, job: Job) -> int:
        assigned = job.sequence
        return self._horizon(job) + (len(assigned.pending) if assigned else 0)

    # ----------------------------------------------------------------- step

    def _step(self) -> None:
        self._admit()
        parts = self._fill()
        outcome = self._engine.decode()
        if outcome is Outcome.NO_CELLS:
            raise ModelError("llama.cpp found no cells for a batch that should fit")
        if outcome is Outcome.ABORTED:
            for part in parts:
                self._cache.cut(part.sequence, part.sequence.computed)
            return
        for part in parts:
            part.sequence.computed += part.tokens
            charge = min(part.tokens, part.job.uncounted)
            part.job.charged += charge
            self._tokens_left -= charge
        if outputs := [part.job for part in parts if part.output]:
            self._sample(outputs)

    def _fill(self) -> list[_Part]:
        """Put the next tokens into the batch."""
        parts: list[_Part] = []
        tokens_left = self._tokens_left
        # Replies first: they take one token each, and stay fluent beside a long prompt.
        for job in sorted(self._active, key=lambda job: job.prefilling):
            if job.sequence is None:  # given up for the sake of an older one
                continue
            sequence = job.sequence
            count = min(len(sequence.pending), self._engine.room)
            if job.uncounted:
                count = min(count, tokens_left)
            count = min(count, self._make_room(job, count, parts))
            if count <= 0:
                continue
            output = count == len(sequence.pending)
            self._cache.grow(sequence, count)
            self._engine.add(
                sequence.number, sequence.pending[:count], sequence.computed, output=output
            )
            parts.append(_Part(job, sequence, count, output))
            tokens_left -= min(count, job.uncounted)
        return parts

    def _make_room(self, job: Job, count: int, parts: list[_Part]) -> int:
        """How many of `count` cells there are for `job`, after giving up what is in the way."""
        while self._cache.free < count and self._cache.evict():
            pass
        younger = self._active[self._active.index(job) + 1 :]
        while self._cache.free < count and younger:
            victim = younger.pop()
            if any(victim is part.job for part in parts):
                continue
            self._restart_later(victim)
        return self._cache.free

    def _restart_later(self, job: Job) -> None:
        """Take its cells away; it will compute its prompt and its reply so far again."""
        if job.sequence is not None:
            job.tokens = job.sequence.all.copy()
            self._cache.abandon(job.sequence)
            job.sequence = None
        self._active.remove(job)
        self._queue.appendleft(job)

    def _sample(self, outputs: list[Job]) -> None:
        logits = self._engine.logits()
        likeliest = logits.argmax(axis=1)
        for row, job in enumerate(outputs):
            if self._tokens_left <= 0:
                self._leave(job, "tokens")
                continue
            token = job.sampler(logits[row]) if job.sampler else int(likeliest[row])
            job.made += 1
            self._tokens_left -= 1
            if self._vocabulary.ends(token) or job.stream.feed(self._vocabulary.piece(token)):
                self._leave(job, "stop")
            elif job.made >= job.max_tokens:
                self._leave(job, "length")
            elif job.sequence is not None:
                job.sequence.append(token)

    def _leave(self, job: Job, finish: Finish) -> None:
        self._active.remove(job)
        self._end(job, finish)
