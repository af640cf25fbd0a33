"""Scheduling over an engine whose replies are right only if its cells are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import ModelError
from rlm_local.llama.cache import PrefixCache
from rlm_local.llama.engine import Outcome
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.places import Places
from rlm_local.llama.scheduler import Scheduler
from rlm_local.llama.states import Swap
from rlm_local.llama.stream import TextStream
from rlm_local.records import Completion
from tests.llama.fake import END, FakeEngine, next_token, reference

PLENTY = 1 << 40


class Setup:
    def __init__(self, *, cells: int = 400, batch: int = 32, parallel: int = 4) -> None:
        self.engine = FakeEngine(cells=cells, batch=batch)
        self.cache = PrefixCache(self.engine, cells=cells, sequences=16)
        self.scheduler = Scheduler(self.engine, self.cache, places=Places(parallel, parallel))
        self.calls = 0

    def run(
        self,
        prompts: list[list[int]],
        *,
        max_tokens: int = 20,
        token_limit: int = PLENTY,
        dialogue: str = "",
        fence: bool = False,
    ) -> list[Completion]:
        jobs = [
            Job(
                np.array(prompt, np.int32),
                max_tokens=max_tokens,
                stream=TextStream(fence=fence),
                dialogue=dialogue,
            )
            for prompt in prompts
        ]
        self.finish(jobs, token_limit=token_limit)
        assert self.engine.cells == self.cache.used
        return [job.completion() for job in jobs]

    def submit(self, jobs: list[Job], *, token_limit: int = PLENTY) -> Call:
        self.calls += 1
        call = Call(self.calls, jobs, token_limit=token_limit)
        self.scheduler.submit(call)
        return call

    def finish(self, jobs: list[Job], *, token_limit: int = PLENTY) -> None:
        """Run `jobs` as the worker does: an abort is a deadline of theirs."""
        call = self.submit(jobs, token_limit=token_limit)
        while call.unfinished:
            if self.engine.aborted:
                self.scheduler.end(call.number, "deadline")
            try:
                self.scheduler.step()
            except ModelError:
                assert self.scheduler.reset() == [call]
                raise
        assert self.scheduler.take_finished() == [call]
        assert not self.scheduler.busy


def text(tokens: list[int]) -> str:
    return bytes(32 + token for token in tokens if token != END).decode()


def check(prompts: list[list[int]], completions: list[Completion], max_tokens: int) -> None:
    for prompt, completion in zip(prompts, completions, strict=True):
        expected = reference(prompt, max_tokens)
        assert completion.text == text(expected)
        assert completion.finish == ("stop" if expected[-1] == END else "length")
        assert completion.prompt_tokens == len(prompt)
        assert completion.completion_tokens == len(expected)


def alike(count: int, shared: int, own: int) -> list[list[int]]:
    """Prompts with a shared beginning."""
    return [
        [*(n % 50 for n in range(shared)), *((number * 7 + n) % 60 for n in range(own))]
        for number in range(count)
    ]


def test_one() -> None:
    prompts = alike(1, 10, 5)
    check(prompts, Setup().run(prompts), 20)


def test_a_batch_computes_its_shared_prefix_once() -> None:
    setup = Setup()
    prompts = alike(24, 60, 6)
    completions = setup.run(prompts)
    check(prompts, completions, 20)
    assert completions[0].cached_tokens == 0
    assert min(c.cached_tokens for c in completions[1:]) >= 60
    work = sum(tokens for batch in setup.engine.batches for _, tokens in batch)
    assert work < 60 + 24 * (6 + 20)


def test_a_batch_shares_with_the_batch_before() -> None:
    setup = Setup()
    setup.run(alike(6, 60, 6))
    completions = setup.run(alike(6, 60, 9))
    assert min(c.cached_tokens for c in completions) >= 60


def test_one_by_one_they_share_as_well() -> None:
    setup = Setup()
    prompts = alike(12, 60, 6)
    completions = [setup.run([prompt])[0] for prompt in prompts]
    check(prompts, completions, 20)
    assert min(c.cached_tokens for c in completions[1:]) >= 60
    assert setup.engine.cells < 60 + 3 * 26


def test_a_dialogue_prefills_only_what_is_new() -> None:
    setup = Setup()
    prompt = alike(1, 40, 10)[0]
    for _ in range(4):
        (completion,) = setup.run([prompt], dialogue="root")
        check([prompt], [completion], 20)
        said = reference(prompt, 20)
        prompt = [*prompt, *said, 5, 6, 7]
        setup.run(alike(6, 30, 20))  # sub-calls in between
    (completion,) = setup.run([prompt], dialogue="root")
    assert completion.prompt_tokens - completion.cached_tokens == 4  # said[-1], 5, 6, 7


def test_the_same_dialogue_twice_in_a_batch_goes_in_turn() -> None:
    prompts = alike(3, 40, 10)
    check(prompts, Setup().run(prompts, dialogue="root"), 20)


def test_a_changed_dialogue_starts_from_what_is_left_of_it() -> None:
    setup = Setup()
    setup.run(alike(1, 40, 10), dialogue="root")
    changed = [[*alike(1, 40, 0)[0], 59, 58, 57]]
    completions = setup.run(changed, dialogue="root")
    check(changed, completions, 20)
    assert completions[0].cached_tokens == 40


def test_waves_when_cells_are_short() -> None:
    setup = Setup(cells=150, parallel=8)
    prompts = alike(20, 20, 30)
    check(prompts, setup.run(prompts, max_tokens=40), 40)


def test_replies_that_outgrow_the_cells_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_local.llama.scheduler.HORIZON", 1)
    setup = Setup(cells=300, parallel=8)
    prompts = [[n, n + 1, n + 2] for n in range(20)]
    check(prompts, setup.run(prompts, max_tokens=200), 200)


def endless(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies as long as may be, begun in one cell."""
    monkeypatch.setattr("rlm_local.llama.scheduler.HORIZON", 1)
    setup.engine.next_token = lambda tokens: next_token(tokens, 1 << 60)


def work_of(setup: Setup) -> int:
    return sum(tokens for batch in setup.engine.batches for _, tokens in batch)


def test_a_turn_keeps_its_cells_beside_sub_calls_that_outgrow_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = Setup(cells=300, parallel=8)
    endless(setup, monkeypatch)
    calls = [[n, n + 1, n + 2] for n in range(6)]
    setup.submit([a_job(call, max_tokens=60) for call in calls])
    setup.scheduler.step()
    turn = a_job([n % 50 for n in range(200)], max_tokens=30, dialogue="root")
    setup.submit([turn])
    setup.scheduler.step()
    held = turn.sequence
    assert held is not None
    while turn.finish is None:
        assert turn.sequence is held
        setup.scheduler.step()
    assert turn.made == 30
    while setup.scheduler.busy:
        setup.scheduler.step()
        setup.scheduler.take_finished()


def test_of_sub_calls_the_one_with_the_least_to_lose_starts_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = Setup(cells=150, parallel=8)
    endless(setup, monkeypatch)
    first, short, long = (
        a_job([n] * length, max_tokens=60) for n, length in enumerate((10, 5, 90), 1)
    )
    setup.submit([first, short, long])
    while None not in (short.sequence, long.sequence) or not first.made:
        setup.scheduler.step()
    assert (short.sequence, long.sequence is not None) == (None, True)


def test_a_turn_that_makes_room_for_another_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = swapping(Setup(cells=300), tmp_path)
    endless(setup, monkeypatch)
    one, other = (
        a_job([n] * 120, max_tokens=100, dialogue=name) for n, name in enumerate(("0.1", "0.2"))
    )
    setup.submit([one, other])
    while setup.scheduler.busy:
        setup.scheduler.step()
        setup.scheduler.take_finished()
    assert (one.made, other.made) == (100, 100)
    assert work_of(setup) <= 2 * 220


def test_a_prompt_that_is_interrupted_costs_what_it_does_otherwise(tmp_path: Path) -> None:
    setup = swapping(Setup(cells=400, batch=40), tmp_path)
    turn = a_job([n % 50 for n in range(200)], max_tokens=5, dialogue="0")
    setup.submit([turn])
    for _ in range(3):
        setup.scheduler.step()
    assert turn.charged == 120
    setup.scheduler._restart_later(turn)
    while setup.scheduler.busy:
        setup.scheduler.step()
        setup.scheduler.take_finished()
    assert (turn.cached, turn.charged) == (0, 200)
    assert work_of(setup) == 200 + turn.made - 1


def swapping(setup: Setup, folder: Path) -> Setup:
    cells = setup.engine.capacity
    setup.cache = PrefixCache(setup.engine, cells=cells, sequences=16, swap=Swap(folder))
    setup.scheduler = Scheduler(setup.engine, setup.cache, places=Places(4, 4))
    return setup


def a_job(prompt: list[int], *, max_tokens: int, dialogue: str = "") -> Job:
    tokens = np.array(prompt, np.int32)
    return Job(tokens, max_tokens=max_tokens, stream=TextStream(fence=False), dialogue=dialogue)


def test_a_prompt_as_large_as_the_cache() -> None:
    setup = Setup(cells=128)
    setup.run(alike(1, 50, 20), dialogue="kept")
    prompts = [[n % 59 for n in range(100)]]
    check(prompts, setup.run(prompts, max_tokens=28), 28)


def test_parallel_is_kept() -> None:
    setup = Setup(cells=4_000, parallel=3)
    setup.run(alike(12, 5, 5))
    assert max(len(batch) for batch in setup.engine.batches) == 3


def test_replies_go_on_beside_a_long_prompt() -> None:
    setup = Setup(cells=2_000, batch=16)
    short, long = [1, 2, 3], [n % 59 for n in range(300)]
    check([short, long], setup.run([short, long]), 20)
    mixed = [batch for batch in setup.engine.batches if len(batch) == 2]
    assert len(mixed) >= min(len(reference(short, 20)), 20) - 1


@pytest.mark.parametrize("limit", [1, 5, 30, 66, 67, 80, 150])
def test_the_token_limit_is_exact(limit: int) -> None:
    completions = Setup().run(alike(8, 60, 6), token_limit=limit)
    work = sum(c.work_tokens for c in completions)
    assert work == limit
    assert "tokens" in [c.finish for c in completions]


def test_a_limit_that_is_not_reached() -> None:
    prompts = alike(8, 60, 6)
    needed = sum(c.work_tokens for c in Setup().run(prompts))
    check(prompts, Setup().run(prompts, token_limit=needed), 20)


def test_no_tokens_at_all() -> None:
    completions = Setup().run(alike(2, 5, 5), token_limit=0)
    assert [(c.finish, c.text, c.work_tokens) for c in completions] == [("tokens", "", 0)] * 2


@pytest.mark.parametrize("after", range(1, 12))
def test_an_abort_leaves_a_sound_cache(after: int) -> None:
    setup = Setup(cells=1_000)
    setup.engine.abort_after = after
    prompts = alike(8, 60, 6)
    completions = setup.run(prompts, max_tokens=40)
    assert {c.finish for c in completions} <= {"deadline", "stop", "length"}
    assert "deadline" in {c.finish for c in completions}
    for prompt, completion in zip(prompts, completions, strict=True):
        assert text(reference(prompt, 40)).startswith(completion.text)
    setup.engine.abort_after = 1 << 60
    check(prompts, setup.run(prompts), 20)


def test_an_abort_mid_dialogue_keeps_what_was_computed() -> None:
    setup = Setup(cells=1_000, batch=16)
    setup.engine.abort_after = 4
    prompt = [n % 59 for n in range(100)]
    (completion,) = setup.run([prompt], dialogue="root")
    assert (completion.finish, completion.prompt_tokens, completion.text) == ("deadline", 48, "")
    setup.engine.abort_after = 1 << 60
    (completion,) = setup.run([prompt], dialogue="root")
    check([prompt], [completion], 20)
    assert completion.cached_tokens == 48


def test_a_native_failure_leaves_nothing_behind() -> None:
    setup = Setup()
    decode = setup.engine.decode
    setup.engine.decode = lambda: Outcome.NO_CELLS  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="no cells"):
        setup.run(alike(3, 5, 5))
    setup.engine.decode = decode  # type: ignore[method-assign]
    setup.engine._parts = []
    setup.engine.sequences.clear()
    assert setup.cache.used == 0
    check(alike(3, 5, 5), setup.run(alike(3, 5, 5)), 20)


TOKEN = st.integers(0, 3)  # few, so that prefixes meet
BATCH = st.lists(
    st.tuples(st.lists(TOKEN, min_size=1, max_size=60), st.sampled_from(["", "", "one", "two"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(BATCH, min_size=1, max_size=4),
    st.integers(110, 260),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 50),
    st.lists(st.integers(1, 30), min_size=4, max_size=4),
)
def test_replies_do_not_depend_on_what_else_runs(
    batches: list[list[tuple[list[int], str]]],
    cells: int,
    batch_tokens: int,
    parallel: int,
    max_tokens: int,
    aborts: list[int],
) -> None:
    # A window is never longer than the cache.
    longest = max(30 + len(prompt) for batch in batches for prompt, _ in batch) + max_tokens
    setup = Setup(cells=max(cells, longest), batch=batch_tokens, parallel=parallel)
    for batch, abort_after in zip(batches, aborts, strict=False):
        for final in (False, True):
            before = len(setup.engine.batches)
            setup.engine.abort_after = before + (1 << 40 if final else abort_after)
            jobs = [
                Job(
                    np.array([n % 4 for n in range(30)] + prompt, np.int32),
                    max_tokens=max_tokens,
                    stream=TextStream(fence=False),
                    dialogue=dialogue,
                )
                for prompt, dialogue in batch
            ]
            setup.finish(jobs)
            assert setup.engine.cells == setup.cache.used
            for job in jobs:
                completion = job.completion()
                expected = text(reference(job.prompt.tolist(), max_tokens))
                if completion.finish == "deadline":
                    assert not final
                    assert expected.startswith(completion.text)
                else:
                    assert completion.text == expected


def test_the_last_place_is_given_up_by_what_a_prompt_would_begin_with() -> None:
    cache = PrefixCache(FakeEngine(cells=99, batch=9), cells=99, sequences=1)
    tokens = np.arange(12, dtype=np.int32)
    first = cache.open(tokens, room=1)
    cache.grow(first, 11)
    first.computed = 11
    cache.close(first)
    second = cache.open(tokens, room=1)
    assert (second.computed, second.busy) == (0, True)
    with pytest.raises(RuntimeError, match="all sequences are busy"):
        cache.open(tokens, room=1)
