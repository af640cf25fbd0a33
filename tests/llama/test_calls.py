"""Calls that come, go and meet in one scheduler."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlm_local.llama.choices import Choices, shared_start, without_prefixes
from rlm_local.llama.jobs import Call, Job
from rlm_local.llama.stream import TextStream
from rlm_local.plaincalls import most_tokens
from rlm_local.records import ModelInfo, Request
from tests.llama.fake import END, SIZE, next_token, reference
from tests.llama.test_scheduler import PLENTY, Setup, alike, text


def job(prompt: list[int], **how: object) -> Job:
    tokens = np.array(prompt, np.int32)
    return Job(tokens, stream=TextStream(fence=False), **{"max_tokens": 20, **how})  # type: ignore[arg-type]


def run(setup: Setup) -> list[Call]:
    """Step until nothing is left; the calls in the order in which they ended."""
    ended = []
    while setup.scheduler.busy:
        setup.scheduler.step()
        ended += setup.scheduler.take_finished()
    assert setup.engine.cells == setup.cache.used
    return ended


def right(one: Job) -> bool:
    return one.completion().text == text(reference(one.prompt.tolist(), one.max_tokens))


def test_a_call_joins_between_two_batches() -> None:
    setup = Setup()
    first = setup.submit([job(prompt) for prompt in alike(3, 20, 5)])
    for _ in range(3):
        setup.scheduler.step()
    second = setup.submit([job([7, 8, 9])])
    run(setup)
    assert all(right(one) for call in (first, second) for one in call.jobs)
    assert any(len(batch) == 4 for batch in setup.engine.batches)


def test_an_end_is_for_one_call_only() -> None:
    setup = Setup(cells=2_000, parallel=8)
    calls = [setup.submit([job([n, n, n]), job([n, 1, 2])]) for n in range(3)]
    for _ in range(2):
        setup.scheduler.step()
    setup.scheduler.end(calls[1].number, "deadline")
    assert run(setup)[0] is calls[1]
    assert {one.finish for one in calls[1].jobs} == {"deadline"}
    for one in calls[1].jobs:
        whole = text(reference(one.prompt.tolist(), 20))
        assert whole.startswith(one.completion().text)
    assert all(right(one) for call in (calls[0], calls[2]) for one in call.jobs)


def test_an_end_before_the_start() -> None:
    setup = Setup(parallel=1)
    first, second = setup.submit([job([1, 2])]), setup.submit([job([3, 4])])
    setup.scheduler.step()
    setup.scheduler.end(second.number, "deadline")
    assert second.jobs[0].completion().work_tokens == 0
    setup.scheduler.end(99, "deadline")  # nobody's
    run(setup)
    assert right(first.jobs[0])


def test_each_call_has_its_own_token_limit() -> None:
    setup = Setup(cells=2_000, parallel=8)
    short = setup.submit([job(p) for p in alike(4, 30, 5)], token_limit=40)
    free = setup.submit([job([59 - n for n in p]) for p in alike(4, 30, 5)])
    run(setup)
    assert sum(one.completion().work_tokens for one in short.jobs) == 40
    assert all(right(one) for one in free.jobs)


def ended_nodes(setup: Setup) -> list[str]:
    return [call.jobs[0].node for call in run(setup)]


def test_the_deepest_go_first() -> None:
    setup = Setup(parallel=1)
    for depth in (0, 1, 3, 2):
        setup.submit([job([depth, 5, 6], depth=depth, node=str(depth))])
    assert ended_nodes(setup) == ["3", "2", "1", "0"]


def test_nodes_take_turns() -> None:
    setup = Setup(parallel=2, cells=2_000)
    for n in range(6):
        setup.submit([job([n, 40, 41], node="many", max_tokens=3)])
    setup.submit([job([9, 9, 9], node="one", max_tokens=3)])
    assert ended_nodes(setup).index("one") <= 2


def test_a_turn_finds_a_place_beside_sub_calls() -> None:
    setup = Setup(parallel=2, cells=2_000)
    setup.submit([job([n, 40, 41], depth=1, max_tokens=10) for n in range(20)])
    setup.scheduler.step()
    turn = setup.submit([job([9, 9, 9], dialogue="root", node="0", max_tokens=5)])
    order = run(setup)
    assert order[0] is turn
    assert right(turn.jobs[0])


def prompt_tokens_beside_replies(depth: int) -> list[int]:
    """How much of a prompt of `depth` is computed in each batch beside ten replies at depth 1."""
    setup = Setup(parallel=16, cells=4_000, batch=256)
    setup.submit([job([n, 40, 41], depth=1, max_tokens=50) for n in range(10)])
    for _ in range(2):
        setup.scheduler.step()
    before = len(setup.engine.batches)
    setup.submit([job([n % 50 for n in range(1_000)], depth=depth)])
    setup.scheduler.step()
    setup.scheduler.step()
    return [max(tokens for _, tokens in batch) for batch in setup.engine.batches[before:]]


def test_a_shallow_prompt_slows_replies_little_and_comes_on_all_the_same() -> None:
    assert prompt_tokens_beside_replies(0) == [2, 2]


def test_a_prompt_as_deep_as_the_replies_gets_more() -> None:
    assert prompt_tokens_beside_replies(1) == [128, 128]


def test_prompts_share_a_batch_evenly() -> None:
    setup = Setup(parallel=4, cells=2_000, batch=60)
    lengths = (300, 10, 300)
    setup.submit([job([at + 1] * length) for at, length in enumerate(lengths)])
    setup.scheduler.step()
    assert sorted(tokens for _, tokens in setup.engine.batches[0]) == [10, 25, 25]


def prompt_tokens_by_depth(*depths: int, replies: int = 0, batch: int = 100) -> list[int]:
    """What a long prompt of each of these depths has of a batch, beside replies at depth 1."""
    setup = Setup(parallel=16, cells=16_000, batch=batch)
    if replies:
        setup.submit([job([n, 40, 41], depth=1, max_tokens=50) for n in range(replies)])
        setup.scheduler.step()
    jobs = [job([at] * 1_000, depth=depth) for at, depth in enumerate(depths)]
    for one in jobs:
        setup.submit([one])
    setup.scheduler.step()
    return [one.charged for one in jobs]


def test_a_shallow_prompt_comes_on_beside_deeper_ones() -> None:
    assert prompt_tokens_by_depth(1, 0) == [80, 20]
    assert prompt_tokens_by_depth(2, 1, 0) == [80, 16, 4]
    assert prompt_tokens_by_depth(1, 0, batch=2) == [1, 1]


def test_a_shallow_prompt_takes_no_more_than_it_needs() -> None:
    setup = Setup(parallel=4, cells=4_000, batch=100)
    deep, short = job([1] * 1_000, depth=1), job([2] * 10)
    setup.submit([deep])
    setup.submit([short])
    setup.scheduler.step()
    assert (deep.charged, short.charged) == (90, 10)


def test_a_shallow_prompt_comes_on_beside_more_deep_ones_than_a_batch_takes() -> None:
    *deep, shallow = prompt_tokens_by_depth(*[1] * 12, 0, batch=10)
    assert (sum(deep), shallow) == (8, 2)
    *deep, shallow = prompt_tokens_by_depth(*[1] * 12, 0, replies=1, batch=11)
    assert (sum(deep), shallow) == (8, 2)


# ------------------------------------------------------------------ choices


def likelihood(prompt: list[int], path: tuple[int, ...]) -> float:
    """By the fake engine's logits: 1 for one token, 0 for all others."""
    total = 0.0
    for at, token in enumerate(path):
        likely = next_token([*prompt, *path[:at]]) == token
        total += float(likely) - math.log(math.e + SIZE - 1)
    return total


TOKEN = st.integers(0, 59)


@settings(max_examples=200)
@given(
    st.lists(TOKEN, min_size=2, max_size=20),
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=8),
    st.booleans(),
)
def test_the_likeliest_choice_is_found(
    prompt: list[int], given_: list[list[int]], favoured: bool
) -> None:
    if favoured:
        given_ = [*given_, reference(prompt, 3)]
    paths = without_prefixes([tuple(path) for path in given_], END)
    texts = [str(number) for number in range(len(paths))]
    one = job(prompt, choices=Choices(texts, paths), max_tokens=max(map(len, paths)))
    setup = Setup()
    setup.submit([one, job([1, 2, 3])])
    run(setup)
    scores = [likelihood(prompt, path) for path in paths]
    chosen = int(one.completion().text)
    assert scores[chosen] == pytest.approx(max(scores))
    assert one.finish == "stop"
    if len({path[0] for path in paths}) == len(paths) and max(map(len, paths)) == 1:
        assert one.made == 0


def test_choices_within_a_token_limit() -> None:
    prompt = [1, 2, 3, 4, 5]
    paths = [(7, 7, 7), (8, 8, 8)]
    for limit in range(1, 12):
        one = job(prompt, choices=Choices(["7", "8"], paths), max_tokens=3)
        setup = Setup()
        setup.submit([one], token_limit=limit)
        run(setup)
        assert one.completion().work_tokens <= limit
        assert one.finish in ("stop", "tokens")


@settings(max_examples=200)
@given(st.data(), st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=6))
def test_no_search_takes_more_tokens_than_are_set_aside(
    data: st.DataObject, texts: list[str]
) -> None:
    """Each character is a token here, and any of them may look likely at any time."""
    choices = Choices(texts, without_prefixes([tuple(map(ord, text)) for text in texts], END))
    taken, tried = 0, choices.path
    while not choices.feed(data.draw(arrays(np.float32, 128, elements=st.floats(-9, 9, width=32)))):
        taken += len(choices.path) - shared_start(tried, choices.path)
        tried = choices.path
    model = ModelInfo(name="", path="", context_tokens=1_000, profile="")
    request = Request(messages=(), max_tokens=1, choices=tuple(texts))
    assert taken <= most_tokens(request, model)


def test_damaged_logits_choose_all_the_same() -> None:
    choices = Choices(["a", "b"], [(1, 2), (3, 4)])
    while not choices.feed(np.full(SIZE, np.nan, np.float32)):
        pass
    assert choices.best in ("a", "b")


# ---------------------------------------------------------- all of it at once

SCRIPT = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=1, max_size=40),
        st.sampled_from(["", "one", "two"]),  # dialogue
        st.integers(0, 3),  # depth
        st.integers(0, 6),  # steps before the next
        st.sampled_from([0, 0, 0, 1, 2]),  # 1: it will be ended, 2: a token limit
        st.booleans(),  # whether the batch after is aborted
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150)
@given(SCRIPT, st.integers(110, 260), st.integers(4, 40), st.integers(1, 6))
def test_replies_do_not_depend_on_who_comes_and_goes(
    script: list[tuple[list[int], str, int, int, int, bool]],
    cells: int,
    batch: int,
    parallel: int,
) -> None:
    setup = Setup(cells=cells, batch=batch, parallel=parallel)
    calls: list[Call] = []
    for prompt, dialogue, depth, steps, fate, aborted in script:
        one = job([n % 4 for n in range(30)] + prompt, dialogue=dialogue, depth=depth)
        calls.append(setup.submit([one], token_limit=25 if fate == 2 else PLENTY))
        for _ in range(steps):
            setup.scheduler.step()
        if aborted:
            setup.engine.abort_after = 0
            setup.scheduler.step()
            setup.engine.abort_after = 1 << 60
        if fate == 1:
            setup.scheduler.end(calls[-1].number, "deadline")
    run(setup)
    for call in calls:
        [one] = call.jobs
        assert one.finish is not None
        whole = text(reference(one.prompt.tolist(), 20))
        if one.finish in ("deadline", "tokens"):
            assert whole.startswith(one.completion().text)
        else:
            assert one.completion().text == whole
        assert one.completion().work_tokens <= (25 if one.finish == "tokens" else PLENTY)
