"""Servers that do not behave: each fault, and what comes of it."""

from __future__ import annotations

import _thread
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from rlm_local import controller
from rlm_local.errors import ModelError, NoTimeLeft, WindowError
from rlm_local.limits import Limits
from rlm_local.model import Interrupted
from rlm_local.prompt import prompt_from_text
from rlm_local.records import Event, NodeEnded, StopReason
from rlm_local.remote import events
from rlm_local.remote.exchange import RemoteOptions
from rlm_local.remote.model import RemoteModel
from rlm_local.wasm import WasmSandbox
from tests.remote.conftest import HASTY, Serve
from tests.remote.fake import (
    Answer,
    Fake,
    Handler,
    breaks,
    drips,
    hangs_up,
    page,
    says,
    sends,
    stalls,
    status,
    usage,
)
from tests.remote.test_model import ask, in_thread, request, soon

FINE = says("fine")
BUSY = status(503, {"error": {"message": "Loading model", "code": 503}})


# ------------------------------------------------------------------- another attempt


@pytest.mark.parametrize(
    "fault",
    [
        hangs_up,
        breaks(),
        says(finish=None),
        BUSY,
        status(429, {}),
        status(500, b"<html>"),
        status(502, b""),
        status(504, b"\xff\x00"),
        lambda handler: handler.write(b"garbage\r\n\r\n"),
        lambda handler: handler.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"),
        sends(b": a comment\n\n"),
    ],
    ids=["no word", "no event", "no text", "503", "429", "500", "502", "504", "no HTTP",
         "half a head", "only a comment"],
)  # fmt: skip
def test_what_may_pass_is_tried_again(serve: Serve, fault: Answer) -> None:
    def broken(handler: Handler) -> None:
        fault(handler)
        handler.close_connection = True

    model, fake = serve([broken, broken, FINE], "vllm")
    assert ask(model, request()) == [("fine", "stop")]
    assert len(fake.chats) == 3


def test_at_most_so_often(serve: Serve) -> None:
    model, fake = serve([BUSY] * 3 + [FINE], "vllm")
    with pytest.raises(ModelError, match="failed in 3 attempts: it answered 503 ") as raised:
        ask(model, request())
    assert "Loading model" in str(raised.value)
    assert fake.url("").removesuffix("/v1") in str(raised.value)
    assert len(fake.chats) == 3
    assert ask(model, request()) == [("fine", "stop")]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422, 501])
def test_what_will_not_pass_is_not_tried_again(serve: Serve, code: int) -> None:
    model, fake = serve([status(code, {"error": {"message": "I will not"}}), FINE], "vllm")
    with pytest.raises(ModelError, match=rf"refused \({code}\).*I will not"):
        ask(model, request())
    assert len(fake.chats) == 1


@pytest.mark.parametrize(
    "fault",
    [
        breaks("some ", "text"),
        says("some ", "text", finish=None),
        sends(b'data: {"choices": [{"delta": {"content": "some"}}]}\n\ndata: {bad\n\n'),
        sends(b'data: {"choices": [{"delta": {"content": "some"}}]}\n\n'
              b'data: {"error": {"message": "out of memory"}}\n\n'),
        says("text", finish="abort"),
        says("text", finish="content_filter"),
    ],
    ids=["cut off", "no end", "garbage", "an error", "aborted", "filtered"],
)  # fmt: skip
def test_what_has_begun_is_never_asked_for_again(serve: Serve, fault: Answer) -> None:
    model, fake = serve([fault, FINE], "vllm")
    with pytest.raises(ModelError, match=r"broke off a reply after \d+ tokens"):
        ask(model, request())
    assert len(fake.chats) == 1


def test_an_error_as_the_first_event(serve: Serve) -> None:
    model, _ = serve(sends(b'data: {"error": "no GPU"}\n\n'), "vllm")
    with pytest.raises(ModelError, match="after 0 tokens: no GPU"):
        ask(model, request())


def test_a_server_with_a_habit_is_named(serve: Serve) -> None:
    """llama-cpp-python's server drops a reply when another request comes, if not told otherwise."""
    model, _ = serve(says("text", finish=None), "llama-cpp-python")
    with pytest.raises(ModelError) as raised:
        ask(model, request())
    assert "--interrupt_requests false" in raised.value.hint


def test_one_that_fails_ends_the_batch(serve: Serve) -> None:
    def one(handler: Handler) -> None:
        text = handler.body["messages"][0]["content"]
        (status(400, {}) if text == "bad" else stalls("a"))(handler)

    model, fake = serve(one, "vllm")
    with pytest.raises(ModelError, match="refused"):
        ask(model, request("good"), request("bad"), request("good"))
    for _ in range(fake.at_work):
        assert fake.gone.acquire(timeout=30)


@pytest.mark.parametrize("rest", [b"", b"data: {garbage\n\n", b"data: " + b"x" * (1 << 21)])
def test_what_comes_behind_the_end_is_nothing_to_us(serve: Serve, rest: bytes) -> None:
    """Also a connection that breaks where only figures were to come."""

    def ends(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "9999999")
        handler.end_headers()
        handler.event({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]})
        handler.write(rest)
        handler.close_connection = True

    model, fake = serve(ends, "vllm")
    assert ask(model, request()) == [("x", "stop")]
    assert len(fake.chats) == 1


def test_what_the_server_refuses_costs_nothing(serve: Serve) -> None:
    model, fake = serve(status(503, {}, Retry_After="30"), "vllm")
    thread, got = in_thread(model, [request(node="0")])
    until = time.monotonic() + 30
    while time.monotonic() < until:  # until it waits for its next attempt
        [exchange] = [one for call in model._calls for one in call._exchanges] or [None]
        if fake.chats and exchange is not None and exchange._reply is None:
            break
        time.sleep(0.005)
    model.cancel("0")
    thread.join(30)
    assert (got[0].finish, got[0].prompt_tokens) == ("deadline", 0)


# ----------------------------------------------------------------- how long it may take


def quick(seconds: float = 0.3) -> float:
    return time.monotonic() + seconds


@pytest.mark.parametrize("fault", [stalls("drop "), drips], ids=["stalls", "drips"])
def test_the_deadline_comes_in_the_middle_of_a_reply(serve: Serve, fault: Answer) -> None:
    model, fake = serve(fault, "llama-cpp-python")
    for seconds in (0.3, 3, 30):  # on a slow machine it may come before the first word
        asked = [request(max_tokens=10_000)]
        [done] = model.complete(asked, deadline=quick(seconds), token_limit=100_000)
        assert done.finish == "deadline"
        if done.text:
            break
    assert done.text.startswith("drop ")
    assert done.completion_tokens == done.text.count("drop")
    assert done.prompt_tokens > 0
    assert fake.gone.acquire(timeout=30)


def test_the_deadline_comes_before_the_first_word(serve: Serve) -> None:
    model, fake = serve(lambda handler: handler.wait_for_hangup(), "vllm")
    [done] = model.complete([request()], deadline=quick(), token_limit=10_000)
    assert (done.text, done.finish, done.completion_tokens) == ("", "deadline", 0)
    assert done.prompt_tokens == 4 + 64 + 16  # guessed: the server may have read all of it
    assert fake.gone.acquire(timeout=30)


def test_a_deadline_that_has_passed(serve: Serve) -> None:
    model, _ = serve(FINE, "vllm")
    [done] = model.complete([request()], deadline=time.monotonic() - 1, token_limit=10_000)
    assert (done.text, done.finish) == ("", "deadline")


def test_no_deadline_at_all(serve: Serve) -> None:
    model, _ = serve(FINE, "vllm")
    [done] = model.complete([request()], deadline=float("inf"), token_limit=10_000)
    assert done.text == "fine"


def test_nothing_is_waited_for_past_the_deadline(serve: Serve) -> None:
    """The server's failure is told at once where the next attempt would come too late."""
    model, fake = serve(status(429, {}, Retry_After="3600"), "vllm")
    with pytest.raises(ModelError, match=r"in 1 attempt: .*asks to wait 3600 s, where \d+ s are"):
        ask(model, request())
    assert len(fake.chats) == 1


def test_a_server_that_is_busy_for_longer_than_a_child_has_ends_that_child(
    serve: Serve, tmp_path: Path
) -> None:
    def answer(handler: Handler) -> None:
        said = handler.body["messages"][-1]["content"]
        if "Question: of the child" in said or said == "of a call":
            return status(429, {}, Retry_After="120")(handler)
        if "Question: of the other" in said:
            code = "print('so far')\nllm_query('of a call')"
        elif "so far" in said:
            code = "FINAL('done')"
        elif "no time left" in said:
            code = "print(rlm_query('of the other', 'x', budget=0.01))"
        else:
            code = (
                "try: rlm_query('of the child', 'x', budget=0.01)\n"
                "except RuntimeError as error: print(error)"
            )
        return says(f"```repl\n{code}\n```\n")(handler)

    model, _ = serve(answer, query="context_tokens=9000")
    events: list[Event] = []
    with WasmSandbox() as sandbox, prompt_from_text("text", folder=tmp_path) as prompt:
        done = controller.answer(
            "the question",
            prompt,
            model=model,
            sandbox=sandbox,
            limits=Limits(depth=2, turn_tokens=100, sub_call_tokens=100),
            run_id="r",
            mode="rlm",
            record=events.append,
        )
    assert (done.stop, done.text) == (StopReason.ANSWERED, "done"), done.message
    ends = [(each.stop, each.text) for each in events if isinstance(each, NodeEnded)]
    assert ends == [(StopReason.WALL_CLOCK, ""), (StopReason.WALL_CLOCK, "so far")]
    # The run's own time is another matter: what the server says is the reason then.
    model, _ = serve(status(429, {}, Retry_After="3600"), "vllm")
    with pytest.raises(NoTimeLeft, match="asks to wait 3600 s"):
        ask(model, request())


@pytest.mark.parametrize("wait", ["0", "-5", "soon", "", "9" * 30, "Thu, 99 Nov", "date"])
def test_how_long_a_server_asks_to_wait(serve: Serve, wait: str) -> None:
    if wait == "date":  # in the past: none at all
        wait = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    model, _ = serve([status(429, {}, Retry_After=wait), FINE], "vllm")
    if wait == "9" * 30:
        with pytest.raises(ModelError, match="asks to wait 999999999 s"):
            ask(model, request())
    else:
        assert ask(model, request()) == [("fine", "stop")]


def test_it_is_waited_as_long_as_the_server_asks(serve: Serve) -> None:
    model, _ = serve([status(429, {}, Retry_After="1"), FINE], "vllm")
    began = time.monotonic()
    assert ask(model, request()) == [("fine", "stop")]
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("words", [(), ("some",)])
def test_a_server_that_falls_silent(serve: Serve, words: tuple[str, ...]) -> None:
    options = RemoteOptions(attempts=3, first_wait_seconds=0.001, silence_seconds=0.3)
    model, fake = serve(stalls(*words), "vllm", options=options)
    with pytest.raises(ModelError, match=r"was silent for 0\.3 s"):
        ask(model, request())
    assert len(fake.chats) == 1


# --------------------------------------------------------------------- how much there is


def test_an_event_without_end(serve: Serve) -> None:
    model, _ = serve(sends(b"data: ", b"x" * 65_536, forever=True), "vllm")
    with pytest.raises(ModelError, match="cannot be read"):
        ask(model, request())


def test_a_reply_without_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of comments, so that no text and no event is too long."""
    monkeypatch.setattr(events, "MOST_EVENT_BYTES", 1 << 30)
    model, _ = serve(sends(b": nothing\n\n" * 1_000, forever=True), "vllm")
    with pytest.raises(ModelError, match=r"sent more than 1,253,376 bytes"):
        ask(model, request())


@pytest.mark.parametrize("code", [200, 400, 500])
def test_a_body_without_end(serve: Serve, code: int) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.write(b" " * 65_536)

    model, fake = serve(endless, "vllm")
    with pytest.raises(ModelError, match=r"sent more than 4,194,304 bytes"):
        ask(model, request())
    assert fake.gone.acquire(timeout=30)


def test_a_head_without_end(serve: Serve) -> None:
    def endless(handler: Handler) -> None:
        handler.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.write(b"X-More: " + b"x" * 1_000 + b"\r\n")

    model, _ = serve(endless, "vllm")
    with pytest.raises(ModelError, match="the connection was lost"):
        ask(model, request())


# ------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'data: {"choices": [{"delta": {"content": "\xff"}, "finish_reason": "stop"}]}', "\ufffd"),
        (b'data: {"choices": [{"delta": {"content": "\\u00e9"}, "finish_reason": "stop"}]}', "é"),
        (b'data: {"choices": [{"delta": null, "finish_reason": "stop"}], "usage": null}', ""),
        (b'data: {"choices": [{"message": {}, "finish_reason": "stop", "new": [1]}]}', ""),
        (b'data:{"choices":[],"x":1}\r\n\r\ndata:{"choices":[{"finish_reason":"stop"}]}', ""),
    ],
)  # fmt: skip
def test_what_is_strange_and_can_be_read(serve: Serve, data: bytes, text: str) -> None:
    model, _ = serve(sends(data + b"\n\ndata: [DONE]\n\n"), "vllm")
    assert ask(model, request()) == [(text, "stop")]


@pytest.mark.parametrize(
    "data",
    [
        b"{}}", b"[]", b"null", b'"text"', b"{'choices': 1}", b'{"choices": 1}',
        b'{"choices": [{"delta": {"content": 5}}]}', b'{"choices": [{"delta": []}]}',
        b'{"usage": {"prompt_tokens": -1}}', b'{"usage": {"prompt_tokens": 1e99}}',
        b'{"x": ' + b"[" * 100_000, b"\xff\xff",
        b'{"choices": [{"delta": {"content": "\\ud800"}}]}',
    ],
)  # fmt: skip
def test_what_cannot_be_read(serve: Serve, data: bytes) -> None:
    model, _ = serve(sends(b"data: " + data + b"\n\n"), "vllm")
    with pytest.raises(ModelError, match="after 0 tokens: what it sent cannot be read"):
        ask(model, request())


def test_an_answer_that_is_no_stream(serve: Serve) -> None:
    model, _ = serve(page({"choices": [{"message": {"content": "whole"}}]}), "vllm")
    with pytest.raises(ModelError, match="'application/json' and not with a stream"):
        ask(model, request())


@pytest.mark.parametrize("answer", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_a_list_of_models_that_is_no_json(answer: bytes) -> None:
    with Fake(FINE).running() as fake:
        fake.pages["/v1/models"] = status(200, answer)
        with pytest.raises(ModelError, match="not JSON"):
            RemoteModel(fake.url(), options=HASTY)


def test_a_count_that_takes_long_is_estimated(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for at the beginning of a node, whose time it must not outlast."""
    monkeypatch.setattr("rlm_local.remote.model._COUNT_SECONDS", 0.2)
    model, fake = serve(FINE, "vllm")
    fake.posts["/tokenize"] = lambda handler: handler.wait_for_hangup()
    assert model.count_tokens("one two three") == 7


def test_closing_ends_a_count_that_is_not_answered(serve: Serve) -> None:
    model, fake = serve(FINE, "vllm")
    asked, got = threading.Event(), []

    def silent(handler: Handler) -> None:
        asked.set()
        handler.wait_for_hangup()

    def count() -> None:
        with pytest.raises(ModelError) as caught:
            model.count_tokens("one two")
        got.append(str(caught.value))

    fake.posts["/tokenize"] = silent
    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    assert asked.wait(30)
    model.close()
    thread.join(30)
    assert got == ["the model was closed"]


def test_a_tokenizer_that_goes_away(serve: Serve) -> None:
    """What it counted no more is estimated."""
    model, fake = serve(FINE, "vllm")
    assert model.count_tokens("one two") == 2
    del fake.posts["/tokenize"]
    assert model.count_tokens("one two") == 2
    assert model.count_tokens("one two three") == 7
    fake.posts["/tokenize"] = BUSY
    with pytest.raises(ModelError, match="failed in 3 attempts"):
        model.count_tokens("four")


# ------------------------------------------------------------------------ no server at all


def nowhere() -> str:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return f"http://127.0.0.1:{made.getsockname()[1]}/v1?context_tokens=99"


def test_nobody_listens() -> None:
    url = nowhere()
    with pytest.raises(ModelError, match=r"failed in 3 attempts: .*refused") as raised:
        RemoteModel(url, options=HASTY)
    assert url.split("?")[0] in str(raised.value)
    assert "runs" in raised.value.hint


def test_a_server_that_stops_between_two_requests() -> None:
    with Fake(FINE, "vllm").running() as fake:
        model = RemoteModel(fake.url(), options=HASTY)
        assert ask(model, request()) == [("fine", "stop")]
    with model, pytest.raises(ModelError, match=r"failed in 3 attempts: .*refused"):
        ask(model, request())


@pytest.mark.parametrize("keeps", [True, False])
def test_connections_serve_again_where_the_server_keeps_them(serve: Serve, keeps: bool) -> None:
    def once(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        event = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n'
        done = b"data: [DONE]\n\n"
        for data in (event, done, b""):
            handler.write(b"%x\r\n%s\r\n" % (len(data), data))
        handler.close_connection = not keeps

    model, fake = serve(once, "vllm")
    for _ in range(5):
        assert ask(model, request()) == [("x", "stop")]
    assert len(fake.connections) == (1 if keeps else 5)


# ------------------------------------------------------------------- failures in a batch

TOO_LONG = status(400, {"error": {"message": "context length exceeded", "type": "context"}})
PROMPT = 4 + 64 + 16  # of two words, estimated


@pytest.mark.parametrize(
    ("fault", "error", "lost"),
    [
        (TOO_LONG, WindowError, ("", 0)),
        (status(401, {"error": {"message": "who?"}}), ModelError, ("", 0)),
        (sends(b'data: {"error": {"message": "context size exceeded"}}\n\n'), WindowError, ("", 0)),
        (sends(b'data: {"error": "out of memory"}\n\n'), ModelError, ("", PROMPT)),
        (breaks("some ", "words"), ModelError, ("some words", PROMPT + 2)),
    ],
    ids=["too long", "refused", "too long, told late", "an error", "broken off"],
)
def test_a_batch_that_fails_tells_what_it_has_cost(
    serve: Serve, fault: Answer, error: type[ModelError], lost: tuple[str, int]
) -> None:
    """Of the others, what has come; of the one at fault, what the server may have computed."""

    def one(handler: Handler) -> None:
        match handler.body["messages"][0]["content"]:
            case "quick one":
                says("all of it", used=usage(70, 3))(handler)
            case "slow one":
                stalls("half")(handler)
            case _:
                until = time.monotonic() + 30
                while time.monotonic() < until:  # until the others are as they are to be found
                    replies = [one._reply for call in list(model._calls) for one in call._exchanges]
                    texts = [(reply.text, reply.finish) for reply in replies[:2] if reply]
                    if texts == [("all of it", "stop"), ("half", None)]:
                        break
                    time.sleep(0.005)
                fault(handler)

    model, _ = serve(one, "llama-cpp-python")
    asked = [request(text) for text in ("quick one", "slow one", "bad one")]
    with pytest.raises(error) as raised:
        model.complete(asked, deadline=soon(), token_limit=10_000)
    assert type(raised.value) is error
    quick, slow, bad = raised.value.completions
    assert (quick.text, quick.finish, quick.work_tokens) == ("all of it", "stop", 73)
    assert (slow.text, slow.finish, slow.work_tokens) == ("half", "deadline", PROMPT + 1)
    assert (bad.text, bad.work_tokens) == lost
    assert bad.is_cut


def test_a_batch_that_is_refused_before_it_is_sent_has_cost_nothing(serve: Serve) -> None:
    model, fake = serve(FINE, "vllm")
    with pytest.raises(WindowError) as raised:
        ask(model, request(), request("w " * 1_000))
    assert (raised.value.completions, fake.chats) == ((), [])


# ------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_keeps_what_has_come(serve: Serve) -> None:
    def one(handler: Handler) -> None:
        text = handler.body["messages"][0]["content"]
        (says("all of it") if text == "quick" else stalls("half"))(handler)

    model, fake = serve(one, "llama-cpp-python")

    def interrupt() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:  # until both are as they are to be found
            replies = [one._reply for call in list(model._calls) for one in call._exchanges]
            if [(one.text, one.finish) for one in replies if one is not None] == [
                ("all of it", "stop"),
                ("half", None),
            ]:
                break
            time.sleep(0.005)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted) as raised:
        model.complete([request("quick"), request("slow")], deadline=soon(), token_limit=10_000)
    thread.join()
    quick, slow = raised.value.completions
    assert (quick.text, quick.finish) == ("all of it", "stop")
    assert (slow.text, slow.finish, slow.completion_tokens) == ("half", "deadline", 1)
    assert fake.gone.acquire(timeout=30)
    assert ask(model, request("quick")) == [("all of it", "stop")]


def test_ctrl_c_while_loading() -> None:
    with Fake(FINE).running() as fake:
        fake.pages["/v1/models"] = lambda handler: handler.wait_for_hangup()

        def interrupt() -> None:
            until = time.monotonic() + 30
            while not fake.seen and time.monotonic() < until:
                time.sleep(0.005)
            _thread.interrupt_main()

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            RemoteModel(fake.url())
        thread.join()
        assert fake.gone.acquire(timeout=30)
