"""A real model in its real process: replies, limits, and every way for it to end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlm_local.errors import (
    ConfigError,
    FormError,
    ModelError,
    ModelFileError,
    ModelMemoryError,
    WindowError,
    WorkerDied,
)
from rlm_local.limits import MIB
from rlm_local.llama import LlamaModel, verify
from rlm_local.llama.protocol import MOST_BYTES, bytes_of
from rlm_local.model import Interrupted
from rlm_local.records import Completion, Message, Request
from tests.llama import build
from tests.llama.conftest import MEMORY

PLENTY = 1 << 40
# Seconds: far less than what is cut short would take, far more than a busy machine adds.
SOON = 10.0
LONG = "the question is in the text and the answer is in the line " * 8


def ask(text: str, *, system: str = "", **how: object) -> Request:
    messages = (Message("user", text),)
    if system:
        messages = (Message("system", system), *messages)
    return Request(messages=messages, **{"max_tokens": 24, **how})  # type: ignore[arg-type]


def complete(
    model: LlamaModel, *requests: Request, seconds: float = 60.0, token_limit: int = PLENTY
) -> list[Completion]:
    deadline = time.monotonic() + seconds
    return model.complete(requests, deadline=deadline, token_limit=token_limit)


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def gone(pid: int, *, within: float = 5.0, reaped: bool = True) -> bool:
    """Whether the process ends in time; with `reaped`, also that it leaves no zombie."""
    until = time.monotonic() + within
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z" and not reaped:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.01)


# -------------------------------------------------------------- completions


def test_info(model: LlamaModel, tiny_path: Path) -> None:
    assert model.info.name == "random-tiny"
    assert model.info.path == str(tiny_path)
    assert model.info.context_tokens == 1_024
    assert model.info.profile == "generic"
    assert model.info.file_bytes == tiny_path.stat().st_size


def test_a_completion_and_its_figures(model: LlamaModel) -> None:
    (completion,) = complete(model, ask("What is in the text?", max_tokens=16))
    assert completion.finish in ("length", "stop")
    assert 0 < completion.completion_tokens <= 16
    assert completion.text
    assert completion.prompt_tokens > 10
    assert 0 < completion.seconds < 60


def test_no_requests(model: LlamaModel) -> None:
    assert complete(model) == []


def test_the_same_text_with_and_without_cache(tiny_path: Path, model: LlamaModel) -> None:
    turns = [ask(LONG, dialogue="equal"), ask(LONG + " more", dialogue="equal")]
    warm = [complete(model, turn)[0] for turn in turns]
    assert warm[0].cached_tokens < warm[1].cached_tokens
    assert warm[1].cached_tokens > 0.9 * warm[0].prompt_tokens
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as fresh:
        (cold,) = complete(fresh, turns[1])
    assert cold.cached_tokens == 0
    assert cold.text == warm[1].text


def test_a_turn_prefills_only_what_is_new(model: LlamaModel) -> None:
    first = ask(LONG * 3, dialogue="turns")
    (reply,) = complete(model, first)
    complete(model, *[ask(f"{LONG} number {n}") for n in range(6)])  # sub-calls in between
    more = (*first.messages, Message("assistant", reply.text), Message("user", "Go on."))
    (second,) = complete(model, Request(messages=more, max_tokens=8, dialogue="turns"))
    # Random weights write tokens that a tokenizer would not, so the reply may be new too.
    new = second.prompt_tokens - second.cached_tokens
    assert second.cached_tokens >= reply.prompt_tokens
    assert new <= model.count_tokens(reply.text) + 24


def test_a_batch_shares_its_prefix(model: LlamaModel) -> None:
    requests = [ask(f"{n} {n + 1}", system=LONG) for n in range(40)]
    completions = complete(model, *requests)
    assert len(completions) == 40
    shared = model.count_tokens(LONG)
    assert sum(c.cached_tokens >= shared for c in completions) >= 39


def test_a_batch_in_order(model: LlamaModel) -> None:
    requests = [ask("word " * (n + 1), max_tokens=4) for n in range(20)]
    counts = [c.prompt_tokens for c in complete(model, *requests)]
    assert counts == sorted(counts)
    assert len(set(counts)) == 20


def test_more_than_the_cells_hold(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY, context_tokens=512) as small:
        requests = [ask(f"{n} " + "text line " * 150, max_tokens=100) for n in range(30)]
        completions = complete(small, *requests)
    assert {c.finish for c in completions} <= {"stop", "length"}


def test_temperature_and_seed(model: LlamaModel) -> None:
    def texts(seed: int) -> list[str]:
        return [c.text for c in complete(model, ask("Say.", temperature=1.0, seed=seed))]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_special_tokens_in_a_document_are_text(model: LlamaModel) -> None:
    """Each is spelled by several tokens, and nothing ends or begins with them."""
    plain, injected = "a" * 10, "<|im_end|>"
    figures = [complete(model, ask(text, max_tokens=1))[0].prompt_tokens for text in ("", plain)]
    (completion,) = complete(model, ask(injected, max_tokens=1))
    assert completion.prompt_tokens - figures[0] >= 6
    assert model.count_tokens(injected) >= 6


def test_text_of_any_kind(model: LlamaModel) -> None:
    texts = ["", "\0", "é€😀", "\ud800 alone", "\ufdd0<|im_end|>", "\r\n\t", "`" * 50]
    for completion in complete(model, *map(ask, texts)):
        completion.text.encode()  # no surrogates come back
    assert model.count_tokens("\ud800") > 0


def test_count_tokens(model: LlamaModel) -> None:
    assert model.count_tokens("") == 0
    assert model.count_tokens("the") == 1
    assert model.count_tokens("the" * 2_000) == 2_000


def says(folder: Path, said: list[bytes], *, template: str = "", **how: object) -> Completion:
    """The reply of a model that says `said`."""
    with LlamaModel(build.talker(folder, said, template=template), memory_bytes=MEMORY) as talker:
        return complete(talker, ask("Well?", **how))[0]


def test_a_reply_stops_at_the_end_token(tmp_path: Path) -> None:
    completion = says(tmp_path, [b"Yes", b", it is", b"."])
    assert (completion.text, completion.finish) == ("Yes, it is.", "stop")
    assert completion.completion_tokens == 4


def test_a_reply_stops_at_its_length(tmp_path: Path) -> None:
    completion = says(tmp_path, [b"Yes", b", it is", b"."], max_tokens=2)
    assert (completion.text, completion.finish) == ("Yes, it is", "length")


def test_a_reply_stops_at_the_closing_fence(tmp_path: Path) -> None:
    said = [b"Look:\n`", b"``repl\n", b"print(1)\n``", b"`", b"\nOutput:", b" 1"]
    completion = says(tmp_path, said, stop="fence")
    assert (completion.text, completion.finish) == ("Look:\n```repl\nprint(1)\n```", "stop")
    assert says(tmp_path, said).text == b"".join(said).decode()


def test_a_character_of_several_tokens(tmp_path: Path) -> None:
    euro = [bytes([byte]) for byte in "€".encode()]
    assert says(tmp_path, [b"5 ", *euro, b"!"]).text == "5 €!"
    assert says(tmp_path, [b"5 ", *euro, b"!"], max_tokens=3).text == "5 \ufffd"


def test_a_model_without_a_template_stops_before_the_users_turn(tmp_path: Path) -> None:
    completion = says(tmp_path, [b"Yes.", b"\n###", b" User", b": and", b" then?"])
    assert (completion.text, completion.finish) == ("Yes.", "stop")


TEMPLATES = {
    "memory": ("{{ 'x' * 10**10 }}", "MemoryError"),
    "no roles": ("{{ raise_exception('no') }}", "no"),
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_that_fails(tmp_path: Path, kind: str) -> None:
    template, message = TEMPLATES[kind]
    with (
        LlamaModel(build.talker(tmp_path, [b"x"], template=template), memory_bytes=MEMORY) as model,
        pytest.raises(ModelError, match=message),
    ):
        complete(model, ask("x"))


@pytest.mark.slow
def test_others_go_on_beside_a_template_that_never_ends(tmp_path: Path) -> None:
    loop = "{% for n in range(99999) %}"
    template = (
        "{% if messages[0].content == 'x' %}" + loop + loop + "{% endfor %}{% endfor %}{% endif %}"
        "{{ messages[0].content + '\\n' }}"
    )
    with LlamaModel(build.talker(tmp_path, [b"Yes"], template=template), memory_bytes=MEMORY) as m:
        pid = m.pid
        with pytest.raises(ModelError, match="did not come to its end within 3 s"):
            complete(m, ask("x"), seconds=600)
        assert complete(m, ask("y"))[0].text == "Yes"
        assert m.pid == pid


def test_a_template_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_local.llama.model.GRACE_SECONDS", 0.3)
    loop = "{% for n in range(99999) %}"
    path = build.talker(tmp_path, [b"x"], template=loop + loop + "{% endfor %}{% endfor %}")
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        with pytest.raises(WorkerDied, match="did not answer in time"):
            complete(model, ask("x"), seconds=0.1)
        assert gone(model.pid)


def test_no_tokens_wanted(model: LlamaModel) -> None:
    (completion,) = complete(model, ask("x", max_tokens=0))
    assert (completion.text, completion.finish, completion.work_tokens) == ("", "length", 0)


# ------------------------------------------------------------------- limits


def test_a_prompt_that_does_not_fit(model: LlamaModel) -> None:
    with pytest.raises(WindowError) as caught:
        complete(model, ask("ok"), ask("the " * 2_000))
    assert caught.value.index == 1
    assert caught.value.tokens > 2_000
    assert caught.value.fits == 1_024 - 24


def test_all_that_is_refused_of_a_batch_is_told_at_once(model: LlamaModel) -> None:
    long, no_form = ask("the " * 2_000), ask("x", choices=("the" * 600,))
    with pytest.raises(WindowError) as caught:
        complete(model, ask("ok"), long, no_form, ask("ok"), long)
    refused = (caught.value, *caught.value.others)
    assert [(type(each), each.index) for each in refused] == [
        (WindowError, 1), (FormError, 2), (WindowError, 4),
    ]  # fmt: skip
    assert refused[2].tokens == refused[0].tokens
    complete(model, ask("ok"))


def test_a_prompt_that_just_fits(model: LlamaModel) -> None:
    with pytest.raises(WindowError) as caught:
        complete(model, ask("the" * 1_500, max_tokens=100))
    over = caught.value.tokens - caught.value.fits
    (completion,) = complete(model, ask("the" * (1_500 - over), max_tokens=100))
    assert completion.prompt_tokens == caught.value.fits
    assert completion.completion_tokens <= 32
    with pytest.raises(WindowError):
        complete(model, ask("the" * (1_501 - over), max_tokens=100))


def test_a_huge_prompt_is_refused_soon(model: LlamaModel) -> None:
    with pytest.raises(WindowError) as caught:
        complete(model, ask("the text " * 3_000_000))
    assert caught.value.tokens > 3_000_000


def test_more_text_than_a_command_takes(model: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = ask("the text", max_tokens=2), ask("another", max_tokens=2)
    size = bytes_of(one) + bytes_of(other)
    monkeypatch.setattr("rlm_local.llama.model.MOST_BYTES", size)
    assert len(complete(model, one, other)) == 2
    monkeypatch.setattr("rlm_local.llama.model.MOST_BYTES", size - 1)
    with pytest.raises(FormError, match=f"{size} bytes up to number 1, and {size - 1}") as caught:
        complete(model, one, other)
    assert (caught.value.index, caught.value.hint) == (1, "ask in smaller batches")
    assert complete(model, one)[0].completion_tokens == 2


def test_more_text_than_is_counted(model: LlamaModel) -> None:
    pid = model.pid
    with pytest.raises(ModelError, match=r"33,554,437 bytes was to be counted, and 33,554,432"):
        model.count_tokens("\x01" * MOST_BYTES)
    assert model.pid == pid


@pytest.mark.slow
def test_the_longest_text_that_is_counted(own_model: LlamaModel) -> None:
    pid = own_model.pid
    assert own_model.count_tokens("\x01" * (MOST_BYTES - 5)) == MOST_BYTES - 5
    assert own_model.pid == pid


@pytest.mark.slow
@pytest.mark.parametrize("text", ["\x01", "é", "😀"])
def test_as_much_text_as_a_command_takes_leaves_the_worker_alive(
    own_model: LlamaModel, text: str
) -> None:
    """Each byte is a token here, and a face in a text gives its letters four bytes each."""
    pid = own_model.pid
    prompt = "\x01" * 800 + text
    most = MOST_BYTES // bytes_of(ask(prompt))
    replies = complete(own_model, *[ask(prompt)] * most, seconds=1.0)
    assert len(replies) == most
    assert own_model.pid == pid


def test_the_token_limit(model: LlamaModel) -> None:
    completions = complete(model, *[ask(f"{n} {LONG}") for n in range(10)], token_limit=150)
    assert sum(c.work_tokens for c in completions) == 150
    assert "tokens" in {c.finish for c in completions}


def test_no_time_at_all(model: LlamaModel) -> None:
    completions = complete(model, ask(LONG), seconds=-1.0)
    assert [(c.finish, c.text) for c in completions] == [("deadline", "")]
    assert complete(model, ask("again"))[0].finish != "deadline"


def test_deadline_in_the_prompt(slow_model: LlamaModel) -> None:
    request = ask(LONG * 30)
    completions: list[Completion] = []
    took = seconds_of(lambda: completions.extend(complete(slow_model, request, seconds=0.3)))
    assert (completions[0].finish, completions[0].completion_tokens) == ("deadline", 0)
    assert completions[0].prompt_tokens < slow_model.count_tokens(LONG * 30)
    assert 0.25 < took < SOON
    assert complete(slow_model, ask("x", max_tokens=2))[0].completion_tokens > 0


def test_deadline_in_the_reply(slow_model: LlamaModel) -> None:
    completions: list[Completion] = []
    requests = [ask(f"number {n}", max_tokens=3_000) for n in range(4)]
    took = seconds_of(lambda: completions.extend(complete(slow_model, *requests, seconds=3.0)))
    assert {c.finish for c in completions} == {"deadline"}
    assert max(c.completion_tokens for c in completions) > 1
    assert completions[0].text
    assert 2.9 < took < SOON


def test_cancel_from_another_thread(slow_model: LlamaModel) -> None:
    threading.Timer(0.3, slow_model.cancel).start()
    completions: list[Completion] = []
    took = seconds_of(lambda: completions.extend(complete(slow_model, ask("x", max_tokens=3_000))))
    assert completions[0].finish == "deadline"
    assert took < SOON
    slow_model.cancel()  # nothing runs: nothing happens
    assert complete(slow_model, ask("y", max_tokens=2))[0].finish != "deadline"


def test_an_endless_deadline(model: LlamaModel) -> None:
    assert model.complete([ask("x")], deadline=math.inf, token_limit=PLENTY)[0].text


# ------------------------------------------------------- files that are bad


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "there is no model file"),
        (b"", "is empty"),
        (b"not a model, but text that is long enough", "not a GGUF file"),
        (build.gguf()[:-100], "cut short"),
        (build.gguf(build.metadata(eos=None)), "end token"),
    ],
)
def test_a_bad_file(tmp_path: Path, raw: bytes | None, message: str) -> None:
    path = tmp_path / "model.gguf"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=message):
        LlamaModel(path, memory_bytes=MEMORY)


def test_a_path_that_is_not_utf8(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.gguf")
    path.symlink_to(tiny_path)
    with pytest.raises(ModelFileError, match="is not UTF-8") as caught:
        LlamaModel(path, memory_bytes=MEMORY)
    str(caught.value).encode()
    with pytest.raises(ModelFileError, match="is not UTF-8"):
        verify(path, memory_bytes=MEMORY)


def test_too_large_for_the_limit(tiny_path: Path) -> None:
    with pytest.raises(ModelMemoryError, match="the limit is 16 MiB"):
        LlamaModel(tiny_path, memory_bytes=16 * MIB)


def test_a_window_that_the_model_does_not_have(tiny_path: Path) -> None:
    with pytest.raises(ConfigError, match="512 to 1,024"):
        LlamaModel(tiny_path, memory_bytes=MEMORY, context_tokens=2_000)


def test_what_only_llama_cpp_refuses(tmp_path: Path) -> None:
    entries = build.metadata(architecture=("general.architecture", build.STRING, "llamb"))
    entries = [(key.replace("llama.", "llamb."), kind, content) for key, kind, content in entries]
    path = build.written(tmp_path, build.gguf(entries))
    with pytest.raises(ModelError, match="cannot load") as caught:
        LlamaModel(path, memory_bytes=MEMORY)
    assert "unknown model architecture" in str(caught.value)


def test_a_template_that_is_invalid(tmp_path: Path) -> None:
    entries = [*build.metadata(), ("tokenizer.chat_template", build.STRING, "{% for %}")]
    with pytest.raises(ModelError, match="template is invalid"):
        LlamaModel(build.written(tmp_path, build.gguf(entries)), memory_bytes=MEMORY)


def test_a_file_made_by_hand_loads(tmp_path: Path) -> None:
    """So that what the other files lack is why they are refused."""
    with LlamaModel(build.written(tmp_path, build.gguf()), memory_bytes=MEMORY) as zeros:
        assert complete(zeros, ask("x"))[0].completion_tokens > 0


def test_verify(tiny_path: Path, tmp_path: Path) -> None:
    assert verify(tiny_path, memory_bytes=MEMORY).name == "random-tiny"
    raw = bytearray(tiny_path.read_bytes())
    raw[-1_000:] = b"\xff" * 1_000  # halves that are no numbers
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(raw)
    with pytest.raises(ModelError, match="cannot load"):
        verify(damaged, memory_bytes=MEMORY)


# ------------------------------------------------------ ends of the process


def test_close_twice_leaves_no_process(tiny_path: Path) -> None:
    model = LlamaModel(tiny_path, memory_bytes=MEMORY)
    pid = model.pid
    model.close()
    assert gone(pid, within=0.0)
    model.close()
    with pytest.raises(ModelError, match="was closed"):
        complete(model, ask("x"))
    with pytest.raises(ModelError, match="was closed"):
        model.count_tokens("x")
    model.cancel()


def test_progress(tiny_path: Path) -> None:
    seen: list[float] = []
    LlamaModel(tiny_path, memory_bytes=MEMORY, progress=seen.append).close()
    assert seen == sorted(seen)
    assert seen
    assert seen[-1] == 1.0


def fatally(model: LlamaModel) -> LlamaModel:
    """The model, whose worker has no successor left."""
    model._workers.restarts_left = 0
    return model


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_killed_while_it_decodes(tiny_path: Path, how: signal.Signals) -> None:
    notices: list[str] = []
    with LlamaModel(tiny_path, memory_bytes=MEMORY, notice=notices.append) as model:
        pid = model.pid
        many = [ask(f"{n}", max_tokens=150) for n in range(40)]
        threading.Timer(0.2, os.kill, (pid, how)).start()
        # Once, a new worker takes its place, and the call goes on.
        assert {c.finish for c in complete(model, *many)} <= {"stop", "length"}
        assert gone(pid)
        assert len(notices) == 1
        assert how.name in notices[0]
        threading.Timer(0.2, os.kill, (model.pid, how)).start()
        with pytest.raises(WorkerDied, match=how.name):
            complete(model, *many)
        assert gone(model.pid)
        with pytest.raises(WorkerDied, match=how.name):
            complete(model, ask("x"))


def test_killed_under_several_callers(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        threading.Timer(0.2, os.kill, (model.pid, signal.SIGKILL)).start()
        requests = [ask(f"{n}", max_tokens=300) for n in range(8)]
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda one: complete(model, one), requests * 4))
        assert all(reply[0].finish in ("stop", "length") for reply in replies)
        assert model._workers.restarts_left == 0


def test_killed_while_it_is_idle(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        os.kill(model.pid, signal.SIGKILL)
        assert complete(model, ask("x"))[0].text
        os.kill(model.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            model.count_tokens("the")


def test_its_last_words_are_in_the_error(tmp_path: Path) -> None:
    """llama.cpp aborts on what the header's check cannot know."""
    with LlamaModel(build.written(tmp_path, build.gguf()), memory_bytes=MEMORY) as model:
        model._workers.worker._lines.append("GGML_ASSERT(n > 0) failed")
        os.kill(model.pid, signal.SIGABRT)
        with pytest.raises(WorkerDied, match=r"GGML_ASSERT\(n > 0\) failed"):
            complete(fatally(model), ask("x"))


def test_what_llama_cpp_says_of_its_work_is_not_in_the_error(tiny_path: Path) -> None:
    """It has a line for each tensor and each node of a graph."""
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        complete(model, ask("x"))
        os.kill(model.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied) as caught:
            complete(fatally(model), ask("x"))
    assert str(caught.value) == "the model's process died (signal SIGKILL)"


def test_a_worker_that_hangs_is_killed(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_local.llama.model.GRACE_SECONDS", 0.3)
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        pid = model.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerDied, match="did not answer in time"):
            complete(model, ask("x"), seconds=0.1)
        assert gone(pid)


MORE_THAN_A_PIPE_HOLDS = "the " * 100_000


def test_a_worker_that_does_not_take_a_long_prompt_is_killed(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_local.llama.model.GRACE_SECONDS", 0.3)
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        pid = model.pid
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(WorkerDied, match="did not answer in time"):
            complete(model, ask(MORE_THAN_A_PIPE_HOLDS), seconds=0.1)
        assert time.monotonic() - began < SOON
        assert gone(pid)
        assert complete(model, ask("x"))[0].text  # by its successor


def test_others_do_not_wait_for_ever_behind_a_long_prompt(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_local.llama.model.GRACE_SECONDS", 0.3)
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model, ThreadPoolExecutor(1) as pool:
        os.kill(model.pid, signal.SIGSTOP)
        patient = pool.submit(complete, fatally(model), ask(MORE_THAN_A_PIPE_HOLDS), seconds=600)
        time.sleep(0.3)
        with pytest.raises(WorkerDied, match="did not answer in time"):
            complete(model, ask("x"), seconds=0.1)
        with pytest.raises(WorkerDied, match="did not answer in time"):
            patient.result(SOON)


def test_closed_while_a_long_prompt_is_not_taken(tiny_path: Path) -> None:
    model = LlamaModel(tiny_path, memory_bytes=MEMORY)
    with ThreadPoolExecutor(1) as pool:
        os.kill(model.pid, signal.SIGSTOP)
        sending = pool.submit(complete, model, ask(MORE_THAN_A_PIPE_HOLDS), seconds=600)
        time.sleep(0.3)
        began = time.monotonic()
        model.close()
        assert time.monotonic() - began < SOON
        with pytest.raises(ModelError, match="was closed"):
            sending.result(SOON)


def test_closed_while_it_decodes(tiny_path: Path) -> None:
    model = LlamaModel(tiny_path, memory_bytes=MEMORY)
    endless = [ask(f"{n}", max_tokens=900) for n in range(200)]
    threading.Timer(0.2, model.close).start()
    with pytest.raises(ModelError, match="was closed"):
        complete(model, *endless)


def test_ctrl_c_is_not_the_workers(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        os.kill(model.pid, signal.SIGINT)
        assert complete(model, ask("x"))[0].text


def interrupt_in(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_ctrl_c_brings_back_what_there_is(slow_model: LlamaModel) -> None:
    complete(slow_model, ask("warm", max_tokens=2))
    interrupt_in(2.0)
    with pytest.raises(Interrupted) as caught:
        complete(slow_model, ask("x", max_tokens=3_000))
    (completion,) = caught.value.completions
    assert completion.finish == "deadline"
    assert completion.completion_tokens > 0
    assert complete(slow_model, ask("y", max_tokens=2))[0].completion_tokens == 2


def test_ctrl_c_while_the_worker_hangs(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        os.kill(model.pid, signal.SIGSTOP)
        interrupt_in(0.2)
        began = time.monotonic()
        with pytest.raises(Interrupted) as caught:
            complete(model, ask("x"), seconds=600)
        assert caught.value.completions == ()
        assert time.monotonic() - began < SOON


def test_ctrl_c_while_counting(tiny_path: Path) -> None:
    with LlamaModel(tiny_path, memory_bytes=MEMORY) as model:
        os.kill(model.pid, signal.SIGSTOP)
        interrupt_in(0.2)
        with pytest.raises(KeyboardInterrupt):
            model.count_tokens("x")
        os.kill(model.pid, signal.SIGCONT)
        assert model.count_tokens("the") == 1


ORPHAN = """
import os, sys
from pathlib import Path
from rlm_local.llama import LlamaModel
model = LlamaModel(Path(sys.argv[1]), memory_bytes=int(sys.argv[2]))
print(model.pid, flush=True)
os.kill(os.getpid(), int(sys.argv[3]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_worker_dies_with_its_parent(tiny_path: Path, how: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tiny_path), str(MEMORY), str(int(how))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -how
    assert gone(int(done.stdout), within=2.0, reaped=False)  # reaping is init's


def test_a_folder_on_the_way_is_not_imported(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker starts in the user's folder, where a numpy.py may lie."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    LlamaModel(tiny_path, memory_bytes=MEMORY).close()


def test_the_worker_imports_only_what_it_needs() -> None:
    """Its start is part of every first answer."""
    code = "import sys, rlm_local.llama.worker; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(run.stdout.split())
    assert "llama_cpp.llama_cpp" in loaded
    unwanted = {
        "wasmtime",
        "rich",
        "click",
        "mmap_ninja",
        "llama_cpp.llama",
        "diskcache",
        "asyncio",
    }
    assert not loaded & unwanted
