"""The ledger of cells against cells counted one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.llama.cells import CellLedger

CAPACITY = 60
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grow", "share", "cut"]),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(0, 20),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_as_if_counted(steps: list[tuple[str, int, int, int]]) -> None:
    ledger = CellLedger(CAPACITY)
    counted: dict[int, list[object]] = {}
    for action, one, other, number in steps:
        mine = counted.get(one, [])
        if action == "grow" and 0 < number <= ledger.free:
            ledger.grow(one, number)
            counted[one] = [*mine, *(object() for _ in range(number))]
        elif action == "share" and mine and not counted.get(other) and one != other:
            length = max(1, number % (len(mine) + 1))
            ledger.share(one, other, length)
            counted[other] = mine[:length]
        elif action == "cut" and mine:
            length = number % (len(mine) + 1)
            ledger.cut(one, length)
            counted[one] = mine[:length]
        assert ledger.used == len({id(cell) for cells in counted.values() for cell in cells})
        assert ledger.free == CAPACITY - ledger.used
        for sequence, cells in counted.items():
            assert ledger.length(sequence) == len(cells)
    for sequence, cells in counted.items():
        if cells:
            ledger.cut(sequence, 0)
    assert ledger.used == 0


def test_no_more_than_there_are() -> None:
    ledger = CellLedger(10)
    ledger.grow(0, 10)
    with pytest.raises(ValueError, match="1 cells wanted and 0 free"):
        ledger.grow(1, 1)


def test_no_sharing_over_what_is_held() -> None:
    ledger = CellLedger(10)
    ledger.grow(0, 4)
    ledger.grow(1, 1)
    with pytest.raises(ValueError, match="sequence 1 is in use"):
        ledger.share(0, 1, 2)
    with pytest.raises(ValueError, match="has 4 cells, not 5"):
        ledger.share(0, 2, 5)
