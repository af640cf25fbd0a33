"""Decoding many requests in one context: who computes what in the next batch.

Each step makes one batch: the next token of every running sequence, then as much
of the waiting prompts as there is room for. Calls come and end between steps, and
their requests join when a place and cells are free and leave as soon as they are
done. One that shares its beginning with a prompt being computed waits for it and
starts from its cells. Behind a reply's next token may stand some that are only
guessed: those that turn out right are part of the reply, and cells of the rest are freed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rlm_local.errors import ModelError
from rlm_local.llama.batch import Batch, Part, portions
from rlm_local.llama.cache import WORTH_SHARING, PrefixCache, Sequence, Start
from rlm_local.llama.choices import shared_start
from rlm_local.llama.engine import Engine, Logits, Outcome, common_prefix
from rlm_local.llama.jobs import Call, Finish, Job
from rlm_local.llama.places import Places
from rlm_local.llama.speculation import Speculator
from rlm_local.llama.waiting import Line, Waiting

# Cells kept for a running reply. Fewer than its worst case, because most replies are
# short: when cells run out all the same, some request starts over later (`_victim`).
HORIZON = 64
TURN_PLACES = 4  # above `places`, for turns of dialogues: sub-calls do not keep a root out
# So many sub-calls that come at once have long dialogues moved out of their way.
CROWD = 16
_LOOK_AHEAD = 32  # jobs of a node that are tried before the next node's


class Scheduler:
    """Runs calls. `places`: how many sequences decode together. `speculator`: guesses tokens.

    `clock`: what its batches are timed by, in seconds. `clears`: whether idle dialogues make
    way for a crowd of sub-calls; on a GPU moving them costs more than it saves. `attend`: told
    whose token is being chosen, and None when that is over.
    """

    def __init__(
        self,
        engine: Engine,
        cache: PrefixCache,
        *,
        places: Places,
        speculator: Speculator | None = None,
        clock: Callable[[], float] = time.perf_counter,
        clears: bool = True,
        attend: Callable[[Job | None], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._vocabulary = engine.vocabulary
        self._cache = cache
        self._places = places
        self._speculator = speculator
        self._clock = clock
        self._clears = clears
        self._attend = attend
        self._calls: dict[int, Call] = {}
        self._waiting = Waiting()
        self._active: list[Job] = []

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute or to hand out."""
        return bool(self._calls)

    def submit(self, call: Call) -> None:
        """Take on a call. Its number is not that of another under way."""
        self._calls[call.number] = call
        for job in call.jobs:
            if job.max_tokens > 0:
                self._waiting.add(job)
            else:
                job.end("length")
        if self._clears and sum(not job.dialogue for job in call.jobs) >= CROWD:
            self._cache.set_aside(but={job.dialogue for job in self._waiting})

    def end(self, number: int, finish: Finish) -> None:
        """Bring all that is left of a call to its end. The others go on."""
        call = self._calls.get(number)
        if call is None:
            return
        self._waiting.drop(call)
        for job in call.jobs:
            if job.finish is None:
                self._leave(job, finish)

    def take_finished(self) -> list[Call]:
        """Calls that have ended since this was last asked, in the order in which they came."""
        finished = [call for call in self._calls.values() if not call.unfinished]
        for call in finished:
            del self._calls[call.number]
        return finished

    def reset(self) -> list[Call]:
        """After a failure: give up all calls, which are returned, and their sequences."""
        lost = list(self._calls.values())
        for job in self._active:
            if job.sequence is not None:
                self._cache.abandon(job.sequence)
            job.release()
        for job in self._waiting:
            job.release()
        self._calls.clear()
        self._active.clear()
        self._waiting.clear()
        return lost

    def step(self) -> None:
        """Compute one batch. Raises ModelError: then `reset`."""
        began = self._clock()
        for call in list(self._calls.values()):
            if call.tokens_left <= 0:
                self.end(call.number, "tokens")
        self._admit()
        if not self._active:
            return
        parts = self._fill()
        if not parts:  # llama.cpp would abort
            raise ModelError("the scheduler found nothing to compute")
        before_decoding = time.perf_counter()
        outcome = self._engine.decode()
        seconds = time.perf_counter() - before_decoding
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
            part.job.call.tokens_left -= charge
        rows = sum(part.outputs for part in parts)
        if rows:
            self._sample(parts)
        if all(part.tokens == 1 and part.outputs for part in parts):
            if rows == len(parts):
                self._places.measured(rows, seconds)
            if self._speculator is not None:
                # With what choosing tokens and freeing cells takes: guesses cost that too.
                self._speculator.measured(rows, self._clock() - began)

    # ------------------------------------------------------------ admission

    def _admit(self) -> None:
        passed: set[Line] = set()
        while True:
            for line in self._waiting.lines(self._active, but=passed):
                job = self._startable(line)
                if job is None:
                    passed.add(line)
                    continue
                if not self._start(job):
                    return  # nobody takes the cells that it waits for
                self._waiting.take(job)
                break
            else:
                return

    def _startable(self, line: Line) -> Job | None:
        """The next job of `line` that has a place and need not wait for another's cells."""
        for job in self._waiting.first(line, _LOOK_AHEAD):
            places = self._places.count + (TURN_PLACES if job.dialogue else 0)
            if len(self._active) < places and not self._should_wait(job):
                return job
        return None

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
        start = self._cache.find(job.tokens, dialogue=job.dialogue)
        reserved = sum(self._outstanding(other) for other in self._active)
        reply = min(job.room, HORIZON)
        while self._cache.free - reserved < start.fresh(len(job.tokens)) + reply:
            if self._cache.evict(spare=start.source):
                continue
            if self._active:
                return False
            # Alone, it must fit: a window is never longer than the cache.
            if start.length == 0:
                raise ModelError(f"a prompt of {len(job.tokens):,} tokens found no cells")
            start = Start()
        job.sequence = self._cache.open(
            job.tokens, room=job.room, dialogue=job.dialogue, node=job.node, start=start
        )
        if not job.made:
            # What it computed itself before it was interrupted, it did not find.
            job.cached = max(0, min(job.sequence.computed, len(job.prompt)) - job.charged)
        self._active.append(job)
        return True

    def _outstanding(self, job: Job) -> int:
        assigned = job.sequence
        return min(job.room, HORIZON) + (len(assigned.pending) if assigned else 0)

    # ---------------------------------------------------------------- batch

    def _fill(self) -> list[Part]:
        """Put the next tokens into the batch."""
        batch = Batch(self._engine, self._cache, self._make_room)
        # Replies first: they take one token each, and stay fluent beside a long prompt.
        replying = [job for job in self._active if not job.prefilling]
        prompts = [job for job in self._active if job.prefilling]
        guesses = self._guesses([] if prompts else replying)
        for job in replying:
            batch.put(job, 1, guesses.get(job, ()))
        for job, most in portions(replying, prompts, lambda: self._engine.room):
            batch.put(job, most)
        return batch.parts

    def _guesses(self, replying: list[Job]) -> Mapping[Job, list[int]]:
        """What may follow the replies' next tokens, in cells and room that nobody needs."""
        if self._speculator is None:
            return {}
        free = min(self._cache.free, self._engine.room) - len(replying)
        return self._speculator.guesses(replying, room=max(0, free))

    def _make_room(self, job: Job, count: int, parts: list[Part]) -> int:
        """How many of `count` cells there are for `job`, after giving up what is in the way."""
        while self._cache.free < count and self._cache.evict():
            pass
        placed = [part.job for part in parts]
        while self._cache.free < count and (victim := self._victim(job, placed)) is not None:
            self._restart_later(victim)
        return self._cache.free

    def _victim(self, job: Job, placed: list[Job]) -> Job | None:
        """Who gives its cells to `job`, if anybody: sub-calls before turns of dialogues, and of
        them the one that has the least to lose.

        It is one that comes behind `job`: turns come first, then whoever is older. So nobody
        takes from the first of all, and that one gets done.
        """
        order = sorted(self._active, key=lambda other: not other.dialogue)
        behind = [one for one in order[order.index(job) + 1 :] if one not in placed]
        return min(behind, key=self._loss, default=None)

    def _loss(self, job: Job) -> tuple[bool, bool, int]:
        own = self._cache.own(job.sequence) if job.sequence else 0
        return bool(job.dialogue), not own, own  # taking none would help nobody

    def _restart_later(self, job: Job) -> None:
        """Take its cells away; what is not kept of them will be computed again."""
        if job.sequence is not None:
            job.tokens = job.sequence.all.copy()
            self._cache.interrupt(job.sequence)
            job.sequence = None
        self._active.remove(job)
        self._waiting.put_back(job)

    # --------------------------------------------------------------- tokens

    def _sample(self, parts: list[Part]) -> None:
        logits = self._engine.logits()
        likeliest = logits.argmax(axis=1)
        row = 0
        for part in parts:
            job = part.job
            if not part.outputs:
                continue
            if job.call.tokens_left <= 0:
                self._drop_guess(part)
                self._leave(job, "tokens")
            elif job.choices is not None:
                self._compare(job, logits[row])
            else:
                rows = slice(row, row + part.outputs)
                self._go_on(part, logits[rows], likeliest[rows])
            row += part.outputs

    def _go_on(self, part: Part, logits: Logits, likeliest: NDArray[np.intp]) -> None:
        """Take the tokens that follow: the next one, and one more for each right guess.

        Each is chosen from the same logits as it would be without guesses.
        """
        job, sequence = part.job, part.sequence
        made: list[int] = []
        right = 0
        finish: Finish | None = None
        if job.picker:
            self._attend(job)
        for at, row in enumerate(logits):
            token = job.picker(row) if job.picker else int(likeliest[at])
            written = (job.steering.instead(token) if job.steering else ()) or (token,)
            for one in written:
                made.append(one)
                if finish := self._append(job, sequence, one):
                    break
            if finish or at == len(part.guess) or written != (part.guess[at],):
                break
            right += 1
            sequence.computed += 1
        if job.picker:
            self._attend(None)
        if right < len(part.guess):
            self._drop_guess(part)
        if self._speculator is not None:
            self._speculator.came(job, made)
        if finish:
            self._leave(job, finish)

    def _drop_guess(self, part: Part) -> None:
        if part.guess:
            self._cache.cut(part.sequence, part.sequence.computed)

    def _append(self, job: Job, sequence: Sequence, token: int) -> Finish | None:
        """Go on after `token`, or say why it ends there."""
        if job.call.tokens_left <= 0:
            return "tokens"
        job.made += 1
        job.call.tokens_left -= 1
        if self._vocabulary.ends(token) or job.stream.feed(self._vocabulary.piece(token)):
            return "stop"
        if job.full:
            return "length"
        sequence.append(token)
        return None

    def _compare(self, job: Job, logits: Logits) -> None:
        """Decide between the job's choices, or go on with the one that leads."""
        if job.choices is None or job.sequence is None:
            return
        tried = job.choices.path
        if job.choices.feed(logits):
            job.stream.text = job.choices.best or ""
            self._leave(job, "stop")
            return
        path = job.choices.path
        same = shared_start(tried, path)
        if job.call.tokens_left < len(path) - same:
            self._leave(job, "tokens")
            return
        self._cache.cut(job.sequence, len(job.prompt) + same)
        job.sequence.known = len(job.prompt) + same
        for token in path[same:]:
            job.sequence.append(token)
        job.made += len(path) - same
        job.call.tokens_left -= len(path) - same

    def _leave(self, job: Job, finish: Finish) -> None:
        if job.sequence is not None:
            if 0 < job.prefix <= job.sequence.computed:
                self._cache.remember(job.prompt[: job.prefix])
            self._active.remove(job)
            self._cache.close(job.sequence)
            job.sequence = None
        job.end(finish)
