"""What counts as a block of code, alike for the reader of turns and the engine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rlm_local.fences import blocks, end_of_block


def test_repl_and_python_fences_run_and_others_do_not() -> None:
    text = "```json\n{}\n```\n```repl\na\n```\n```python\nb\n```\n"
    assert [block.code for block in blocks(text)] == ["a\n", "b\n"]


def test_an_opening_fence_is_not_taken_for_a_closing_one() -> None:
    assert end_of_block("think\n```repl\nx = 1\n") is None


def test_the_end_lies_behind_the_closing_fence() -> None:
    text = "think\n```repl\nx = 1\n```\nOutput: 7"
    end = end_of_block(text)
    assert end is not None
    assert text[:end] == "think\n```repl\nx = 1\n```\n"


def test_a_closing_fence_needs_its_own_line() -> None:
    assert end_of_block("```repl\nprint('```')\n") is None


def test_an_empty_block_is_a_block() -> None:
    assert [tuple(block) for block in blocks("```repl\n```")] == [("", 0, 11, True)]


def test_windows_line_ends() -> None:
    assert [block.code for block in blocks("```python\r\nx\r\n```\r\n")] == ["x\r\n"]


@given(st.text(alphabet="`repl\npython x", max_size=200))
def test_blocks_lie_in_order_and_never_overlap(text: str) -> None:
    position = 0
    for block in blocks(text):
        assert position <= block.start < block.end <= len(text)
        position = block.end


@given(st.text(max_size=100), st.integers(0, 120))
def test_a_block_found_while_streaming_is_the_same_in_the_end(rest: str, cut: int) -> None:
    """The engine stops at the first prefix that holds a block: more text must not move it."""
    whole = "a\n```repl\nx = 1\n```\n" + rest
    end = end_of_block(whole[: 20 + cut])
    if end is not None:
        assert end_of_block(whole) == end
