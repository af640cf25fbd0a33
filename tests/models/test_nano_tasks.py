"""Needle tasks: the answer is in the text, nothing of the evaluation is in the training."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.nano import forms, lexicon, questions, values
from models.nano.tasks import needle_task

SEEDS = st.integers(0, 10**6)
SPLITS = st.sampled_from(["train", "held"])


@given(seed=SEEDS, split=SPLITS, chars=st.integers(200, 5_000))
@example(seed=740_109, split="held", chars=200)  # another line once drew the same value
@example(seed=4_326, split="held", chars=4_322)  # documents, less what had parted them
@settings(max_examples=150, deadline=None)
def test_the_answer_is_in_the_text_once_and_not_in_the_question(
    seed: int, split: lexicon.Split, chars: int
) -> None:
    task = needle_task(seed, split, chars)
    assert sum(text.count(task.gold) for text in task.texts) == 1
    assert task.gold not in task.question
    assert re.fullmatch(values.PATTERNS[task.kind], task.gold)
    assert chars <= len("\n".join(task.texts)) < chars + 4_000


@given(seed=SEEDS, split=SPLITS)
@settings(max_examples=30, deadline=None)
def test_a_task_is_a_function_of_its_seed(seed: int, split: lexicon.Split) -> None:
    assert needle_task(seed, split, 900) == needle_task(seed, split, 900)


def test_tasks_differ() -> None:
    assert len({needle_task(seed, "train", 900).question for seed in range(100)}) > 95


@pytest.mark.parametrize(
    "listing",
    [
        lexicon.ADJECTIVES,
        lexicon.NOUNS,
        lexicon.FIRST_NAMES,
        lexicon.LAST_NAMES,
        lexicon.PLACES,
    ],
)
def test_held_out_words_are_not_trained_on(listing: str) -> None:
    train, held = set(lexicon.words(listing, "train")), set(lexicon.words(listing, "held"))
    assert not train & held
    assert len(held) >= 10


def test_held_out_templates_are_not_trained_on() -> None:
    assert len(questions._CORES) >= 20
    assert len(questions._HELD_CORES) >= 5
    assert not set(questions._CORES) & set(questions._HELD_CORES)
    assert not set(forms._SENTENCES) & set(forms._HELD_SENTENCES)
    assert not set(forms._RECORDS) & set(forms._HELD_RECORDS)


def test_long_texts_repeat_only_what_was_asked_to_be_repeated() -> None:
    task = needle_task(3, "held", 200_000, unique_chars=10_000)
    assert 200_000 <= task.chars < 204_000
