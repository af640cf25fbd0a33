"""What followed the same words before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.llama import lookup
from rlm_local.llama.lookup import LONGEST_MATCH, Lookup


def row(*tokens: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(tokens, np.int32)


def test_what_followed() -> None:
    one = Lookup()
    assert one.look(row(1, 2, 3, 4, 5, 9, 1, 2, 3)) == 3
    assert one.guess(2) == [4, 5]
    assert one.guess(3) == [4, 5, 9]


def test_a_longer_match_before_a_later_one() -> None:
    one = Lookup()
    assert one.look(row(7, 1, 2, 3, 5, 1, 2, 3, 6, 0, 7, 1, 2, 3)) == 4
    assert one.guess(1) == [5]


def test_among_equals_the_latest() -> None:
    one = Lookup()
    assert one.look(row(1, 2, 5, 1, 2, 6, 1, 2)) == 2
    assert one.guess(1) == [6]


def test_one_token_is_a_match_and_none_is_the_last_one_again() -> None:
    one = Lookup()
    assert one.look(row(4, 5, 6, 5)) == 1
    assert one.guess(2) == [6, 5]
    assert one.look(row(4, 5, 6, 5, 8)) == 0
    assert one.guess(2) == [8, 8]


def test_a_row_that_repeats_itself_is_guessed_for_ever() -> None:
    one = Lookup()
    assert one.look(row(1, 2, 3, 1, 2, 3)) == 3
    assert one.guess(8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_a_copy_goes_on_where_it_was() -> None:
    """Although the same two tokens came later, more often than is looked at."""
    text = [*range(100, 140), *([107, 108, 0] * 40)]
    one = Lookup()
    for end in range(2, 38):
        one.look(row(*text, *range(100, 100 + end)))
        assert one.guess(1) == [100 + end]


def test_nothing_at_all() -> None:
    one = Lookup()
    assert one.look(row()) == 0
    assert one.guess(3) == []


def test_a_row_that_was_taken_back() -> None:
    one = Lookup()
    one.look(row(1, 2, 3, 4, 1, 2))
    assert one.look(row(1, 2, 3)) == 0
    assert one.look(row(5, 6, 7, 5)) == 1
    assert one.guess(1) == [6]


def test_old_tokens_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "HISTORY", 50)
    one = Lookup()
    tokens = row(*range(200), 3)
    assert one.look(tokens) == 0
    for more in range(1_000):
        tokens = np.append(tokens, np.int32(1_000 + more))
        one.look(tokens)
        assert len(one._row) <= 2 * 50 + 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 20))
def test_a_guess_is_what_followed_a_match(tokens: list[int], count: int) -> None:
    one = Lookup()
    for end in range(1, len(tokens) + 1):
        seen = tokens[:end]
        equal = one.look(row(*seen))
        guess = one.guess(count)
        assert len(guess) == count
        assert 0 <= equal <= LONGEST_MATCH
        if equal:
            suffix = seen[-equal:]
            whole = [*seen, *guess]
            assert any(
                whole[at : at + equal] == suffix and whole[at + equal : at + equal + count] == guess
                for at in range(end - equal)
            )
        else:
            assert seen[-1] not in seen[:-1]
