"""A model on a server that behaves, seen from the controller's side."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from rlm_local.errors import ConfigError, FormError, ModelError, WindowError
from rlm_local.records import Message, Request
from rlm_local.remote.model import RemoteModel
from rlm_local.syntax import RetryingModel
from tests.remote.conftest import Serve
from tests.remote.fake import (
    Answer,
    Fake,
    Handler,
    delta,
    page,
    says,
    stalls,
    status,
    usage,
)

KINDS = ["vllm", "llama.cpp", "llama-cpp-python", ""]
AMPLE = 100_000


def request(text: str = "Say it.", **fields: Any) -> Request:
    return Request(messages=(Message("user", text),), **{"max_tokens": 50, **fields})


def soon() -> float:
    """A deadline that no test should meet."""
    return time.monotonic() + 60


def ask(model: RemoteModel, *requests: Request, tokens: int = AMPLE) -> list[tuple[str, str]]:
    done = model.complete(requests, deadline=soon(), token_limit=tokens)
    return [(completion.text, completion.finish) for completion in done]


# ----------------------------------------------------------- what a server says of itself


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_servers(serve: Serve, kind: str) -> None:
    model, fake = serve(says("fine"), kind)
    assert model.server.kind == kind
    assert model.server.counts == bool(kind)
    assert model.info.name == "served"
    assert model.info.path == fake.url()
    assert model.info.context_tokens == 1_000
    assert model.info.parameters == (7 if kind == "llama.cpp" else 0)
    assert ask(model, request()) == [("fine", "stop")]
    assert model.count_tokens("one two three") == (3 if kind else 7)
    assert bool(model.server.remarks) == (kind in ("", "llama-cpp-python"))


def test_an_older_llama_cpp_tells_its_window_elsewhere(serve: Serve) -> None:
    with Fake(says("x"), "llama.cpp").running() as fake:
        fake.pages["/v1/models"] = page({"data": [{"id": "a", "owned_by": "llamacpp"}]})
        fake.pages["/props"] = page({"default_generation_settings": {"n_ctx": 512}})
        with RemoteModel(fake.url("")) as model:
            assert model.info.context_tokens == 512


def test_a_window_that_nobody_tells() -> None:
    with Fake(says("x")).running() as fake:
        with pytest.raises(ConfigError, match="does not say how large") as raised:
            RemoteModel(fake.url(""))
        assert "--context-tokens" in raised.value.hint
        with RemoteModel(fake.url(""), context_tokens=300) as model:
            assert model.info.context_tokens == 300


def test_a_window_above_the_servers() -> None:
    with Fake(says("x"), "vllm").running() as fake:
        with RemoteModel(fake.url("context_tokens=1000")) as model:
            assert model.info.context_tokens == 1_000
        with pytest.raises(ConfigError, match="1,001 tokens was asked for, and the server's has"):
            RemoteModel(fake.url("context_tokens=1001"))


def test_which_of_its_models() -> None:
    with Fake(says("x")).running() as fake:
        fake.pages["/v1/models"] = page({"data": [{"id": "Qwen3-8B"}, {"id": "other"}]})
        with pytest.raises(ConfigError, match=r"has 2 models: Qwen3-8B, other"):
            RemoteModel(fake.url())
        with pytest.raises(ModelError, match="no model 'Qwen3-8'") as raised:
            RemoteModel(fake.url("model=Qwen3-8&context_tokens=9"))
        assert "'Qwen3-8B'" in raised.value.hint
        with RemoteModel(fake.url("model=other&context_tokens=99")) as model:
            ask(model, request(max_tokens=5))
        assert fake.chats[0]["model"] == "other"


def test_a_server_without_a_list_of_models() -> None:
    with Fake(says("x")).running() as fake:
        del fake.pages["/v1/models"]
        with pytest.raises(ModelError, match=r"refused \(404\)"):
            RemoteModel(fake.url())
        with RemoteModel(fake.url("model=it&context_tokens=500")) as model:
            assert ask(model, request()) == [("x", "stop")]


@pytest.mark.parametrize(
    ("name", "query", "profile"),
    [
        ("rlm-nano", "", "nano"),
        ("models/nano/rlm-nano.gguf", "", "nano"),
        ("Qwen/Qwen3-8B", "", "generic"),
        ("Qwen/Qwen3-8B", "&profile=nano", "nano"),
        ("rlm-nano", "&profile=generic", "generic"),
    ],
)
def test_profiles(name: str, query: str, profile: str) -> None:
    with Fake(says("x")).running() as fake:
        fake.pages["/v1/models"] = page({"data": [{"id": name}]})
        with RemoteModel(fake.url(f"context_tokens=99{query}")) as model:
            assert model.info.profile == profile


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": "x"},
        {"data": [{"id": 5}]},
        {"data": [{"id": "a", "max_model_len": -1}]},
        {"data": [{"id": "a\x1b[2J"}]},
        {"data": [{"id": "a" * 501}]},
    ],
)
def test_lists_of_models_that_are_none(answer: object) -> None:
    with Fake(says("x")).running() as fake:
        fake.pages["/v1/models"] = page(answer)
        with pytest.raises(ModelError, match="does not list its models"):
            RemoteModel(fake.url())


# ------------------------------------------------------------------------ what is asked


def test_greedy_and_drawn(serve: Serve) -> None:
    model, fake = serve(says("x"), "vllm")
    ask(model, request(), request(temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, seed=1 << 31))
    greedy, drawn = sorted(fake.chats, key=lambda body: float(body["temperature"]))
    assert greedy["temperature"] == 0
    assert "seed" not in greedy
    assert (greedy["max_tokens"], greedy["stream"]) == (50, True)
    assert greedy["messages"] == [{"role": "user", "content": "Say it."}]
    assert (drawn["temperature"], drawn["top_p"], drawn["top_k"], drawn["min_p"]) == (
        0.7,
        0.9,
        5,
        0.1,
    )
    assert drawn["seed"] == 0


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("vllm", {"top_k", "min_p", "repetition_penalty"}),
        ("llama.cpp", {"top_k", "min_p", "timings_per_token"}),
        ("llama-cpp-python", {"top_k", "min_p", "repeat_penalty"}),
        ("", set()),
    ],
)
def test_nobody_is_asked_for_what_only_others_know(
    serve: Serve, kind: str, extra: set[str]
) -> None:
    model, fake = serve(says("x"), kind)
    ask(model, request())
    common = {"model", "messages", "max_tokens", "temperature", "stream", "stream_options"}
    assert set(fake.chats[0]) == common | extra


def test_half_a_surrogate_pair_is_sent_as_a_question_mark(serve: Serve) -> None:
    model, fake = serve(says("x"), "vllm")
    ask(model, request("a\ud800b"))
    assert fake.chats[0]["messages"][0]["content"] == "a?b"
    assert model.count_tokens("a\ud800b c") == 2


# ----------------------------------------------------------------------- where it ends


def test_a_reply_ends_at_its_fence(serve: Serve) -> None:
    """And the server is told so: the connection is closed."""

    def goes_on(handler: Handler) -> None:
        handler.head()
        for piece in ("I look.\n```", "repl\n", "print(1)\n", "``", "`", "\nOutput: 1\n"):
            handler.event(delta(piece))
        handler.wait_for_hangup()

    model, fake = serve(goes_on, "llama-cpp-python")
    [done] = model.complete([request(stop="fence")], deadline=soon(), token_limit=AMPLE)
    assert (done.text, done.finish) == ("I look.\n```repl\nprint(1)\n```", "stop")
    assert done.completion_tokens == 5
    assert fake.gone.acquire(timeout=30)


def test_without_a_fence_asked_for_it_goes_on(serve: Serve) -> None:
    text = "```repl\nprint(1)\n```\nmore"
    model, _ = serve(says(text), "vllm")
    assert ask(model, request()) == [(text, "stop")]


def test_length(serve: Serve) -> None:
    model, _ = serve(says("a", "b", finish="length"), "vllm")
    assert ask(model, request()) == [("ab", "length")]


def test_a_server_that_goes_on_where_it_was_told_to_end(serve: Serve) -> None:
    model, fake = serve(says(*["x"] * 40, finish=None), "vllm")
    assert ask(model, request(max_tokens=10)) == [("x" * 11, "length")]
    model, fake = serve(stalls("x" * 2_561), "vllm")
    assert ask(model, request(max_tokens=10))[0][1] == "length"
    assert fake.gone.acquire(timeout=30)


def test_figures_that_do_not_come_are_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_local.remote.exchange._TAIL_SECONDS", 0.05)

    def lingers(handler: Handler) -> None:
        handler.head()
        handler.event({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]})
        handler.wait_for_hangup()

    model, _ = serve(lingers, "vllm")
    assert ask(model, request()) == [("x", "stop")]


def tells_apart(*pieces: tuple[str, str]) -> Answer:
    """A reply in pieces of thoughts and text, which have the given names."""

    def answer(handler: Handler) -> None:
        handler.head()
        for key, text in pieces:
            handler.event({"choices": [{"delta": {key: text}, "finish_reason": None}]})
        handler.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        handler.event("[DONE]")

    return answer


@pytest.mark.parametrize(
    ("pieces", "thought", "text", "tokens"),
    [
        ([("reasoning_content", "a "), ("reasoning", "b"), ("content", "c ")],
         "<think>\na b\n</think>\n\n", "c ", 2),
        ([("reasoning", "\na\n"), ("content", "\n\n"), ("content", "\nb"), ("content", "\nc")],
         "<think>\na\n</think>\n\n", "b\nc", 2),
        ([("reasoning_content", "a"), ("content", "b"), ("reasoning_content", "c")],
         "<think>\nac\n</think>\n\n", "b", 2),
        ([("reasoning_content", "cut")], "<think>\ncut", "", 1),
        ([("content", "\nb")], "", "\nb", 0),
    ],
)  # fmt: skip
def test_thoughts_that_the_server_tells_apart(
    serve: Serve, pieces: list[tuple[str, str]], thought: str, text: str, tokens: int
) -> None:
    """Their marks, which the server takes away, stand around them again."""
    model, _ = serve(tells_apart(*pieces), "llama-cpp-python")
    [done] = model.complete([request()], deadline=soon(), token_limit=AMPLE)
    assert (done.thought, done.text) == (thought, text)
    assert (done.completion_tokens, done.thought_tokens) == (len(pieces), tokens)


@pytest.mark.parametrize(
    ("pieces", "thought", "text"),
    [
        (["<think>", "a ```repl\n1\n``` b", "</think>", "\n\n", "Yes."],
         "<think>a ```repl\n1\n``` b</think>\n\n", "Yes."),
        ([" <", "th", "ink", ">hm</thi", "nk>ok"], " <think>hm</think>", "ok"),
        (["[THINK]x[/THINK]", "y"], "[THINK]x[/THINK]", "y"),
        (["<think>never ", "ended"], "<think>never ended", ""),
        (["<", "b>bold"], "", "<b>bold"),
        (["<th"], "", "<th"),
        (["I say <think>"], "", "I say <think>"),
    ],
)  # fmt: skip
def test_thoughts_in_their_marks(serve: Serve, pieces: list[str], thought: str, text: str) -> None:
    """No fence in them ends the reply."""
    model, _ = serve(says(*pieces), "llama-cpp-python")
    [done] = model.complete([request(stop="fence")], deadline=soon(), token_limit=AMPLE)
    assert (done.thought, done.text, done.finish) == (thought, text, "stop")
    assert done.completion_tokens == len(pieces)
    assert (done.thought_tokens > 0) == bool(thought)


def goes_on(answer: Answer) -> Answer:
    """As llama.cpp's server does with a model that thinks: not from a beginning of its reply."""

    def goes(handler: Handler) -> None:
        begun = handler.body["messages"][-1]["role"] == "assistant"
        thinks = handler.body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        why = "Assistant response prefill is incompatible with enable_thinking."
        (status(400, {"error": {"message": why}}) if begun and thinks else answer)(handler)

    return goes


@pytest.mark.parametrize("thought", ["", "<think>\nMaybe ```repl\nbad(\n``` so.\n</think>\n\n"])
def test_a_reply_that_has_begun(serve: Serve, thought: str) -> None:
    """Servers that can are given its beginning; of others all of it is asked for anew."""
    begun = "I look.\n```repl\n"
    for kind in KINDS:
        can = kind in ("vllm", "llama.cpp")
        whole = f"{thought}{begun}print(1)\n```"
        model, fake = serve(goes_on(says("print", "(1)\n```") if can else says(whole)), kind)
        [done] = model.complete(
            [request(stop="fence", begun=thought + begun)], deadline=soon(), token_limit=AMPLE
        )
        assert (done.thought, done.text) == (thought, f"{begun}print(1)\n```")
        assert done.finish == "stop"
        if can:
            assert (done.completion_tokens, done.thought_tokens) == (2, 0)
        last = fake.chats[0]["messages"][-1]
        assert (last == {"role": "assistant", "content": thought + begun}) == can
        assert fake.chats[0].get("continue_final_message", False) == (kind == "vllm")


class Python:
    """A check of the test: code with a `?` does not parse."""

    def bad_line(self, code: str, deadline: float) -> int:
        return int("?" in code)


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
def test_a_turn_of_a_model_that_thinks_is_written_again(serve: Serve, kind: str) -> None:
    thought = [("reasoning_content", "Maybe ```repl\n?\n``` "), ("reasoning_content", "so.")]
    first = tells_apart(*thought, ("content", "I look.\n```repl\n?\n```"))
    model, fake = serve([first, goes_on(says("??\n```")), goes_on(says("1\n```"))], kind)
    retrying = RetryingModel(model, Python(), retries=2)  # type: ignore[arg-type]
    [done] = retrying.complete([request(stop="fence")], deadline=soon(), token_limit=AMPLE)
    kept = "<think>\nMaybe ```repl\n?\n``` so.\n</think>\n\n"
    assert (done.thought, done.text) == (kept, "I look.\n```repl\n1\n```")
    begun = {"role": "assistant", "content": f"{kept}I look.\n```repl\n"}
    assert [body["messages"][-1] for body in fake.chats[1:]] == [begun, begun]


def test_a_server_that_takes_no_beginning(serve: Serve) -> None:
    """Its first reply stands, and is paid for."""
    first = "I look.\n```repl\n?\n```"
    model, fake = serve([says(first), status(400, {})], "vllm")
    retrying = RetryingModel(model, Python(), retries=2)  # type: ignore[arg-type]
    [done] = retrying.complete([request(stop="fence")], deadline=soon(), token_limit=AMPLE)
    assert (done.text, done.finish, done.retries) == (first, "stop", 0)
    assert (done.work_tokens, len(fake.chats)) == (2 + 64 + 16 + 1, 2)


# ------------------------------------------------------------------------ what it costs


def test_the_servers_figures_count(serve: Serve) -> None:
    model, _ = serve(says("a", "b", used=usage(90, 30, cached=64)), "vllm")
    [done] = model.complete([request()], deadline=soon(), token_limit=AMPLE)
    assert (done.prompt_tokens, done.cached_tokens, done.completion_tokens) == (90, 64, 30)
    assert done.work_tokens == 56


def test_a_server_cannot_have_more_in_its_cache_than_there_is(serve: Serve) -> None:
    model, _ = serve(says("a", used=usage(90, 30, cached=640)), "vllm")
    [done] = model.complete([request()], deadline=soon(), token_limit=AMPLE)
    assert (done.prompt_tokens, done.cached_tokens) == (90, 90)


def test_the_latest_figures_count_for_a_reply_that_is_cut(serve: Serve) -> None:
    def counts(handler: Handler) -> None:
        handler.head()
        handler.event(delta("```repl\n", usage=usage(33, 4)))
        handler.event(delta("1\n```", usage=usage(33, 7)))
        handler.wait_for_hangup()

    def times(handler: Handler) -> None:
        handler.head()
        figures = {"cache_n": 30, "prompt_n": 3, "predicted_n": 7, "prompt_ms": 1.5}
        handler.event(delta("```repl\n1\n```", timings=figures))
        handler.wait_for_hangup()

    for kind, answer, cached in (("vllm", counts, 0), ("llama.cpp", times, 30)):
        model, _ = serve(answer, kind)
        [done] = model.complete([request(stop="fence")], deadline=soon(), token_limit=AMPLE)
        assert (done.prompt_tokens, done.cached_tokens, done.completion_tokens) == (33, cached, 7)


def test_what_the_server_does_not_count_is_counted_here(serve: Serve) -> None:
    """With its own tokenizer where it has one, else one token for two bytes; never too few."""
    model, _ = serve(says("a ", "b ", "c"), "llama-cpp-python")
    [done] = model.complete([request("one two three")], deadline=soon(), token_limit=AMPLE)
    assert done.prompt_tokens == 3 + 64 + 16
    assert done.completion_tokens == 3
    model, _ = serve(says("a piece of many tokens"), "")
    [done] = model.complete([request("one two three")], deadline=soon(), token_limit=AMPLE)
    assert done.prompt_tokens == 7 + 64 + 16
    assert done.completion_tokens == 11


def test_a_text_is_counted_once(serve: Serve) -> None:
    model, fake = serve(says("a"), "llama-cpp-python")
    for _ in range(3):
        ask(model, request("one two three"))
    counted = [path for path, _ in fake.seen if path.endswith("/count")]
    assert len(counted) == 2 + 1  # what kind it is, whether it counts, and the text


# ------------------------------------------------------------------------ token limits


def test_a_reply_gets_the_tokens_that_are_left(serve: Serve) -> None:
    model, fake = serve(says("a", finish="length", used=usage(84, 6)), "vllm")
    prompt = 2 + 64 + 16
    assert ask(model, request(), tokens=prompt + 50) == [("a", "length")]
    assert ask(model, request(), tokens=prompt + 49) == [("a", "tokens")]
    assert ask(model, request(), tokens=prompt + 1) == [("a", "tokens")]
    assert [body["max_tokens"] for body in fake.chats] == [50, 49, 1]
    assert ask(model, request(), tokens=prompt) == [("", "tokens")]
    assert len(fake.chats) == 3


def test_a_batch_shares_its_tokens(serve: Serve) -> None:
    """What one request does not use, the next has."""
    model, fake = serve(says("a", used=usage(82, 10)), "vllm", query="connections=4")
    done = model.complete([request()] * 4, deadline=soon(), token_limit=82 + 50 + 92 + 60)
    assert sum(completion.work_tokens for completion in done) <= 82 + 50 + 92 + 60
    assert [completion.finish for completion in done] == ["stop", "stop", "stop", "tokens"]
    assert [body["max_tokens"] for body in fake.chats] == [50, 50, 18]


# ------------------------------------------------------------------------------ windows


def test_a_prompt_that_does_not_fit_is_not_sent(serve: Serve) -> None:
    model, fake = serve(says("x"), "vllm")
    fits = 1_000 - 32
    with pytest.raises(WindowError) as raised:
        ask(model, request(), request("w " * (fits + 1)))
    assert (raised.value.index, raised.value.fits) == (1, fits)
    assert raised.value.tokens == fits + 1 + 64 + 16
    assert fake.chats == []
    ask(model, request("w " * fits))
    assert fake.chats[0]["max_tokens"] == 32


def test_a_long_prompt_leaves_less_for_the_reply(serve: Serve) -> None:
    model, fake = serve(says("x"), "vllm")
    ask(model, request("w " * 800, max_tokens=500))
    assert fake.chats[0]["max_tokens"] == 1_000 - 800 - 64 - 16


@pytest.mark.parametrize(
    "error",
    [
        # llama.cpp
        {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 1234,
                   "n_ctx": 1000, "message": "the request exceeds the available context size"}},
        # vLLM, by version
        {"object": "error", "message": "This model's maximum context length is 1000 tokens. "
         "However, you requested 1284 tokens (1234 in the messages, 50 in the completion)."},
        {"error": {"message": "This model's maximum context length is 1000 tokens. However, your "
                   "request has 1234 input tokens. Please reduce the length."}},
        {"error": {"message": "You passed 1234 input tokens and requested 50 output tokens. "
                   "However, the model's context length is only 1000 tokens"}},
        # llama-cpp-python
        {"error": {"code": "context_length_exceeded", "message": "This model's maximum context "
                   "length is 1000 tokens. However, you requested 1284 tokens (1234 in the "
                   "messages, 50 in the completion). Please reduce the length."}},
    ],
)  # fmt: skip
def test_what_only_the_server_knows_does_not_fit(serve: Serve, error: object) -> None:
    model, _ = serve(status(400, error), "vllm")
    with pytest.raises(WindowError) as raised:
        ask(model, request())
    assert (raised.value.tokens, raised.value.fits) == (1_234, 968)


@pytest.mark.parametrize(
    "message",
    [
        "context length exceeded",
        "This model's maximum context length is 1000 tokens. However, you requested 50 output "
        "tokens and your prompt contains at least 951 input tokens, for a total of at least 1001.",
    ],
)
def test_a_refusal_without_figures(serve: Serve, message: str) -> None:
    """A reply as short as can be is tried before it is said that the prompt does not fit."""
    refusal = status(400, {"error": {"message": message}})
    model, fake = serve([refusal, says("x"), refusal, refusal], "vllm")
    assert ask(model, request()) == [("x", "stop")]
    assert [body["max_tokens"] for body in fake.chats] == [50, 32]
    with pytest.raises(WindowError) as raised:
        ask(model, request())
    assert raised.value.tokens > raised.value.fits == 968


def test_a_reply_that_would_be_too_long_is_asked_for_shorter(serve: Serve) -> None:
    too_long = status(
        400,
        {"error": {"message": "This model's maximum context length is 1000 tokens. However, you "
                   "requested 1010 tokens (960 in the messages, 50 in the completion)."}},
    )  # fmt: skip
    model, fake = serve([too_long, says("x"), too_long, too_long], "vllm")
    assert ask(model, request()) == [("x", "stop")]
    assert [body["max_tokens"] for body in fake.chats] == [50, 40]
    with pytest.raises(WindowError):
        ask(model, request())


# -------------------------------------------------------------------------------- forms

COLOURS = ("red", 'light "blue"\n')
SCHEMA: dict[str, object] = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize("kind", ["llama.cpp", "llama-cpp-python"])
def test_forms_as_grammars(serve: Serve, kind: str) -> None:
    model, fake = serve([says(COLOURS[1]), says("[1,2]"), says("yes")], kind)
    assert ask(model, request(choices=COLOURS)) == [(COLOURS[1], "stop")]
    assert fake.chats[0]["grammar"] == r'root ::= "red" | "light \"blue\"\n"'
    assert ask(model, request(schema=SCHEMA)) == [("[1,2]", "stop")]
    assert fake.chats[1]["grammar"].startswith("root ::= ")
    assert ask(model, request(grammar='root ::= "yes"')) == [("yes", "stop")]
    assert fake.chats[2]["grammar"] == 'root ::= "yes"'
    assert "response_format" not in fake.chats[0]


@pytest.mark.parametrize("kind", ["vllm", ""])
def test_forms_as_schemas(serve: Serve, kind: str) -> None:
    model, fake = serve([says(r'"light \"blue\"\n"'), says("[1,2]")], kind)
    assert ask(model, request(choices=COLOURS)) == [(COLOURS[1], "stop")]
    wanted = fake.chats[0]["response_format"]["json_schema"]
    assert wanted["schema"] == {"enum": list(COLOURS)}
    assert ask(model, request(schema=SCHEMA)) == [("[1,2]", "stop")]
    assert fake.chats[1]["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_that_is_not_kept(serve: Serve, kind: str) -> None:
    model, _ = serve([says("blue"), says("Sure: [1]"), says(" red\n")], kind)
    assert ask(model, request(choices=COLOURS)) == [("blue", "form")]
    assert ask(model, request(schema=SCHEMA)) == [("Sure: [1]", "form")]
    assert ask(model, request(choices=COLOURS)) == [("red", "stop")]


def test_a_form_that_is_cut_is_not_judged(serve: Serve) -> None:
    model, _ = serve(says("[1,", finish="length"), "vllm")
    assert ask(model, request(schema=SCHEMA)) == [("[1,", "length")]


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": ("",)},
        {"choices": ("a",), "schema": {}},
        {"schema": {"pattern": "(a+)+b"}},
        {"schema": {"$ref": "http://elsewhere/schema"}},
        {"temperature": -1.0},
        {"grammar": 'root ::= "yes"'},
    ],
)
def test_forms_that_cannot_be(serve: Serve, fields: dict[str, Any]) -> None:
    model, fake = serve(says("x"), "vllm")
    with pytest.raises(FormError) as raised:
        ask(model, request(), request(**fields))
    assert raised.value.index == 1
    assert fake.chats == []


# --------------------------------------------------------------------------- side by side


def test_as_many_at_once_as_the_url_says(serve: Serve) -> None:
    reached = threading.Barrier(3, timeout=30)

    def together(handler: Handler) -> None:
        reached.wait()  # three are here at the same time
        says("x")(handler)

    model, fake = serve(together, "vllm", query="connections=3")
    texts = ask(model, *[request(str(number)) for number in range(9)])
    assert texts == [("x", "stop")] * 9
    assert fake.most_at_work == 3


def test_replies_are_in_the_order_of_the_requests(serve: Serve) -> None:
    def echoes(handler: Handler) -> None:
        text = handler.body["messages"][0]["content"]
        time.sleep(0.001 * (40 - int(text)))
        says(text)(handler)

    model, _ = serve(echoes, "vllm")
    asked = [request(str(number)) for number in range(40)]
    assert [text for text, _ in ask(model, *asked)] == [str(number) for number in range(40)]


def test_many_threads(serve: Serve) -> None:
    def echoes(handler: Handler) -> None:
        says(handler.body["messages"][0]["content"])(handler)

    model, _ = serve(echoes, "vllm")
    wrong: list[object] = []

    def work(name: str) -> None:
        for number in range(5):
            text = f"{name} {number}"
            if (got := ask(model, request(text))) != [(text, "stop")]:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=[str(number)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ------------------------------------------------------------------------- what ends it


def started(fake: Fake, count: int = 1) -> None:
    """Wait until that many requests are with the server."""
    until = time.monotonic() + 30
    while fake.at_work < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def in_thread(
    model: RemoteModel, requests: Sequence[Request]
) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []

    def work() -> None:
        try:
            got.extend(model.complete(requests, deadline=soon(), token_limit=AMPLE))
        except ModelError as error:
            got.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, got


def test_a_node_is_cancelled_and_others_go_on(serve: Serve) -> None:
    go_on = threading.Event()

    def waits(handler: Handler) -> None:
        handler.head()
        handler.event(delta("begun"))
        if handler.body["messages"][0]["content"] == "stays":
            go_on.wait(30)
            handler.event({"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}]})
            handler.event("[DONE]")
        else:
            handler.wait_for_hangup()

    model, fake = serve(waits, "llama-cpp-python")
    ended, first = in_thread(model, [request("ends", node="0.1.2")])
    stays, second = in_thread(model, [request("stays", node="0.2")])
    started(fake, 2)
    time.sleep(0.05)
    model.cancel("0.1")
    ended.join(30)
    assert first[0].finish == "deadline"
    assert not second
    go_on.set()
    stays.join(30)
    assert (second[0].text, second[0].finish) == ("begun!", "stop")
    assert fake.gone.acquire(timeout=30)


def test_everything_is_cancelled(serve: Serve) -> None:
    model, fake = serve(stalls("a"), "llama-cpp-python", query="context_tokens=1000&connections=1")
    thread, got = in_thread(model, [request(node="0")] * 2)
    started(fake)
    model.cancel()
    thread.join(30)
    assert [completion.finish for completion in got] == ["deadline", "deadline"]
    assert got[1].prompt_tokens == 0  # it was never sent


def test_closing_ends_what_is_under_way(serve: Serve) -> None:
    model, fake = serve(stalls("a"), "vllm")
    thread, got = in_thread(model, [request()])
    started(fake)
    model.close()
    model.close()
    thread.join(30)
    assert str(got[0]) == "the model was closed"
    with pytest.raises(ModelError, match="was closed"):
        ask(model, request())
    with pytest.raises(ModelError, match="was closed"):
        model.count_tokens("one two")
    model.cancel()


def test_nothing_asked(serve: Serve) -> None:
    model, fake = serve(says("x"))
    assert model.complete([], deadline=soon(), token_limit=1) == []
    assert fake.chats == []


def test_a_system_without_threads_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(ModelError, match="the model needs another thread") as caught:
        RemoteModel("http://127.0.0.1:9/v1")
    assert "ulimit -u" in caught.value.hint
