"""Several threads inside one model at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from rlm_local.llama import LlamaModel
from rlm_local.records import Completion, Message, Request

PLENTY = 1 << 40


def ask(text: str, **how: object) -> Request:
    return Request(messages=(Message("user", text),), **{"max_tokens": 24, **how})  # type: ignore[arg-type]


def complete(
    model: LlamaModel, *requests: Request, seconds: float = 120.0, token_limit: int = PLENTY
) -> list[Completion]:
    deadline = time.monotonic() + seconds
    return model.complete(requests, deadline=deadline, token_limit=token_limit)


def begin(pool: ThreadPoolExecutor, *arguments: object, **how: object) -> Future[list[Completion]]:
    return pool.submit(complete, *arguments, **how)  # type: ignore[arg-type]


def test_each_caller_gets_its_own_replies(model: LlamaModel) -> None:
    prompts = ["word " * (n + 1) for n in range(24)]
    with ThreadPoolExecutor(12) as pool:
        calls = [begin(pool, model, ask(prompt, max_tokens=4)) for prompt in prompts]
        counted = [pool.submit(model.count_tokens, prompt) for prompt in prompts]
    lengths = [call.result()[0].prompt_tokens for call in calls]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == len(prompts)
    tokens = [count.result() for count in counted]
    assert tokens == sorted(tokens)


def test_calls_are_computed_together(slow_model: LlamaModel) -> None:
    """One that comes later and is short ends while the long one runs."""
    with ThreadPoolExecutor(2) as pool:
        long = begin(pool, slow_model, ask("go on", max_tokens=2_000, node="0.1"))
        time.sleep(0.5)
        (short,) = complete(slow_model, ask("x", max_tokens=3))
        assert short.completion_tokens == 3
        assert not long.done()
        slow_model.cancel("0.1")
        assert long.result()[0].finish == "deadline"


def test_a_deadline_ends_one_call_only(slow_model: LlamaModel) -> None:
    with ThreadPoolExecutor(2) as pool:
        due = begin(pool, slow_model, ask("one", max_tokens=3_000), seconds=1.0)
        other = begin(pool, slow_model, ask("other", max_tokens=60))
        (cut,), (whole,) = due.result(), other.result()
    assert cut.finish == "deadline"
    assert (whole.finish, whole.completion_tokens) == ("length", 60)


def test_cancel_ends_a_node_and_those_below(slow_model: LlamaModel) -> None:
    nodes = ["0.1", "0.1.4", "0.12", "0"]
    with ThreadPoolExecutor(4) as pool:
        calls = [
            begin(pool, slow_model, ask("go on", node=n, max_tokens=3_000), seconds=60)
            for n in nodes
        ]
        time.sleep(0.5)
        slow_model.cancel("0.1")
        assert [calls[at].result()[0].finish for at in (0, 1)] == ["deadline"] * 2
        assert not calls[2].done()
        assert not calls[3].done()
        slow_model.cancel()
        assert [call.result()[0].finish for call in calls] == ["deadline"] * 4


def test_a_node_that_is_over_is_forgotten(model: LlamaModel) -> None:
    text = "the question is in the text and the answer is in the line " * 4
    turn = ask(text, dialogue="0.7", node="0.7", max_tokens=2)
    complete(model, turn)
    assert complete(model, turn)[0].cached_tokens > 0
    model.cancel("0.7")
    # Its beginning may be another's too, but nothing else asked this.
    assert complete(model, turn)[0].cached_tokens < 16


def test_limits_are_each_calls_own(model: LlamaModel) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [
            begin(pool, model, *[ask(f"{n} {m}") for m in range(4)], token_limit=50 + n)
            for n in range(8)
        ]
    for n, call in enumerate(calls):
        assert sum(one.work_tokens for one in call.result()) == 50 + n


def test_closed_under_several_callers(own_model: LlamaModel) -> None:
    model = own_model
    with ThreadPoolExecutor(4) as pool:
        calls = [begin(pool, model, *[ask(f"{n}", max_tokens=900)] * 40) for n in range(4)]
        threading.Timer(0.3, model.close).start()
        errors = [str(call.exception()) for call in calls]
    assert set(errors) == {"the model was closed"}
