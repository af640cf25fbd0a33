"""Guessed tokens: whatever is guessed, replies are what they are without."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import models
from rlm_local.llama import LlamaModel, speculation
from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.native import Loading, Native
from rlm_local.llama.payoff import Chance, Costs
from rlm_local.llama.places import Places
from rlm_local.llama.sampling import Sampler
from rlm_local.llama.scheduler import Scheduler
from rlm_local.llama.speculation import MOST_REPLIES, Lookups, Speculation
from rlm_local.llama.stream import TextStream
from rlm_local.records import Message, Request
from tests.llama.conftest import MEMORY
from tests.llama.fake import END, SIZE, FakeEngine, FakeVocabulary, next_token, reference

PLENTY = 1 << 40
PLAIN = [[7 * n % 50, *range(number, number + 9)] for number, n in enumerate(range(40, 46))]


class Oracle:
    """Guesses what will come in fact, but for some tokens that are wrong; also for many jobs."""

    def __init__(self, seed: int, *, right: float, longest: int = 12) -> None:
        self._random = random.Random(seed)
        self._right = right
        self._longest = longest
        self.rows: list[int] = []
        self.given = 0
        self.made = 0

    def guesses(self, jobs: Sequence[Job], *, room: int) -> dict[Job, list[int]]:
        found = {}
        for job in jobs:
            count = min(room, self._random.randint(0, self._longest), job.room - 1)
            if count <= 0 or job.choices is not None or job.sequence is None:
                continue
            room -= count
            future = reference(job.sequence.all.tolist(), count)
            future += [0] * (count - len(future))
            found[job] = [
                token if self._random.random() < self._right else (token + 1) % SIZE
                for token in future
            ]
            self.given += count
        return found

    def measured(self, rows: int, seconds: float) -> None:
        self.rows.append(rows)

    def came(self, job: Job, tokens: Sequence[int]) -> None:
        assert tokens
        self.made += len(tokens)


class Setup:
    def __init__(self, speculator: Oracle | Speculation | None, **how: int) -> None:
        how = {"cells": 400, "batch": 32, "parallel": 4, "size": SIZE, **how}
        self.engine = FakeEngine(cells=how["cells"], batch=how["batch"], size=how["size"])
        self.cache = PrefixCache(self.engine, cells=how["cells"], sequences=16)
        self.scheduler = Scheduler(
            self.engine,
            self.cache,
            places=Places(how["parallel"], how["parallel"]),
            speculator=speculator,
        )

    def run(self, jobs: list[Job], *, token_limit: int = PLENTY) -> list[Job]:
        call = Call(1, jobs, token_limit=token_limit)
        self.scheduler.submit(call)
        while call.unfinished:
            if self.engine.aborted:
                self.scheduler.end(1, "deadline")
            self.scheduler.step()
            assert self.engine.cells == self.cache.used
        assert self.scheduler.take_finished() == [call]
        return jobs


def job(prompt: list[int], *, max_tokens: int = 30, **how: object) -> Job:
    fence = bool(how.pop("fence", False))
    row = np.array(prompt, np.int32)
    return Job(row, max_tokens=max_tokens, stream=TextStream(fence=fence), **how)  # type: ignore[arg-type]


def text(tokens: list[int]) -> str:
    return bytes(32 + token for token in tokens if token != END).decode()


def summary(jobs: list[Job]) -> list[tuple[object, ...]]:
    done = [one.completion() for one in jobs]
    return [(c.text, c.finish, c.prompt_tokens, c.completion_tokens) for c in done]


TOKEN = st.integers(0, 3)
PROMPTS = st.lists(
    st.tuples(st.lists(TOKEN, min_size=1, max_size=40), st.sampled_from(["", "", "one", "two"])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(
    PROMPTS,
    st.integers(0, 1_000),
    st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    st.integers(110, 260),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 50),
    st.integers(1, 30),
)
def test_replies_and_cells_do_not_depend_on_guesses(
    prompts: list[tuple[list[int], str]],
    seed: int,
    right: float,
    cells: int,
    batch: int,
    parallel: int,
    max_tokens: int,
    abort_after: int,
) -> None:
    setup = Setup(Oracle(seed, right=right), cells=cells, batch=batch, parallel=parallel)
    for final in (False, True):
        before = len(setup.engine.batches)
        setup.engine.abort_after = before + (1 << 40 if final else abort_after)
        jobs = [
            job([n % 4 for n in range(30)] + prompt, max_tokens=max_tokens, dialogue=dialogue)
            for prompt, dialogue in prompts
        ]
        for one in setup.run(jobs):
            completion = one.completion()
            expected = reference(one.prompt.tolist(), max_tokens)
            if completion.finish == "deadline":
                assert not final
                assert text(expected).startswith(completion.text)
            else:
                assert completion.text == text(expected)
                assert completion.completion_tokens == len(expected)
                assert completion.finish == ("stop" if expected[-1] == END else "length")


def test_right_guesses_save_batches_and_wrong_ones_cost_none() -> None:
    batches = {}
    for right in (0.0, 1.0):
        setup = Setup(Oracle(3, right=right))
        prompt = next(p for p in ([1, 2, n] for n in range(60)) if len(reference(p, 60)) == 60)
        (one,) = setup.run([job(prompt, max_tokens=60)])
        assert one.made == 60
        batches[right] = len(setup.engine.batches)
    assert batches[0.0] == 60  # the prompt's own and 59 more
    assert batches[1.0] < 20


@pytest.mark.parametrize("right", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("limit", [1, 5, 30, 66, 67, 80, 150])
def test_the_token_limit_is_exact(limit: int, right: float) -> None:
    """Guesses count as tokens only where they are part of a reply."""
    prompts = [[*(n % 50 for n in range(60)), number, 3] for number in range(8)]
    done = Setup(Oracle(1, right=right)).run([job(p) for p in prompts], token_limit=limit)
    completions = [one.completion() for one in done]
    assert sum(c.work_tokens for c in completions) == limit
    assert "tokens" in [c.finish for c in completions]


@pytest.mark.parametrize("limit", range(1, 70, 7))
def test_what_a_limit_leaves_of_a_reply_is_the_same(limit: int) -> None:
    prompt = PLAIN[0]
    plain = summary(Setup(None).run([job(prompt, max_tokens=60)], token_limit=limit))
    guessing = Setup(Oracle(2, right=0.9)).run([job(prompt, max_tokens=60)], token_limit=limit)
    assert summary(guessing) == plain


@pytest.mark.parametrize("most", range(1, 18))
def test_max_tokens_is_exact(most: int) -> None:
    done = Setup(Oracle(4, right=1.0)).run([job(p, max_tokens=most) for p in PLAIN])
    expected = Setup(None).run([job(p, max_tokens=most) for p in PLAIN])
    assert summary(done) == summary(expected)


def test_a_reply_ends_at_its_fence_in_the_middle_of_guesses() -> None:
    block = "```repl\nx\n```\nmore text that nobody wants"
    said = [ord(letter) for letter in block]
    prompt = [1, 2, 3]

    def laid_down(tokens: list[int]) -> int:
        return said[len(tokens) - len(prompt)]

    class Ascii(FakeVocabulary):
        def piece(self, token: int) -> bytes:
            return bytes([token])

        def ends(self, token: int) -> bool:
            return False

    class Knows(Oracle):
        def guesses(self, jobs: Sequence[Job], *, room: int) -> dict[Job, list[int]]:
            return {one: said[one.made : one.made + 6] for one in jobs}

    setup = Setup(Knows(0, right=1.0), size=128)
    setup.engine.next_token = laid_down
    setup.scheduler._vocabulary = Ascii()
    (one,) = setup.run([job(prompt, max_tokens=len(said), fence=True, dialogue="root")])
    completion = one.completion()
    assert (completion.text, completion.finish) == ("```repl\nx\n```", "stop")
    assert completion.completion_tokens == len(completion.text)
    # The dialogue keeps what it would have kept without guesses: all but the last token.
    assert setup.cache.used == len(prompt) + completion.completion_tokens - 1


def test_a_dialogue_goes_on_from_the_same_cells() -> None:
    cells = []
    for speculator in (None, Oracle(5, right=0.8)):
        setup = Setup(speculator)
        prompt = PLAIN[0]
        for _ in range(3):
            (one,) = setup.run([job(prompt, dialogue="root")])
            cells.append((one.cached, setup.cache.used))
            prompt = [*prompt, *reference(prompt, 30), 5, 6]
    assert cells[:3] == cells[3:]


@pytest.mark.parametrize("right", [0.0, 0.6, 1.0])
def test_drawn_tokens_are_the_same(right: float) -> None:
    """Every token is drawn from its own logits, by one draw each, in order."""

    def drawn(speculator: Oracle | None) -> list[tuple[object, ...]]:
        setup = Setup(speculator)
        setup.engine.logits = lambda: spread(setup.engine)  # type: ignore[method-assign]
        jobs = [job(p, picker=Sampler(1.0, seed)) for seed, p in enumerate(PLAIN)]
        return summary(setup.run(jobs))

    def spread(engine: FakeEngine) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        rows = np.zeros((len(engine._rows), SIZE), np.float32)
        for row, token in zip(rows, engine._rows, strict=True):
            row[[token, (token + 9) % 60, (token + 23) % 60]] = 9.0, 8.5, 8.0
        return rows

    assert drawn(Oracle(6, right=right)) == drawn(None)


class Bent:
    """Steering that now and then writes something else, one token or three."""

    def __init__(self) -> None:
        self._seen = 0

    def instead(self, token: int) -> tuple[int, ...]:
        self._seen += 1
        if self._seen % 5 == 0:
            return (token + 1) % 50, 7, 8
        return ((token + 3) % 50,) if self._seen % 3 == 0 else ()


@pytest.mark.parametrize("right", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("limit", [25, 60, PLENTY])
def test_what_is_written_in_place_of_a_token_is_the_same(right: float, limit: int) -> None:
    def bent(speculator: Oracle | None, prompt: list[int]) -> list[tuple[object, ...]]:
        setup = Setup(speculator)
        setup.engine.next_token = lambda tokens: next_token(tokens) % 60  # no end
        return summary(setup.run([job(prompt, steering=Bent(), max_tokens=40)], token_limit=limit))

    for number, prompt in enumerate(PLAIN):
        assert bent(Oracle(number, right=right), prompt) == bent(None, prompt)


def test_an_abort_leaves_no_guessed_cells() -> None:
    for after in range(1, 12):
        setup = Setup(Oracle(after, right=0.8))
        setup.engine.abort_after = after
        for one in setup.run([job(p) for p in PLAIN]):
            assert text(reference(one.prompt.tolist(), 30)).startswith(one.completion().text)
        assert setup.engine.cells == setup.cache.used
        setup.engine.abort_after = 1 << 60
        assert summary(setup.run([job(PLAIN[0])])) == summary(Setup(None).run([job(PLAIN[0])]))


def test_nothing_is_guessed_beside_a_prompt() -> None:
    oracle = Oracle(7, right=1.0)
    setup = Setup(oracle, batch=16)
    asked: list[int] = []
    guesses = oracle.guesses

    def noting(jobs: Sequence[Job], *, room: int) -> dict[Job, list[int]]:
        asked.append(len(jobs))
        return guesses(jobs, room=room)

    oracle.guesses = noting  # type: ignore[method-assign]
    long = [n % 59 for n in range(300)]
    setup.run([job([1, 2, 3], max_tokens=200), job(long, max_tokens=5)])
    mixed = [batch for batch in setup.engine.batches if max(n for _, n in batch) > 13]
    assert mixed  # the long prompt, with all the room but the reply's one token
    assert all(min(n for _, n in batch) == 1 for batch in mixed if len(batch) == 2)
    assert 0 in asked
    assert 1 in asked


# ------------------------------------------------------------------------- what pays


class Timed:
    """A `Speculation` over jobs whose batches take what `cost` says."""

    def __init__(self, cost: dict[int, float]) -> None:
        self.speculator = Speculation(Lookups())
        self.cost = cost
        self.sizes: list[int] = []

    def run(self, prompt: list[int], said: list[int]) -> None:
        """Have a reply say `said`, whatever is guessed."""
        one = job(prompt, max_tokens=len(said) + 100)
        sequence = PrefixCache(FakeEngine(cells=9_999, batch=9), cells=9_999, sequences=1).open(
            one.tokens, room=len(said) + 100
        )
        one.sequence = sequence
        left = list(said)
        while left:
            guess = self.speculator.guesses([one], room=64).get(one, [])
            rows = 1 + len(guess)
            self.speculator.measured(rows, self.cost[rows])
            right = next(
                (n for n, (a, b) in enumerate(zip(guess, left, strict=False)) if a != b), len(guess)
            )
            made, left = left[: right + 1], left[right + 1 :]
            self.speculator.came(one, made)
            for token in made:
                sequence.append(token)
            one.made += len(made)
            self.sizes.append(rows)


FLAT = {1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3, 16: 1.5}  # weights that are read once a batch
STEEP = {1: 1.0, 2: 3.4, 4: 4.8, 8: 7.3, 16: 9.8}  # q8_0 on a processor
STEEPER = {1: 1.0, 2: 3.0, 4: 5.0, 8: 9.0, 16: 17.0}
HALVED = {1: 1.0, 2: 0.45, 4: 0.7, 8: 1.4, 16: 3.0}  # f16 on a processor
TEXT = [n * n % 61 for n in range(1, 200)]


def noise(count: int) -> list[int]:
    rng = random.Random(1)
    return [rng.randrange(50_000) for _ in range(count)]


def test_a_copy_is_guessed_far_ahead_where_batches_are_cheap() -> None:
    timed = Timed(FLAT)
    copied = noise(300)
    timed.run(copied, copied * 2)
    assert timed.sizes[-5:] == [16] * 5
    assert sum(map(FLAT.__getitem__, timed.sizes)) < 600 / 5
    assert timed.speculator.right > 0.9 * timed.speculator.computed


def test_a_copy_is_guessed_where_only_long_batches_pay() -> None:
    timed = Timed(STEEP)
    copied = noise(300)
    timed.run(copied, copied * 4)
    assert sum(map(STEEP.__getitem__, timed.sizes)) < 1_200 / 1.2


@pytest.mark.parametrize("cost", [STEEP, STEEPER])
def test_little_is_lost_where_guesses_do_not_pay(cost: dict[int, float]) -> None:
    timed = Timed(cost)
    timed.run(noise(200), noise(1_200)[200:])
    assert sum(map(cost.__getitem__, timed.sizes)) < 1_000 * 1.03
    timed = Timed(STEEPER)
    copied = noise(300)
    timed.run(copied, copied * 4)
    assert sum(map(STEEPER.__getitem__, timed.sizes)) < 1_200 * 1.06


def test_a_second_row_is_computed_where_that_is_faster() -> None:
    timed = Timed(HALVED)
    timed.run(noise(200), noise(1_200)[200:])
    assert sum(map(HALVED.__getitem__, timed.sizes)) < 0.5 * 1_000


def test_what_pays_is_found_out_again() -> None:
    timed = Timed(STEEPER)
    copied = noise(300)
    timed.run(copied, copied * 4)
    timed.cost = FLAT
    timed.run(copied, copied * 30)
    assert timed.sizes[-5:] == [16] * 5


def test_many_replies_are_left_alone() -> None:
    speculator = Speculation(Lookups())
    jobs = [job([1, 2, 1, 2]) for _ in range(MOST_REPLIES + 1)]
    for one in jobs:
        one.sequence = PrefixCache(FakeEngine(cells=99, batch=9), cells=99, sequences=1).open(
            one.tokens, room=30
        )
    for _ in range(10):
        assert speculator.guesses(jobs, room=64) == {}
        speculator.measured(len(jobs), 1.0)
    for _ in range(10):
        found = speculator.guesses(jobs[:1], room=64)
        speculator.measured(1 + sum(map(len, found.values())), 1.0)
    assert found


@pytest.mark.parametrize("room", [0, 1, 2, 5, 40])
def test_guesses_keep_to_the_room(room: int) -> None:
    speculator = Speculation(Lookups())
    one = job([1, 2, 3] * 10, max_tokens=40)
    one.sequence = PrefixCache(FakeEngine(cells=99, batch=9), cells=99, sequences=1).open(
        one.tokens, room=40
    )
    for _ in range(30):
        guess = speculator.guesses([one], room=room).get(one, [])
        assert len(guess) <= room
        speculator.measured(1 + len(guess), 1.0)
        speculator.came(one, guess[:1] or [1])


def test_a_share_follows_what_happens() -> None:
    chance = Chance(0.5)
    for _ in range(200):
        chance.count(3, 1)
    assert chance.value == pytest.approx(0.75, abs=0.02)
    for _ in range(200):
        chance.count(0, 1)
    assert chance.value < 0.02


def test_costs_between_sizes_are_estimated() -> None:
    costs = Costs()
    for rows, seconds in ((2, 1.0), (2, 5.0), (2, 1.2), (6, 3.0), (6, 3.0), (6, 9.0)):
        assert costs.due(rows)
        costs.measured(rows, seconds)
    assert (costs.of(2), costs.of(4), costs.of(6)) == (1.0, 2.0, 3.0)
    assert costs.of(7) is None
    assert not costs.due(2)
    for _ in range(100):
        costs.measured(6, 3.0)
    assert costs.due(2)


# ------------------------------------------------------------------------- by llama.cpp


class Eager(speculation._Way):
    """Guesses as far as it can each time, as if that paid."""

    def plan(self, replies: int, room: int) -> speculation._Plan:
        return speculation._Plan(7 if 7 * len(self.chances) <= room else 0, 1.0)


def real(native: Native, speculator: Speculation | None, *, temperature: float) -> list[Job]:
    """Replies one by one and together, of a model that repeats itself before long."""
    cache = PrefixCache(native, cells=2_048, sequences=16)
    scheduler = Scheduler(native, cache, places=Places(8, 8), speculator=speculator)
    jobs = []
    for number, count in enumerate((1, 1, 1, 1, 3)):
        together = [
            job(
                [(n * (number + 3) + at) % 1_000 for n in range(40)],
                max_tokens=60,
                picker=Sampler(temperature, seed=at) if temperature else None,
            )
            for at in range(count)
        ]
        call = Call(number, together, token_limit=PLENTY)
        scheduler.submit(call)
        while call.unfinished:
            scheduler.step()
        scheduler.take_finished()
        jobs += together
    while cache.evict():
        pass
    return jobs


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Native:
    """A model with weights in f32, where the size of a batch hardly shows in the logits."""
    shape = replace(models.SHAPES["tiny"], name="exact", kind=models.F32)
    path = models.write(shape, tmp_path_factory.mktemp("models") / "exact.gguf")
    return Native(path, Loading(2_048, 512, 1, flash=False, mapped=True))


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_replies_are_equal_with_real_weights(exact: Native, temperature: float) -> None:
    eager = Speculation()
    eager._ways = [Eager(Lookups())]
    plain = real(exact, None, temperature=temperature)
    guessed = real(exact, eager, temperature=temperature)
    assert summary(guessed) == summary(plain)
    assert eager.computed > 400
    assert 0 < eager.right < eager.computed


def test_a_model_in_a_worker_says_the_same(tiny_path: Path) -> None:
    texts = []
    for speculate in (False, True):
        with LlamaModel(tiny_path, memory_bytes=MEMORY, speculate=speculate) as model:
            request = Request(messages=(Message("user", "the of and " * 20),), max_tokens=12)
            deadline = time.monotonic() + 60
            texts.append(model.complete([request], deadline=deadline, token_limit=PLENTY)[0].text)
    assert texts[0] == texts[1]
