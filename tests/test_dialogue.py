"""What the model is told, and how its turns are read."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rlm_local import dialogue
from rlm_local.dialogue import PROFILES, PromptFacts, read_turn
from rlm_local.records import GuestError, Observation

FACTS = PromptFacts(documents=1, single=True, chars=10**9, head="Once", call_chars=20_000)


def run_ending(cell: str, variables: dict[str, Any] | None = None) -> tuple[str, Any]:
    """Run a cell that hands over an answer; which form it used, and with what."""
    handed: list[tuple[str, Any]] = []
    names = dict(variables or {})
    names["FINAL"] = lambda value: handed.append(("FINAL", value))
    names["FINAL_VAR"] = lambda value: handed.append(("FINAL_VAR", value))
    exec(cell, names)
    [one] = handed
    return one


class TestReading:
    def test_the_block_is_the_cell(self) -> None:
        turn = read_turn("I look.\n```repl\nprint(1)\n```\nOutput:\n1\nFINAL(1)")
        assert turn.code == "print(1)\n"
        assert "Output" not in turn.said

    def test_only_the_first_block_counts(self) -> None:
        turn = read_turn("```repl\na\n```\nI see 7.\n```repl\nFINAL(7)\n```")
        assert turn.code == "a\n"
        assert "FINAL" not in turn.said

    def test_a_block_without_an_end_runs_unless_it_was_cut(self) -> None:
        assert read_turn("```python\nx = 1").code == "x = 1"
        cut = read_turn("```python\nx = 1", cut=True)
        assert (cut.code, cut.cut) == ("", True)

    def test_a_closed_block_runs_even_if_the_text_was_cut(self) -> None:
        assert read_turn("```python\nx = 1\n```\nand so o", cut=True).code == "x = 1\n"

    def test_prose_has_no_code(self) -> None:
        assert read_turn("I would call FINAL(x) now.").code == ""

    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("FINAL(Turin)", "Turin"),
            ("So:\nFINAL(The sum (of both) is 4)", "The sum (of both) is 4"),
            ("FINAL(two\nlines)", "two\nlines"),
            ("FINAL('quoted)')", "quoted)"),
            ("FINAL(a :-) face)", "a :-) face"),
            ("FINAL(42)", "42"),
            ("**FINAL(Oslo)**", "Oslo"),
            ("FINAL(no end", "no end"),
            ("FINAL(else)", "else"),
        ],
    )
    def test_final_in_text(self, text: str, answer: str) -> None:
        assert run_ending(read_turn(text).code) == ("FINAL", answer)

    def test_final_of_a_variable_in_text(self) -> None:
        cell = read_turn("FINAL(result)").code
        assert run_ending(cell, {"result": [1]}) == ("FINAL", [1])
        assert run_ending(cell) == ("FINAL", "result")

    @pytest.mark.parametrize(
        "text", ["FINAL_VAR(pairs)", "FINAL_VAR('pairs')", 'FINAL_VAR("pairs")']
    )
    def test_final_var_in_text(self, text: str) -> None:
        assert run_ending(read_turn(text).code) == ("FINAL_VAR", "pairs")

    @given(st.text(max_size=300), st.booleans())
    def test_any_text_can_be_read(self, text: str, cut: bool) -> None:
        turn = read_turn(text, cut=cut)
        assert text.startswith(turn.said)

    @given(st.text(max_size=100))
    def test_a_final_in_text_is_always_a_cell_that_parses(self, text: str) -> None:
        ast.parse(read_turn(f"FINAL({text})").code.replace("\0", ""))


class TestObservation:
    def shown(self, limit: int = 4_000, **fields: Any) -> str:
        return dialogue.observation(PROFILES["generic"], Observation(**fields), limit)

    def test_nothing(self) -> None:
        assert self.shown() == "(no output)"

    def test_output_and_value(self) -> None:
        assert self.shown(stdout="a\n", stdout_chars=2, value="7") == "a\n7"

    def test_at_the_limit_whole_above_it_cut_with_its_length(self) -> None:
        assert self.shown(limit=10, stdout="x" * 10, stdout_chars=10) == "x" * 10
        assert self.shown(limit=10, stdout="x" * 11, stdout_chars=11) == (
            "x" * 10 + "… (11 characters in all)"
        )

    def test_what_the_guest_did_not_keep_is_counted(self) -> None:
        assert "(9,000 characters in all)" in self.shown(stdout="x" * 100, stdout_chars=9_000)

    def test_an_error_is_shown_by_its_traceback(self) -> None:
        error = GuestError(type="NameError", message="no x", traceback="line 1\nNameError: no x")
        assert self.shown(error=error) == "line 1\nNameError: no x"

    @given(st.integers(1, 10**9))
    def test_size_does_not_grow_with_the_output(self, written: int) -> None:
        shown = self.shown(limit=100, stdout="y" * 100, stdout_chars=written)
        assert len(shown) < 160


class TestOpening:
    @pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
    def test_size_does_not_grow_with_the_prompt(self, profile: dialogue.Profile) -> None:
        messages = dialogue.opening(profile, "How many?", FACTS)
        assert sum(len(message.content) for message in messages) < 4_000
        assert messages[-1].role == "user"
        assert "How many?" in messages[-1].content

    def test_sub_calls_are_named_only_where_there_are_some(self) -> None:
        generic = PROFILES["generic"]
        without = PromptFacts(documents=1, single=True, chars=5, head="Once")
        assert "llm_query" in dialogue.opening(generic, "?", FACTS)[0].content
        assert "20,000" in dialogue.opening(generic, "?", FACTS)[0].content
        assert "llm_query" not in dialogue.opening(generic, "?", without)[0].content

    @pytest.mark.parametrize("call_chars", [None, 0, 20_000])
    @pytest.mark.parametrize("children", [False, True])
    def test_its_rules_are_numbered_one_by_one(
        self, call_chars: int | None, children: bool
    ) -> None:
        facts = replace(FACTS, call_chars=call_chars, children=children)
        said = dialogue.opening(PROFILES["generic"], "?", facts)[0].content
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", said, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) == (4 if call_chars is None else 7 if children else 6)

    def test_braces_in_the_question_are_just_text(self) -> None:
        assert "{x}" in dialogue.opening(PROFILES["generic"], "{x}", FACTS)[-1].content

    def test_an_unknown_profile_falls_back_to_the_generic_wording(self) -> None:
        assert dialogue.profile_of("nobody").name == "generic"
