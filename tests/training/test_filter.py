"""What is worth learning, and what is repaired of it."""

from __future__ import annotations

from collections import Counter

import pytest

from rlm_local.dialogue import read_turn
from rlm_local.training.filter import Dialogue, MarkedMessage, filtered, repaired_turn

FIRST = "```repl\nprint(1)\n```"


def sample(
    *turns: str, score: float | None = 1.0, output: str = "12", role: str = "root"
) -> Dialogue:
    messages: list[MarkedMessage] = [{"role": "user", "content": "How many?", "learn": False}]
    for turn in turns:
        messages.append({"role": "assistant", "content": turn, "learn": True})
        messages.append({"role": "user", "content": output, "learn": False})
    return {"messages": messages[:-1], "role": role, "score": score}


def test_what_is_wrong_or_of_one_turn_goes() -> None:
    tally: Counter[str] = Counter()
    kept = list(
        filtered([sample(FIRST, FIRST, score=0.0), sample(FIRST), sample(FIRST, FIRST)], tally)
    )
    assert len(kept) == 1
    assert tally == {
        "dialogues": 3,
        "dropped: score 0": 1,
        "dropped: a single turn": 1,
        "kept dialogues": 1,
        "kept turns": 2,
    }


@pytest.mark.parametrize(
    ("said", "repaired", "count"),
    [
        ("```python\nFINAL(1)\n```", "```repl\nFINAL(1)\n```", "the fence's language"),
        (
            "```repl\nFINAL_VAR(x)\n```",
            '```repl\nFINAL_VAR("x")\n```',
            "FINAL_VAR without quotes",
        ),
        ('FINAL("Oslo")', "```repl\nFINAL('Oslo')\n```", "FINAL outside a block"),
        ("```repl\nx = 1\n```\nThe output is 1.", "```repl\nx = 1\n```", "text after the block"),
        ("I look.\n```repl\nx = 1\n```", "I look.\n```repl\nx = 1\n```", ""),
    ],
)
def test_mistakes_of_form_are_repaired_and_counted(said: str, repaired: str, count: str) -> None:
    tally: Counter[str] = Counter()
    assert repaired_turn(said, tally) == repaired
    assert tally == ({f"repaired: {count}": 1} if count else {})
    assert read_turn(repaired).code
    assert repaired_turn(repaired, tally) == repaired


def test_turns_that_failed_are_shown_and_not_learned() -> None:
    tally: Counter[str] = Counter()
    failed = sample(FIRST, FIRST, output="Traceback (most recent call last):\nNameError: x")
    long = sample(FIRST, "```repl\n" + "x = 1\n" * 2_000 + "```")
    silent = sample(FIRST, "I do not know.")
    kept = list(filtered([failed, long, silent], tally, most_chars=8_000))
    learned = [[m["learn"] for m in each["messages"] if m["role"] == "assistant"] for each in kept]
    assert learned == [[False, True], [True, False], [True, False]]
    assert tally["turns not learned: an error"] == 1
    assert tally["turns not learned: too long"] == 1
    assert tally["turns not learned: no code"] == 1


def test_a_score_has_to_be_high_enough_where_one_is_known() -> None:
    tally: Counter[str] = Counter()
    given = [sample(FIRST, FIRST, score=score) for score in (None, 0.0, 0.4, 0.5, 1.0)]
    kept = [each["score"] for each in filtered(given, tally, least_score=0.5)]
    assert kept == [None, 0.5, 1.0]
    assert tally["dropped: score 0"] == 1
    assert tally["dropped: score below 0.5"] == 1


@pytest.mark.parametrize(("most", "learned"), [(-1, False), (0, True), (1, True)])
def test_the_length_of_a_turn_is_kept_to(most: int, learned: bool) -> None:
    long = "```repl\nprint(12)\n```"
    kept = list(filtered([sample(FIRST, long)], Counter(), most_chars=len(long) + most))
    assert [message["learn"] for message in kept[0]["messages"][1::2]] == [True, learned]


def test_what_is_said_before_the_block_stays_whole() -> None:
    said = "As JSON:\n```json\n{}\n```\nI look.\n```python\nFINAL(1)\n```"
    assert repaired_turn(said, Counter()) == said.replace("python", "repl")


@pytest.mark.parametrize(
    ("code", "said", "ending"),
    [
        ("result = 1", "result", "FINAL(result)"),
        ("for result in 'ab': pass", "result", "FINAL(result)"),
        ("print(context[:80])", "context", "FINAL(context)"),
        ("print(context[:80])", "Oslo", "FINAL('Oslo')"),
        ('print(grep("Oslo"), "it\'s", \'Oslo\')  # Oslo', "Oslo", "FINAL('Oslo')"),
        ('x = """\nOslo\n"""', "Oslo", "FINAL('Oslo')"),
    ],
)
def test_final_of_a_name_in_prose_ends_with_the_variable_or_the_text(
    code: str, said: str, ending: str
) -> None:
    (kept,) = filtered([sample(f"```repl\n{code}\n```", f"Done.\nFINAL({said})")], Counter())
    assert kept["messages"][-1]["content"] == f"```repl\n{ending}\n```"


def test_sub_calls_are_learned_as_they_are() -> None:
    call = sample("FINAL_VAR(x) is how it ends.", role="sub")
    tally: Counter[str] = Counter()
    assert list(filtered([call], tally)) == [call]
    assert tally == {"dialogues": 1, "kept dialogues": 1, "kept turns": 1}


def test_a_traceback_in_a_log_is_no_error_where_the_maker_knows() -> None:
    printed = sample(FIRST, FIRST, output="Traceback (most recent call last):")
    printed["messages"][1]["fault"] = ""
    failed = sample(FIRST, FIRST)
    failed["messages"][1]["fault"] = "an error"
    tally: Counter[str] = Counter()
    kept = list(filtered([printed, failed], tally))
    learned = [[m["learn"] for m in each["messages"][1::2]] for each in kept]
    assert learned == [[True, True], [False, True]]
    assert tally["turns not learned: an error"] == 1


def test_a_dialogue_with_a_fault_goes_by_its_name() -> None:
    faulty = sample(FIRST, FIRST)
    faulty["fault"] = "not on record"
    tally: Counter[str] = Counter()
    assert list(filtered([faulty], tally)) == []
    assert tally == {"dialogues": 1, "dropped: not on record": 1}
