"""From messages to tokens: the template's marks are tokens, a document's are text."""

from __future__ import annotations

import signal
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.models import CHATML
from rlm_local.errors import ModelError
from rlm_local.llama.chat import PLAIN_STOPS, Chat, ChatFormat
from rlm_local.llama.engine import Tokens
from rlm_local.llama.modelfile import Special
from rlm_local.records import Message

START, END, THINK, BEGIN, STRIPS = range(1_000_000, 1_000_005)
SPECIALS = (
    Special(id=START, text="<|im_start|>", kind="control"),
    Special(id=END, text="<|im_end|>", kind="control"),
    Special(id=THINK, text="</think>", kind="user"),
    Special(id=BEGIN, text="<s>", kind="control"),
    Special(id=STRIPS, text="<|strips|>", kind="control"),
)
MARKS = ["<|im_start|>", "<|im_end|>", "</think>", "<s>"]


class Letters:
    """Tokens are code points, but for the user-defined `</think>`, as llama.cpp reads it."""

    def __init__(self, bos: int | None = None) -> None:
        self.bos = bos

    def tokenize(self, text: str) -> Tokens:
        found: list[int] = []
        for number, part in enumerate(text.split("</think>")):
            found += [THINK] * (number > 0) + [ord(letter) for letter in part]
        return np.array(found, np.int32)

    def piece(self, token: int) -> bytes:
        return chr(token).encode()

    def ends(self, token: int) -> bool:
        return token == END

    def strips(self, token: int) -> tuple[bool, bool]:
        return (token == STRIPS, token == STRIPS)


def chat(template: str = CHATML, bos: int | None = None) -> Chat:
    return Chat(Letters(bos), ChatFormat(template, SPECIALS, BEGIN, END))


def read(tokens: Tokens) -> list[int | str]:
    """Special tokens as numbers, text between them as strings."""
    found: list[int | str] = []
    for token in tokens.tolist():
        if token >= START:
            found.append(token)
        elif found and isinstance(found[-1], str):
            found[-1] += chr(token)
        else:
            found.append(chr(token))
    return found


def test_a_dialogue() -> None:
    messages = [Message("system", "Be brief."), Message("user", "Why?")]
    assert read(chat().tokens(messages)) == [
        *(START, "system\nBe brief.", END, "\n", START, "user\nWhy?", END, "\n"),
        *(START, "assistant\n"),
    ]


@given(st.lists(st.sampled_from([*MARKS, "<|im_", "end|>", "x", "<", "\n", "<|", "\ufdd0"])))
def test_a_document_cannot_speak_for_the_template(parts: list[str]) -> None:
    text = "".join(parts)
    template = CHATML + "{# </think> is known to this template #}"
    found = read(chat(template).tokens([Message("user", text)]))
    assert found == [START, f"user\n{text}", END, "\n", START, "assistant\n"]


def test_marks_inside_marks() -> None:
    text = "<|im_<|im_end|>end|><|im_end|><s<s>>"
    found = read(chat().tokens([Message("user", text)]))
    assert found == [START, f"user\n{text}", END, "\n", START, "assistant\n"]


def test_a_document_with_all_of_the_private_markers() -> None:
    text = "".join(map(chr, range(0xFDD0, 0xFDF0))) + "<|im_end|>"
    found = read(chat().tokens([Message("user", text)]))
    assert found == [START, f"user\n{text}", END, "\n", START, "assistant\n"]


def test_private_markers_that_would_make_a_prompt_of_gigabytes() -> None:
    """They must be broken up by something, but not by as much as the text is long, each time."""
    text = "".join(map(chr, range(0xFDD0, 0xFDF0))) + "<|im_end|>" * 4_000
    tracemalloc.start()
    found = chat().tokens([Message("user", text)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read(found) == [START, f"user\n{text}", END, "\n", START, "assistant\n"]
    assert peak < 64 << 20


@pytest.mark.parametrize("text", ["<|im_end|><|im_end|>", "<<|im_end|", "<s<s>", "[<s>INST][INST]"])
def test_marks_that_begin_in_many_ways(text: str) -> None:
    specials = (*SPECIALS, Special(id=STRIPS + 1, text="[INST]", kind="control"))
    many = Chat(Letters(), ChatFormat(CHATML, specials, BEGIN, END))
    found = read(many.tokens([Message("user", text)]))
    assert found == [START, f"user\n{text}", END, "\n", START, "assistant\n"]


def test_templates_work_on_the_text_itself() -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.content.split('</think>')[-1] | trim }}"
        "<|im_end|>{% endfor %}"
    )
    messages = [Message("assistant", "Hm.</think>  Yes. "), Message("user", "  <|im_end|> ")]
    assert read(chat(template).tokens(messages)) == [START, "Yes.", END, START, "<|im_end|>", END]


def test_the_beginning_is_there_once() -> None:
    assert read(chat(CHATML, bos=BEGIN).tokens([Message("user", "a")]))[:2] == [BEGIN, START]
    template = "{{ bos_token }}" + CHATML
    assert read(chat(template, bos=BEGIN).tokens([Message("user", "a")]))[:2] == [BEGIN, START]
    assert read(chat(template).tokens([Message("user", "a")]))[:2] == [BEGIN, START]


def test_marks_that_take_in_whitespace() -> None:
    template = "a <|strips|>\n {{ messages[0].content }}{{ eos_token }}"
    assert read(chat(template).tokens([Message("user", "b ")])) == ["a", STRIPS, "b ", END]


def test_without_a_template() -> None:
    plain = chat("")
    messages = [Message("system", "Be brief."), Message("user", "Why?")]
    assert read(plain.tokens(messages)) == [
        "### System:\nBe brief.\n\n### User:\nWhy?\n\n### Assistant:\n"
    ]
    assert plain.stops == PLAIN_STOPS
    assert chat().stops == ()


def test_a_template_without_system_messages() -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + CHATML
    )
    messages = [Message("system", "Be brief."), Message("user", "Why?")]
    assert read(chat(template).tokens(messages))[:3] == [START, "user\nBe brief.\n\nWhy?", END]


BROKEN = {
    "its own complaint": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "an undefined function": ("{{ nothing() }}", "UndefinedError"),
    "a division": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "a key": ("{{ {}['a'].b }}", "UndefinedError"),
    "an attack": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "a long loop": ("{% for i in range(10**9) %}x{% endfor %}", "OverflowError"),
    "a wrong type": ("{{ messages + 1 }}", "TypeError"),
    "nothing": ("{# silence #}", "empty prompt"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_template_that_fails(kind: str) -> None:
    template, message = BROKEN[kind]
    with pytest.raises(ModelError, match=message):
        chat(template).tokens([Message("user", "a")])


@pytest.mark.parametrize("template", ["{% for %}", "{{", "{% endif %}", "{{ a | nofilter }}"])
def test_a_template_that_is_invalid(template: str) -> None:
    with pytest.raises(ModelError, match="invalid"):
        chat(template)


def test_filters_that_templates_use() -> None:
    template = "{{ {'a': 'é<'} | tojson }}{{ strftime_now('%Y') }}{% break %}"
    template = "{% for i in [1] %}" + template + "{% endfor %}"
    (text,) = read(chat(template).tokens([Message("user", "a")]))
    assert isinstance(text, str)
    assert text.startswith('{"a": "é<"}20')


class Counting(Letters):
    calls = 0

    def tokenize(self, text: str) -> Tokens:
        self.calls += 1
        return super().tokenize(text)


def test_stretches_are_tokenized_once() -> None:
    vocabulary = Counting()
    formatter = Chat(vocabulary, ChatFormat(CHATML, SPECIALS, BEGIN, END))
    messages = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    formatter.tokens(messages[:1])
    first = vocabulary.calls
    formatter.tokens(messages)
    assert vocabulary.calls == first + 2


@pytest.mark.parametrize(("chars", "kept"), [(50, True), (51, False)])
def test_long_stretches_are_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch, chars: int, kept: bool
) -> None:
    monkeypatch.setattr("rlm_local.llama.chat._CACHED_CHARS", 100)
    vocabulary = Counting()
    formatter = Chat(vocabulary, ChatFormat("{{ messages[0].content }}", SPECIALS, BEGIN, END))

    def calls(text: str) -> int:
        before = vocabulary.calls
        formatter.tokens([Message("user", text)])
        return vocabulary.calls - before

    assert calls("a" * chars) == 1
    assert calls("b" * chars) == 1
    assert calls("a" * chars) == (0 if kept else 1)
    assert calls("c" * 1_000) == 1
    assert calls("c" * 1_000) == 0  # the last one is kept, however long


LOOP = "{% for n in range(99999) %}"
ENDLESS = {
    "loops": f"{LOOP}{LOOP}{{% endfor %}}{{% endfor %}}",
    "a number": "{% set n = messages|length + 6 %}{{ n ** (n ** n) }}",
    "a constant": "{{ 9 ** (9 ** 9) }}",
    "from the third message on": (
        f"{{% if messages[2] %}}{LOOP}{LOOP}{{% endfor %}}{{% endfor %}}{{% endif %}}x"
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_local.llama.chat.TEMPLATE_SECONDS", 0.2)
    messages = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    if "third" in name:
        assert chat(ENDLESS[name]).tokens(messages[:1]).size
    with pytest.raises(ModelError, match=r"did not come to its end within 0\.2 s"):
        chat(ENDLESS[name]).tokens(messages)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
