"""Fuzzing the turn reader: a model, or a document that speaks through it, writes anything."""

from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlm_local.dialogue import read_turn
from rlm_local.fences import blocks, end_of_block

PIECES = [
    "```repl\n", "```python\n", "```\n", "```", "``", "````repl\n", "~~~\n", " ```repl\n",
    "\t```repl\n", "```repl \r\n", "```json\n", "FINAL(", "FINAL_VAR(", ")", "((", "'", '"',
    "'''", "\\", "\n", "\r", "\r\n", "\0", "\x0b", "\u2028", "\ud800", "\U0001f600", "x = 1\n",
    "FINAL('a')", "FINAL(x)", "- FINAL(x).", "**FINAL(x)**", "`FINAL(x)`", "r'\\d'",
    "'\\d'", "b'x'",
    "1" * 5000, "[" * 300, "-" * 300, "f'{x}'", "lambda: 0", "#", ";", "None", "<|im_end|>",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)


@settings(max_examples=300)
@given(texts, st.booleans())
@example("FINAL(" + "(" * 3000, False)
@example("FINAL(" + "-" * 100_000 + "1)", False)
@example("FINAL('" + "\\" * 9999, False)
def test_any_text_is_a_turn(text: str, cut: bool) -> None:
    """A turn is read, and what is said is what the model said."""
    turn = read_turn(text, cut=cut)
    assert text.startswith(turn.said)
    if turn.code and not turn.code.startswith("FINAL"):
        assert turn.code in text
    if turn.cut:
        assert not turn.code


@settings(max_examples=200)
@given(texts)
def test_the_engine_and_the_reader_agree_on_where_a_block_ends(text: str) -> None:
    """Generation stops at the end that the reader finds, however the text arrived."""
    end = end_of_block(text)
    found = blocks(text)
    if end is not None:
        assert found[0].closed
        assert read_turn(text).said == text[:end]
        assert end_of_block(text[:end]) == end


@settings(max_examples=100)
@given(texts)
def test_a_text_final_holds_the_text_as_a_literal(text: str) -> None:
    """`FINAL(…)` in prose becomes a cell; what is inside is never run as code."""
    turn = read_turn(f"FINAL({text})")
    if turn.code.startswith("FINAL(") and "```" not in text:
        compile(turn.code.encode("utf-8", "surrogatepass").decode("utf-8", "replace"), "x", "exec")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (r"FINAL('\d \q')", r"FINAL('\\d \\q')"),
        (r"FINAL('\\d\n')", r"FINAL('\\d\n')"),
        (r"FINAL(r'\d')", r"FINAL('\\d')"),
        (r'FINAL("\(")', r"FINAL('\\(')"),
    ],
)
def test_escapes_that_the_compiler_would_warn_of(text: str, code: str) -> None:
    """A warning would go to the user's terminal, in words of the model's choosing."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert read_turn(text).code == code
    assert not warned


LONG = {
    "stars": "*" * 200_000,
    "backticks": "`" * 200_000,
    "fences": "```repl\n" * 30_000,
    "closings": "```\n" * 50_000,
    "finals": "FINAL(" * 40_000,
    "finals in lines": "FINAL(\n" * 20_000,
    "spaces": " " * 200_000 + "FINAL",
    "spaces in lines": " \n" * 100_000,
    "quotes": "FINAL('" + "'" * 100_000,
    "parentheses": "FINAL(" + "(" * 100_000 + ")" * 100_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_long_texts_are_read_in_no_time(text: str) -> None:
    """Nothing here is quadratic: two hundred kilobytes are far more than a turn has."""
    began = time.process_time()
    read_turn(text)
    end_of_block(text)
    assert time.process_time() - began < 5.0
