"""The loop, with a scripted model and the real sandbox."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlm_local import controller, dialogue, node
from rlm_local.errors import ModelError, UsageError, WindowError, WorkerDied
from rlm_local.limits import Limits
from rlm_local.model import Interrupted, ScriptedModel
from rlm_local.prompt import prompt_from_text, prompt_from_texts
from rlm_local.records import (
    Answer,
    Completion,
    Event,
    Ran,
    Replied,
    Request,
    RunEnded,
    RunStarted,
    StopReason,
    SubCalled,
    TurnStarted,
)
from rlm_local.wasm import WasmSandbox

TEXT = "Once upon a time.\n" * 500 + "The gate code is 4711.\n" + "The end.\n" * 500


def cell(code: str) -> str:
    return f"I look.\n```repl\n{code}\n```\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[WasmSandbox]:
    made = WasmSandbox()
    yield made
    made.close()


Ask = Callable[..., Answer]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def ask(sandbox: WasmSandbox, tmp_path: Path, events: list[Event]) -> Ask:
    def run(
        model: ScriptedModel | Sequence[str],
        *,
        context: str | list[str] = TEXT,
        question: str = "What is the gate code?",
        replies: Any = (),
        mode: controller.Mode = "rlm",
        **limits: Any,
    ) -> Answer:
        if not isinstance(model, ScriptedModel):
            model = ScriptedModel(model, replies)
        make = prompt_from_text if isinstance(context, str) else prompt_from_texts
        with make(context, folder=tmp_path) as prompt:  # type: ignore[operator]
            return controller.answer(
                question,
                prompt,
                model=model,
                sandbox=sandbox,
                limits=Limits(**limits),
                run_id="test",
                record=events.append,
                mode=mode,
            )

    return run


class TestAnswers:
    def test_two_turns_to_an_answer(self, ask: Ask, events: list[Event]) -> None:
        answer = ask(
            [
                cell("at = context.find('code is')\nprint(context[at:at + 12])"),
                cell("FINAL(context[at + 8:at + 12])"),
            ]
        )
        assert (answer.text, answer.stop, answer.message) == ("4711", StopReason.ANSWERED, "")
        assert answer.usage.turns == 2
        assert [type(event) for event in events] == [
            RunStarted, TurnStarted, Replied, Ran, TurnStarted, Replied, Ran, RunEnded,
        ]  # fmt: skip
        ran = events[3]
        assert isinstance(ran, Ran)
        assert ran.shown == "code is 4711"

    def test_an_empty_first_document_hides_no_calls(self, ask: Ask) -> None:
        model = ScriptedModel([cell("FINAL('x')")])
        ask(model, context=["", TEXT], depth=2)
        system = model.requests[0].messages[0].content
        assert "`llm_query(prompt)` asks" in system
        assert "`rlm_query(question, text)` gives" in system

    def test_the_model_never_sees_the_prompt(self, ask: Ask) -> None:
        model = ScriptedModel([cell("context"), cell("print(context)"), cell("FINAL('x')")])
        ask(model, output_chars=200)
        said = "".join(message.content for message in model.requests[-1].messages)
        assert "4711" not in said
        assert len(said) < 5_000

    @pytest.mark.parametrize(
        ("turn", "text"),
        [
            (cell("FINAL('a')"), "a"),
            (cell("x = [1, 2]\nFINAL_VAR('x')"), "[1, 2]"),
            (cell("answer['content'] = 'b'\nanswer['ready'] = True"), "b"),
            ("FINAL(c (d))", "c (d)"),
            ("FINAL_VAR(question)", "What is the gate code?"),
            ("```python\nFINAL(7)\n```", "7"),
        ],
    )
    def test_every_way_to_end(self, ask: Ask, turn: str, text: str) -> None:
        answer = ask([turn])
        assert (answer.text, answer.stop) == (text, StopReason.ANSWERED)

    def test_an_answer_longer_than_any_window(self, ask: Ask) -> None:
        answer = ask([cell("long = context * 400\nFINAL_VAR('long')")])
        assert answer.text == TEXT * 400

    def test_documents(self, ask: Ask) -> None:
        answer = ask(
            [cell("FINAL(','.join(context) + str(len(context)))")], context=["a", "ü", "c"]
        )
        assert answer.text == "a,ü,c3"

    def test_an_exception_is_shown_and_the_run_goes_on(self, ask: Ask, events: list[Event]) -> None:
        answer = ask([cell("y = 1\nprint(undefined)"), cell("FINAL(y)")])
        assert answer.text == "1"
        shown = [event.shown for event in events if isinstance(event, Ran)]
        assert "NameError" in shown[0]

    def test_direct(self, ask: Ask, events: list[Event]) -> None:
        model = ScriptedModel(["It is 4711."])
        answer = ask(model, mode="auto")
        assert answer.text == "It is 4711."
        assert TEXT in model.requests[0].messages[0].content
        assert isinstance(events[0], RunStarted)
        assert events[0].mode == "direct"

    def test_auto_turns_to_the_repl_where_the_prompt_does_not_fit(self, ask: Ask) -> None:
        model = ScriptedModel([cell("FINAL('x')")], context_tokens=2_000)
        assert ask(model, mode="auto").text == "x"

    def test_auto_never_shows_the_prompt_to_a_model_that_cannot_read(self, ask: Ask) -> None:
        model = ScriptedModel([cell("FINAL('x')")], profile="nano")
        assert ask(model, mode="auto").text == "x"

    def test_direct_over_the_window_is_refused(self, ask: Ask) -> None:
        with pytest.raises(UsageError, match="too many"):
            ask(ScriptedModel([], context_tokens=100), mode="direct", context="x" * 5_000)


class TestSubCalls:
    def test_one_and_a_batch(self, ask: Ask, events: list[Event]) -> None:
        answer = ask(
            [
                cell(
                    "a = llm_query('one')\n"
                    "b = llm_query_batched([f'{n}' for n in range(3)])\n"
                    "FINAL([a] + b)"
                )
            ],
            replies=lambda request: request.messages[-1].content.upper() + "!",
        )
        assert answer.text == "['ONE!', '0!', '1!', '2!']"
        assert answer.usage.sub_calls == 4
        batches = [event for event in events if isinstance(event, SubCalled)]
        assert [len(batch.prompts) for batch in batches] == [1, 3]

    def test_a_child_question_is_a_plain_call_at_the_depth_limit(self, ask: Ask) -> None:
        answer = ask(
            [cell("FINAL(rlm_query('who?', context[:4]) + rlm_query_batched([('a', 'b')])[0])")],
            replies=lambda request: request.messages[-1].content.replace("\n", " ") + "|",
        )
        assert "Once" in answer.text
        assert "Question: who?" in answer.text
        assert answer.usage.sub_calls == 2

    @pytest.mark.parametrize(
        ("call", "error"),
        [
            ("llm_query(3)", "TypeError"),
            ("llm_query_batched(['a', 3])", "TypeError"),
            ("rlm_query_batched([1])", "TypeError"),
        ],
    )
    def test_a_wrong_call_raises_in_the_guest(self, ask: Ask, call: str, error: str) -> None:
        code = f"try:\n    {call}\nexcept Exception as e:\n    FINAL(type(e).__name__)"
        assert ask([cell(code)]).text == error

    def test_an_empty_batch_costs_nothing(self, ask: Ask) -> None:
        answer = ask([cell("FINAL(llm_query_batched([]))")])
        assert (answer.text, answer.usage.sub_calls) == ("[]", 0)

    def test_a_prompt_too_long_is_an_ordinary_exception_with_figures(self, ask: Ask) -> None:
        def too_long(request: Request) -> str:
            raise WindowError(9_000, 2_000)

        code = "try:\n    llm_query('x')\nexcept ValueError as e:\n    FINAL(e)"
        assert "9,000 tokens, and 2,000 fit" in ask([cell(code)], replies=too_long).text

    def test_depth_0_has_no_sub_calls(self, ask: Ask) -> None:
        answer = ask(
            [cell("FINAL(callable(globals().get('llm_query')))")], depth=0, replies=["never"]
        )
        assert answer.text == "False"


class TestLimits:
    """Each limit ends the run with its name and the best there is."""

    def test_turns(self, ask: Ask) -> None:
        answer = ask([cell("print('so far')"), cell("x = 1")], turns=2)
        assert (answer.stop, answer.text) == (StopReason.TURNS, "so far")
        assert "2 turns" in answer.message

    def test_the_last_turn_may_answer(self, ask: Ask) -> None:
        assert ask([cell("x = 1"), cell("FINAL(x)")], turns=2).stop is StopReason.ANSWERED

    def test_answer_content_is_the_best_partial(self, ask: Ask) -> None:
        answer = ask(
            [cell("answer['content'] = 'half'"), cell("print('later')")],
            turns=2,
        )
        assert (answer.stop, answer.text) == (StopReason.TURNS, "half")

    def test_tokens(self, ask: Ask) -> None:
        answer = ask([cell("print(1)")] * 3, tokens=30)
        assert answer.stop is StopReason.TOKENS

    def test_sub_calls_cannot_be_caught(self, ask: Ask) -> None:
        code = (
            "print('begun')\n"
            "while True:\n"
            "    try:\n"
            "        llm_query('x')\n"
            "    except BaseException:\n"
            "        pass"
        )
        began = time.monotonic()
        answer = ask(ScriptedModel([cell(code)], lambda request: "y"), sub_calls=5)
        assert answer.stop is StopReason.SUB_CALLS
        assert answer.usage.sub_calls == 5
        assert time.monotonic() - began < 5

    def test_wall_clock_inside_a_cell_that_swallows_everything(self, ask: Ask) -> None:
        code = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
        began = time.monotonic()
        answer = ask([cell("answer['content'] = 'kept'"), cell(code)], wall_seconds=1.0)
        assert time.monotonic() - began < 2.0
        assert (answer.stop, answer.text) == (StopReason.WALL_CLOCK, "kept")

    def test_a_cell_that_runs_too_long_is_interrupted_and_keeps_its_variables(
        self, ask: Ask
    ) -> None:
        answer = ask(
            [cell("x = 5\nwhile True: pass"), cell("FINAL(x)")],
            cell_seconds=0.3,
        )
        assert answer.text == "5"

    def test_an_answer_too_large(self, ask: Ask) -> None:
        answer = ask([cell("FINAL('x' * 1001)")], answer_bytes=1_000)
        assert answer.stop is StopReason.ANSWER_SIZE
        assert answer.text == "x" * 250
        assert ask([cell("FINAL('x' * 1000)")], answer_bytes=1_000).text == "x" * 1_000

    def test_memory(self, ask: Ask) -> None:
        answer = ask(
            [cell("try:\n    x = 'x' * 10**9\nexcept MemoryError:\n    FINAL('refused')")],
            guest_memory_bytes=100_000_000,
        )
        assert answer.text == "refused"


class TestStalling:
    def test_the_same_cell_again_and_again(self, ask: Ask) -> None:
        model = ScriptedModel([cell("print('x')")] * 10)
        answer = ask(model)
        assert (answer.stop, answer.text) == (StopReason.REPEATS, "x")
        assert answer.usage.turns == 1 + node.MAX_STALLED_TURNS
        assert model.requests[-1].messages[-1].content == dialogue.REPEATED

    def test_the_same_cell_with_a_new_result_is_no_repeat(self, ask: Ask) -> None:
        count = cell("n = globals().get('n', 0) + 1\nprint(n)\nif n == 8: FINAL(n)")
        assert ask([count] * 8).text == "8"

    def test_turns_without_code(self, ask: Ask) -> None:
        answer = ask(["I think it is 4711."] * 10)
        assert (answer.stop, answer.text) == (StopReason.REPEATS, "I think it is 4711.")

    def test_a_turn_cut_by_its_length_is_not_run(self, ask: Ask) -> None:
        class Cut(ScriptedModel):
            def complete(self, requests: Any, **rest: Any) -> list[Completion]:
                [done] = super().complete(requests, **rest)
                return [msgspec.structs.replace(done, finish="length")]

        model = Cut(["```repl\nFINAL('too early", cell("FINAL('right')")])
        assert ask(model).text == "right"
        assert "was not run" in model.requests[-1].messages[-1].content


class TestFailures:
    def test_a_question_longer_than_the_window(self, ask: Ask, events: list[Event]) -> None:
        def too_long(request: Request) -> str:
            raise WindowError(70_000, 30_000)

        with pytest.raises(UsageError, match=r"70,000 tokens, and 30,000 fit"):
            ask(ScriptedModel(too_long))
        assert isinstance(events[-1], RunEnded)

    def test_a_dialogue_that_outgrows_the_window(self, ask: Ask) -> None:
        turns = iter([cell("print('found')")])

        def script(request: Request) -> str:
            for turn in turns:
                return turn
            raise WindowError(70_000, 30_000)

        answer = ask(ScriptedModel(script))
        assert (answer.stop, answer.text) == (StopReason.WINDOW, "found")
        assert "raise context_tokens" in answer.message

    @pytest.mark.parametrize("error", [WorkerDied("the worker is gone"), ModelError("bad")])
    def test_a_model_that_fails_for_good(self, ask: Ask, error: ModelError) -> None:
        def fails(request: Request) -> str:
            raise error

        answer = ask([cell("print('found')"), cell("llm_query('x')")], replies=fails)
        assert (answer.stop, answer.text) == (StopReason.MODEL, "found")
        assert answer.message == str(error)

    def test_ctrl_c_keeps_the_partial_answer(self, ask: Ask, events: list[Event]) -> None:
        def interrupted(request: Request) -> str:
            if len(events) > 4:
                raise KeyboardInterrupt
            return cell("print('found')")

        answer = ask(ScriptedModel(interrupted))
        assert (answer.stop, answer.text) == (StopReason.INTERRUPTED, "found")
        assert isinstance(events[-1], RunEnded)

    def test_ctrl_c_keeps_what_a_direct_answer_had_by_then(self, ask: Ask) -> None:
        def interrupted(request: Request) -> str:
            done = ScriptedModel(["The code is 47"]).complete(
                [request], deadline=math.inf, token_limit=10**6
            )
            raise Interrupted(done)

        answer = ask(ScriptedModel(interrupted), mode="direct")
        assert (answer.stop, answer.text) == (StopReason.INTERRUPTED, "The code is 47")
        assert answer.usage.completion_tokens == 4

    def test_a_cell_that_aborts_the_guest_loses_only_variables(self, ask: Ask) -> None:
        answer = ask(
            [cell("import os\nos.abort()"), cell("FINAL(context[:4])")],
        )
        assert answer.text == "Once"
