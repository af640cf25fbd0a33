"""Guesses by a second model: right or wrong, early or late, they change no reply."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import models
from rlm_local.errors import DraftError, ModelFileError, ModelMemoryError
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, inspect, plan, speculation
from rlm_local.llama.draft import DraftModel
from rlm_local.llama.drafting import PADDING, beside, check_vocabulary
from rlm_local.llama.jobs import Job
from rlm_local.llama.memory import MemoryPlan, in_mib
from rlm_local.llama.native import Loading, Native
from rlm_local.llama.speculation import MOST_REPLIES, Speculation
from rlm_local.records import Completion, Message, Request
from tests.llama import build
from tests.llama.build import written
from tests.llama.conftest import MEMORY
from tests.llama.fake import SIZE, FakeEngine, next_token, reference
from tests.llama.test_speculation import PLAIN, Eager, Setup, job, real, summary, text


class Small(FakeEngine):
    """Says what the large model says, but for one token in `wrong_in`."""

    def __init__(self, *, wrong_in: int, cells: int = 400, batch: int = 16) -> None:
        super().__init__(cells=cells, batch=batch)

        def mistaken(tokens: list[int], ends_after: int = 24) -> int:
            token = next_token(tokens, ends_after)
            return token if len(tokens) % wrong_in else (token + 1) % SIZE

        self.next_token = mistaken


def guessing(small: FakeEngine, *, sequences: int = 8) -> tuple[Speculation, DraftModel]:
    """Guesses seven tokens each time, whether it pays or not."""
    draft = DraftModel(small, cells=small.capacity, sequences=sequences, vocabulary=SIZE)
    spec = Speculation()
    spec._ways = [Eager(draft)]
    return spec, draft


def test_guesses_of_the_same_model_are_right() -> None:
    small = Small(wrong_in=1 << 30)
    spec, _ = guessing(small)
    prompts = [p for p in ([1, 2, n] for n in range(60)) if len(reference(p, 60)) > 40][:3]
    done = Setup(spec).run([job(p, max_tokens=60) for p in prompts])
    assert summary(done) == summary(Setup(None).run([job(p, max_tokens=60) for p in prompts]))
    # Wrong are only those behind the end of a reply.
    assert 60 < spec.computed <= spec.right + 7 * len(prompts)


def test_the_small_model_reads_a_text_once() -> None:
    small = Small(wrong_in=5)
    spec, _ = guessing(small)
    setup = Setup(spec)
    prompt = [n % 50 for n in range(100)]
    for _ in range(3):
        setup.run([job(prompt, dialogue="root", max_tokens=20)])
        prompt = [*prompt, *reference(prompt, 20), 5, 6, 7]
    read = sum(tokens for batch in small.batches for _, tokens in batch)
    guessed = spec.computed
    assert read < len(prompt) + guessed + 30


def test_a_long_text_is_read_while_replies_go_on() -> None:
    """Each step reads one batch of it, and no guess is made before the end of it."""
    small = Small(wrong_in=1 << 30, batch=10)
    spec, draft = guessing(small)
    one = job([n % 50 for n in range(45)], max_tokens=60)
    setup = Setup(spec)
    setup.run([one])
    first = [sum(n for _, n in batch) for batch in small.batches[:5]]
    assert first[:4] == [10] * 4
    assert draft._cells == 400


@pytest.mark.parametrize("cells", [20, 60, 75])
def test_a_reply_that_is_too_long_for_it_goes_without(cells: int) -> None:
    small = Small(wrong_in=1 << 30, cells=cells)
    spec, _ = guessing(small)
    prompt = [n % 50 for n in range(40)]
    done = Setup(spec).run([job(prompt, max_tokens=30)])
    assert summary(done) == summary(Setup(None).run([job(prompt, max_tokens=30)]))
    assert bool(spec.computed) == (cells >= 70)


def test_tokens_that_the_large_model_lacks_are_not_guessed() -> None:
    small = Small(wrong_in=1 << 30)
    small.size = SIZE + 8
    small.next_token = lambda tokens, ends_after=24: SIZE + 5
    draft = DraftModel(small, cells=400, sequences=4, vocabulary=SIZE)
    spec = Speculation()
    spec._ways = [Eager(draft)]
    seen: list[int] = []
    guess = draft.guess
    draft.guess = lambda counts: _noted(guess(counts), seen)  # type: ignore[method-assign]
    Setup(spec).run([job(PLAIN[0])])
    assert seen
    assert max(seen) < SIZE


def _noted(guesses: dict[Job, list[int]], seen: list[int]) -> dict[Job, list[int]]:
    for guess in guesses.values():
        seen += guess
    return guesses


def test_an_abort_leaves_its_cells_in_order() -> None:
    for after in range(1, 10):
        small = Small(wrong_in=4)
        spec, draft = guessing(small)
        setup = Setup(spec)
        small.abort_after = after
        done = setup.run([job(p) for p in PLAIN[:2]])
        assert summary(done) == summary(Setup(None).run([job(p) for p in PLAIN[:2]]))
        assert small.cells == draft._cache.used


TOKEN = st.integers(0, 3)
PROMPTS = st.lists(
    st.tuples(st.lists(TOKEN, min_size=1, max_size=40), st.sampled_from(["", "", "one", "two"])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(PROMPTS, min_size=1, max_size=3),
    st.integers(2, 30),
    st.integers(60, 300),
    st.integers(MOST_REPLIES, 8),
    st.integers(110, 260),
    st.integers(1, 6),
)
def test_replies_do_not_depend_on_the_small_model(
    calls: list[list[tuple[list[int], str]]],
    wrong_in: int,
    small_cells: int,
    sequences: int,
    cells: int,
    parallel: int,
) -> None:
    small = Small(wrong_in=wrong_in, cells=small_cells)
    spec, draft = guessing(small, sequences=sequences)
    setup = Setup(spec, cells=cells, parallel=parallel)
    for prompts in calls:
        jobs = [
            job([n % 4 for n in range(30)] + prompt, max_tokens=25, dialogue=dialogue)
            for prompt, dialogue in prompts
        ]
        for one in setup.run(jobs):
            assert one.completion().text == text(reference(one.prompt.tolist(), 25))
        assert small.cells == draft._cache.used <= small_cells


def test_the_way_that_pays_best_is_taken() -> None:
    """A small model that is always right, beside looking up what never comes again."""
    small = Small(wrong_in=1 << 30)
    draft = DraftModel(small, cells=400, sequences=8, vocabulary=SIZE)
    spec = Speculation(speculation.Lookups(), draft)
    setup = Setup(spec)
    measured = spec.measured

    def flat(rows: int, seconds: float) -> None:
        measured(rows, 1.0 + 0.01 * rows)

    spec.measured = flat  # type: ignore[method-assign]
    for number in range(6):
        prompt = [(number * n) % 60 for n in range(20)]
        done = setup.run([job(prompt, max_tokens=60)])
        assert summary(done) == summary(Setup(None).run([job(prompt, max_tokens=60)]))
    assert small.batches
    assert np.mean([len(batch) for batch in small.batches]) == 1


# ------------------------------------------------------------------------- by llama.cpp


def complete(model: LlamaModel, *texts: str, most: int = 40) -> list[Completion]:
    requests = [Request(messages=(Message("user", one),), max_tokens=most) for one in texts]
    return model.complete(requests, deadline=time.monotonic() + 120, token_limit=1 << 40)


def small_path(folder: Path, **changes: object) -> Path:
    shape = replace(models.SHAPES["tiny"], name="small", width=32, **changes)  # type: ignore[arg-type]
    return models.write(shape, folder / "small.gguf", seed=2)


def test_a_draft_model_in_the_worker(tiny_path: Path, tmp_path: Path) -> None:
    """Loaded beside the model, with its window and its part of the memory."""
    with LlamaModel(tiny_path, memory_bytes=MEMORY, draft=small_path(tmp_path)) as model:
        guessed = complete(model, "the of and " * 30, "to in is")
        alone = model.memory_plan
    with LlamaModel(tiny_path, memory_bytes=MEMORY, speculate=False) as model:
        plain = complete(model, "the of and " * 30, "to in is")
        assert model.memory_plan.context_tokens == alone.context_tokens
    assert [c.completion_tokens for c in guessed] == [c.completion_tokens for c in plain]
    assert [c.prompt_tokens for c in guessed] == [c.prompt_tokens for c in plain]


def test_replies_are_equal_with_real_weights(tmp_path: Path) -> None:
    shape = replace(models.SHAPES["tiny"], kind=models.F32)
    path = models.write(shape, tmp_path / "exact.gguf")
    how = Loading(2_048, 512, 1, flash=False, mapped=True)
    native = Native(path, how)
    small = Native(path, how, beside=native)  # the same: it is always right, but for near-ties
    draft = DraftModel(small, cells=2_048, sequences=16, vocabulary=native.vocabulary.size)
    eager = Speculation()
    eager._ways = [Eager(draft)]
    plain = real(native, None, temperature=0.0)
    assert summary(real(native, eager, temperature=0.0)) == summary(plain)
    assert eager.right > 0.9 * eager.computed > 200
    native.abort()
    assert small.aborted
    native.resume()


def test_other_tokens_are_refused(tiny_path: Path, tmp_path: Path) -> None:
    other = written(tmp_path, build.gguf())
    with pytest.raises(DraftError, match=r"of 257 and 1,024 tokens .* differ") as caught:
        LlamaModel(tiny_path, memory_bytes=MEMORY, draft=other)
    assert "same family" in caught.value.hint


@pytest.mark.parametrize(("more", "fits"), [(0, True), (PADDING, True), (PADDING + 1, False)])
def test_a_vocabulary_may_be_filled_up(tmp_path: Path, more: int, fits: bool) -> None:
    tokens = [*build.TOKENS, *(f"<fill{n}>" for n in range(more))]
    types = [1] * 256 + [3] * (1 + more)
    longer = build.metadata(
        tokens=("tokenizer.ggml.tokens", build.ARRAY, (build.STRING, tokens)),
        token_type=("tokenizer.ggml.token_type", build.ARRAY, (build.I32, types)),
    )
    table = build.packed(
        [
            (name, (build.WIDTH, len(tokens)) if name == "token_embd.weight" else shape, 0, 0, 0)
            for name, shape, *_ in build.tensors()
        ]
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    model = inspect(written(tmp_path / "one", build.gguf()))
    draft = inspect(written(tmp_path / "two", build.gguf(longer, table)))
    for one, other in ((draft, model), (model, draft)):
        if fits:
            check_vocabulary(one, other)
        else:
            with pytest.raises(DraftError, match=f"{more:,} differ"):
                check_vocabulary(one, other)


def test_both_are_planned_within_the_limit(tiny_path: Path, tmp_path: Path) -> None:
    file = inspect(tiny_path)
    draft = small_path(tmp_path)
    alone = plan(file, memory_bytes=MEMORY)

    def planned(memory_bytes: int) -> MemoryPlan:
        return plan(file, memory_bytes=memory_bytes)

    main, small = beside(draft, file, planned, memory_bytes=MEMORY)
    assert main.context_tokens == alone.context_tokens == small.plan.context_tokens
    both = main.total_bytes + small.plan.total_bytes
    usual = (main.context_tokens, main.kv_type, main.flash)
    for limit in (both, both - 1, both - 400_000):
        main, small = beside(draft, file, planned, memory_bytes=limit)
        assert main.total_bytes + small.plan.total_bytes <= limit
        given = (main.context_tokens, main.kv_type, main.flash)
        assert (given == usual) == (limit >= both)  # else one of them gives way
    with pytest.raises(ModelMemoryError):
        beside(draft, file, planned, memory_bytes=main.total_bytes)


@pytest.mark.parametrize("room", [0, 1 * MIB, 30 * MIB])
def test_too_little_room_beside_a_draft_model(tiny_path: Path, tmp_path: Path, room: int) -> None:
    """Refused with what both need and with the limit that there is, however small the rest."""
    file = inspect(tiny_path)
    with pytest.raises(ModelMemoryError) as alone:
        plan(file, memory_bytes=0)
    least = alone.value.least_bytes
    limit = least + room
    with pytest.raises(ModelMemoryError) as caught:
        LlamaModel(tiny_path, memory_bytes=limit, draft=small_path(tmp_path))
    assert f"needs {in_mib(least)} and its draft model" in str(caught.value)
    assert f"the limit for both is {in_mib(limit)}" in str(caught.value)
    assert "leave the draft model out, or raise model_memory_bytes" in caught.value.hint
    assert caught.value.least_bytes > limit
    # A model that does not even fit alone is told so, not of the draft model.
    with pytest.raises(ModelMemoryError) as too_large:
        LlamaModel(tiny_path, memory_bytes=least - 1, draft=small_path(tmp_path))
    assert f"and the limit is {in_mib(least - 1)}" in str(too_large.value)
    assert "draft" not in too_large.value.hint


def test_a_draft_model_that_is_none(tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        LlamaModel(tiny_path, memory_bytes=MEMORY, draft=tmp_path / "none.gguf")
