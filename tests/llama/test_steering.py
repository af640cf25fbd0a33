"""Turns that get their block of code from a model that does not write one by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_local.errors import FormError
from rlm_local.fences import TEXT_FINAL, blocks
from rlm_local.llama import LlamaModel
from rlm_local.llama.engine import Tokens
from rlm_local.llama.jobs import Job
from rlm_local.llama.steering import spelled
from rlm_local.llama.stream import TextStream
from rlm_local.records import Completion
from tests.llama import build
from tests.llama.conftest import MEMORY
from tests.llama.fake import END, next_token
from tests.llama.test_chat import Letters
from tests.llama.test_scheduler import Setup, text
from tests.llama.test_thoughts import LINES, OPENS
from tests.llama.test_together import ask, complete


def turn(folder: Path, said: list[bytes], template: str = LINES, **how: object) -> Completion:
    """The turn of a model that says `said`, and begins anew after a line break of ours."""
    with LlamaModel(build.talker(folder, said, template=template), memory_bytes=MEMORY) as model:
        return complete(model, ask("Well?", **{"stop": "fence", "block": True, **how}))[0]


def test_a_block_is_opened_and_closed(tmp_path: Path) -> None:
    reply = turn(tmp_path, [b"I look."])
    assert (reply.text, reply.finish) == ("I look.\n```repl\nI look.\n```", "stop")


def test_free_turns_end_as_they_like(tmp_path: Path) -> None:
    assert turn(tmp_path, [b"I look."], block=False).text == "I look."


def test_another_language_becomes_ours(tmp_path: Path) -> None:
    reply = turn(tmp_path, [b"Now:", b"\n```json\n", b"{}", b"\n``` "])
    assert reply.text == "Now:\n```repl\nNow:\n```json\n{}\n``` "
    assert [block.closed for block in blocks(reply.text)] == [True]


def test_a_turn_that_has_the_form_is_left_alone(tmp_path: Path) -> None:
    said = [b"So\n`", b"``py", b"thon\n", b"x", b"\n```"]
    one, other = turn(tmp_path, said), turn(tmp_path, said, block=False)
    assert one.text == other.text == "So\n```python\nx\n```"
    assert one.completion_tokens == other.completion_tokens


def test_an_end_in_text_is_an_end(tmp_path: Path) -> None:
    assert turn(tmp_path, [b"FINAL(", b"4)"]).text == "FINAL(4)"


def test_prose_has_half_of_the_turn(tmp_path: Path) -> None:
    said = [b"a", *(f" {n}".encode() for n in range(20))]
    reply = turn(tmp_path, said, max_tokens=40)
    prose, code = (
        "a" + "".join(f" {n}" for n in range(19)),
        "a" + "".join(map(" {}".format, range(10))),
    )
    assert reply.text == f"{prose}\n```repl\n{code}"  # the fence takes nine tokens
    assert reply.finish == "length"
    assert reply.completion_tokens == 40


def test_a_thought_first(tmp_path: Path) -> None:
    reply = turn(tmp_path, [b"a", b" b"], OPENS, thought_tokens=20)
    assert reply.thought == "a b\n</think>\n\n"
    assert (reply.text, reply.finish) == ("a b\n```repl\na b\n```", "stop")


def test_a_limit_in_the_midst_of_what_is_written_for_it(tmp_path: Path) -> None:
    with LlamaModel(build.talker(tmp_path, [b"I look."], template=LINES), memory_bytes=MEMORY) as m:
        (warm,) = complete(m, ask("Well?", dialogue="x", max_tokens=1))
        assert warm.completion_tokens == 1
        how = {"stop": "fence", "block": True, "dialogue": "x"}
        limit = 1 + 1 + 4  # the prompt's last token, its own, and four of the fence
        (cut,) = complete(m, ask("Well?", **how), token_limit=limit)
    assert (cut.text, cut.finish, cut.work_tokens) == ("I look.\n```", "tokens", limit)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.5])
def test_random_weights_have_a_block_in_every_turn(model: LlamaModel, temperature: float) -> None:
    requests = [
        ask(
            f"number {n}",
            stop="fence",
            block=True,
            temperature=temperature,
            min_p=0.0,
            seed=n,
            max_tokens=60,
        )
        for n in range(24)
    ]
    for reply in complete(model, *requests):
        found = blocks(reply.text)
        assert len(found) == 1 or TEXT_FINAL.search(reply.text)
        assert found[0].closed == (reply.finish == "stop")


class Spaced(Letters):
    """Letters, and a space before all of them, as SentencePiece has it."""

    def tokenize(self, text: str) -> Tokens:
        return super().tokenize(f" {text}")


@pytest.mark.parametrize("vocabulary", [Letters(), Spaced()])
@pytest.mark.parametrize("text", ["thon\n", "\n```repl\n", "```", " x"])
def test_what_is_written_is_written_to_the_letter(vocabulary: Letters, text: str) -> None:
    assert "".join(map(chr, spelled(text, vocabulary))) == text


class Detours:
    """Steering of the test: now and then, three tokens in place of one."""

    def instead(self, token: int) -> tuple[int, ...]:
        return (token % 50 + 1, 7, token % 40) if token % 4 == 0 else ()


def with_detours(prompt: list[int], max_tokens: int) -> list[int]:
    made: list[int] = []
    while len(made) < max_tokens and (not made or made[-1] != END):
        token = next_token(prompt + made)
        made += (Detours().instead(token) if token != END else ()) or (token,)
    return made[:max_tokens]


@settings(max_examples=60)
@given(
    prompts=st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=40), min_size=1, max_size=8),
    cells=st.integers(70, 200),
    max_tokens=st.integers(1, 30),
)
def test_what_is_written_is_in_the_cells(
    prompts: list[list[int]], cells: int, max_tokens: int
) -> None:
    """Also where a request has to give its cells up and starts over."""
    setup = Setup(cells=cells, batch=16)
    jobs = [
        Job(
            np.array(prompt, np.int32),
            max_tokens=max_tokens,
            stream=TextStream(fence=False),
            steering=Detours(),  # type: ignore[arg-type]
        )
        for prompt in prompts
    ]
    setup.finish(jobs)
    for prompt, job in zip(prompts, jobs, strict=True):
        expected = with_detours(prompt, max_tokens)
        made = job.completion()
        assert made.text == text(expected)
        assert made.completion_tokens == len(expected)


@given(limit=st.integers(1, 60))
def test_a_limit_holds_whatever_is_written(limit: int) -> None:
    setup = Setup()
    jobs = [
        Job(
            np.array([3, 1, number], np.int32),
            max_tokens=20,
            stream=TextStream(fence=False),
            steering=Detours(),  # type: ignore[arg-type]
        )
        for number in range(3)
    ]
    setup.finish(jobs, token_limit=limit)
    used = sum(job.completion().work_tokens for job in jobs)
    whole = 9 + sum(len(with_detours([3, 1, number], 20)) for number in range(3))
    assert used <= min(limit, whole)
    if limit < whole:
        assert "tokens" in [job.finish for job in jobs]


def test_a_block_and_another_form(model: LlamaModel) -> None:
    with pytest.raises(FormError, match="grammar and to a block of code"):
        complete(model, ask("x", block=True, grammar='root ::= "a"'))
