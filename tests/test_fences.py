"""What counts as a block of code, alike for the reader of turns and the engine."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.fences import TEXT_FINAL, blocks, end_of_block, in_its_place


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


# --------------------------------------------------------- a block in every turn


def steered(pieces: list[str]) -> str:
    """What becomes of a model that says `pieces`, then wants to end whenever it is asked."""
    text = ""
    for piece in [*pieces, *[None] * 3]:
        text += in_its_place(text, piece or "", ends=piece is None) or piece or ""
        if (end := end_of_block(text)) is not None:
            return text[:end]
    return text


FORCED = {
    "nothing": ([], "```repl\n```"),
    "prose": (["I look."], "I look.\n```repl\n```"),
    "prose on a line": (["I look.\n"], "I look.\n```repl\n```"),
    "a block": (["So:\n", "```repl\n", "x\n", "```"], "So:\n```repl\nx\n```"),
    "a block that was left open": (["```python\n", "x"], "```python\nx\n```"),
    "another language": (["```", "json\n", "{}\n", "```"], "```repl\n{}\n```"),
    "at once": (["Now\n```json\n", "x"], "Now\n```repl\nx\n```"),
    "no language": (["```", "\n", "x"], "```repl\nx\n```"),
    "its name begun": (["```py", "3\n", "x"], "```python\nx\n```"),
    "its name begun, then another's": (["```", "r", "b\n", "x"], "```repl\nx\n```"),
    "more behind its name": (["```python", " title=x\n", "y"], "```python\ny\n```"),
    "four backticks": (["```", "`\n", "x"], "```repl\nx\n```"),
    "Windows": (["```repl\r", "\n", "x"], "```repl\r\nx\n```"),
    "indented": (["  ", "``", "`sh\n", "x"], "  ```repl\nx\n```"),
    "backticks in prose": (["See ", "```x``` ", "there."], "See ```x``` there.\n```repl\n```"),
    "a fence inside a block": (
        ["```repl\n", "'''\n```json\n'''\n"],
        "```repl\n'''\n```json\n'''\n```",
    ),
    "an end in text": (["Done.\nFINAL(42)"], "Done.\nFINAL(42)"),
    "an end in text, by name": (["FINAL_VAR(x)"], "FINAL_VAR(x)"),
}


@pytest.mark.parametrize("case", FORCED)
def test_a_turn_gets_its_block(case: str) -> None:
    pieces, text = FORCED[case]
    assert steered(pieces) == text


PIECES = st.one_of(
    st.sampled_from(["```", "`", "``", "````", "repl", "re", "pl", "python", "py", "json", "x"]),
    st.sampled_from(["\n", " ", "\r\n", "é", "~~~", "    ```", "FINAL(1)", "> FINAL_VAR("]),
    st.sampled_from(["```repl\n", "\n```json\n", "\n```\n"]),
)


@given(st.lists(PIECES))
def test_whatever_it_says_there_is_one_block_or_an_end(pieces: list[str]) -> None:
    text = steered(pieces)
    found = blocks(text)
    if not found:
        assert TEXT_FINAL.search(text)
        return
    assert len(found) == 1
    assert found[0].closed
    prose = text[: found[0].start]
    assert not re.search(r"^ {0,3}```", prose, re.MULTILINE)


@given(st.lists(PIECES))
def test_a_turn_that_has_the_form_is_left_alone(pieces: list[str]) -> None:
    before = "".join(pieces)
    if re.search(r"^ {0,3}`{1,}", before, re.MULTILINE):
        return
    said = [*pieces, "\n", "```repl\n", "x = 1\n", "```"]
    assert steered(said) == "".join(said)
