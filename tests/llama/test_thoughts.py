"""Thoughts apart from replies: by any cut of the text, within their budget, and never read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.models import CHATML
from rlm_local.llama import LlamaModel
from rlm_local.llama.chat import Chat, ChatFormat
from rlm_local.llama.modelfile import Special, inspect
from rlm_local.llama.stream import TextStream
from rlm_local.records import Completion, Message
from rlm_local.thoughts import KNOWN, Marks, Thoughts, marks_of
from tests.llama import build
from tests.llama.conftest import MEMORY
from tests.llama.test_chat import Letters, read
from tests.llama.test_together import ask, complete

MARKS = Marks("<think>", "</think>")
USER_DEFINED, CONTROL = 4, 3


# ------------------------------------------------------------------ the parser


def told_apart(pieces: list[str], *, opened: bool = False) -> tuple[str, str]:
    thoughts = Thoughts(MARKS, opened=opened)
    text = "".join(map(thoughts.feed, pieces))
    text += thoughts.finish()
    return thoughts.text, text


def told_at_once(whole: str, *, opened: bool) -> tuple[str, str]:
    """The same by one regular expression."""
    marked = ("<think>" if opened else "") + whole
    found = re.match(r"(?s)(\s*<think>.*?(</think>|\Z))+\s*", marked)
    length = found.end() - (len(marked) - len(whole)) if found else 0
    return whole[:length], whole[length:]


@pytest.mark.parametrize(
    ("whole", "thought", "text"),
    [
        ("", "", ""),
        ("Yes.", "", "Yes."),
        (" \n Yes.", "", " \n Yes."),
        ("<think>Hm.</think>\n\nYes.", "<think>Hm.</think>\n\n", "Yes."),
        ("\n<think>\n</think>Yes.", "\n<think>\n</think>", "Yes."),
        ("<think>a</think> <think>b</think> c", "<think>a</think> <think>b</think> ", "c"),
        ("<think>no end", "<think>no end", ""),
        ("<think>no</thin", "<think>no</thin", ""),
        ("<think>a</think>\n", "<think>a</think>\n", ""),
        ("<thin", "", "<thin"),
        ("Say <think>x</think>.", "", "Say <think>x</think>."),
        ("<think>a</think>b<think>c", "<think>a</think>", "b<think>c"),
        ("</think>x", "", "</think>x"),
    ],
)
def test_thoughts_and_reply(whole: str, thought: str, text: str) -> None:
    assert told_apart([whole]) == (thought, text)
    assert told_apart(list(whole)) == (thought, text)


def test_a_thought_that_the_prompt_has_begun() -> None:
    assert told_apart(["Hm", ".</th", "ink>\n", "Yes."], opened=True) == ("Hm.</think>\n", "Yes.")
    assert told_apart(["Hm."], opened=True) == ("Hm.", "")


PARTS = st.sampled_from(
    ["<think>", "</think>", "<", "thi", "nk>", "</", " ", "\n", "x", "```", "é"]
)


@given(st.lists(PARTS), st.lists(st.integers(1, 9)), st.booleans())
def test_any_cut_gives_the_same(parts: list[str], sizes: list[int], opened: bool) -> None:
    whole = "".join(parts)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    found = told_apart([*pieces, whole[at:]], opened=opened)
    assert found == told_at_once(whole, opened=opened)
    assert "".join(found) == whole


@given(st.lists(PARTS), st.booleans())
def test_nothing_of_a_thought_is_read(parts: list[str], opened: bool) -> None:
    """Neither fences nor stops are looked for in it."""
    whole = "".join(parts)
    stream = TextStream(fence=True, stops=("x",), thoughts=Thoughts(MARKS, opened=opened))
    fed = next((n for n, part in enumerate(parts, 1) if stream.feed(part.encode())), None)
    thought, text = told_at_once(whole, opened=opened)
    if fed is None:
        assert (stream.finish(), stream.thought) == (text, thought)
    else:
        assert "x" in text
        assert stream.finish() == text[: text.index("x")]


def test_tokens_of_thoughts_are_counted() -> None:
    stream = TextStream(fence=False, thoughts=Thoughts(MARKS))
    for piece in (b"<think>", b"Hm", b".", b"</think>", b"\n\n", b"Yes", b"."):
        stream.feed(piece)
    assert (stream.thought_tokens, stream.text) == (5, "Yes.")


def test_who_thinks() -> None:
    assert marks_of("{{ content.split('</think>')[-1] }}", ()) == MARKS
    assert marks_of("", ("<think>", "</think>")) == MARKS
    assert marks_of("", ("<think>",)) is None
    assert marks_of(CHATML, ("<|im_end|>",)) is None
    for marks in KNOWN:
        assert marks_of(f"{marks.begin}{marks.end}", ()) == marks


# ------------------------------------------------------------------ the template

OPEN, CLOSE = 1_000_001, 1_000_002
SPECIALS = (
    Special(id=OPEN, text="<think>", kind="user"),
    Special(id=CLOSE, text="</think>", kind="user"),
)
QWEN = "{{ messages[-1].content }}|" + (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
R1 = "{{ messages[-1].content }}|{{ '<think>\n' }}"
OWN = "{{ messages[-1].content.split('</think>')[-1] }}|"


def prompted(template: str, specials: tuple[Special, ...] = SPECIALS, **how: object) -> object:
    chat = Chat(Letters(), ChatFormat(template, specials, None, 0))
    return read(chat.tokens([Message("user", "a")], **how))  # type: ignore[arg-type]


def test_a_template_is_told_not_to_think() -> None:
    assert prompted(QWEN) == ["a|", OPEN, "\n\n", CLOSE, "\n\n"]
    assert prompted(QWEN, thinking=True) == ["a|"]


def test_a_template_that_will_think_is_made_to_stop() -> None:
    assert prompted(R1, thinking=True) == ["a|", OPEN, "\n"]
    assert prompted(R1) == ["a|", OPEN, "\n\n", CLOSE, "\n\n"]


def test_one_that_leaves_it_to_the_model() -> None:
    assert prompted(OWN) == prompted(OWN, thinking=True) == ["a|"]


def test_marks_that_are_no_tokens() -> None:
    template = R1.replace("<think>", "[THINK]")
    assert prompted(template, ()) == ["a|[THINK]\n\n[/THINK]\n\n"]


def test_a_reply_that_has_begun() -> None:
    begun = "<think>Hm.</think>\n\nI look.\n```repl\n"
    assert prompted(OWN, thinking=True, begun=begun) == [
        *("a|", OPEN, "Hm.", CLOSE, "\n\nI look.\n```repl\n")
    ]


def test_a_template_that_takes_no_short_dialogue() -> None:
    template = "{% if messages | length < 2 %}{{ raise_exception('no') }}{% endif %}x</think>"
    chat = Chat(Letters(), ChatFormat(template, SPECIALS, None, 0))
    assert not chat.opens_thought(thinking=True)


# ------------------------------------------------------------------ real decoding

LINES = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
OPENS = LINES + "{% if enable_thinking %}<think>\n{% endif %}"
KNOWS = LINES + "{# <think></think> #}"


def says(folder: Path, said: list[bytes], template: str = KNOWS, **how: object) -> Completion:
    kinds = how.pop("kinds", None)
    path = build.talker(folder, said, template=template, kinds=kinds)  # type: ignore[arg-type]
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        assert model.info.thinks
        return complete(model, ask("Well?", **{"thought_tokens": 20, **how}))[0]


CODE = [b"```repl\n", b"FINAL(1)", b"\n``` ", b"FINAL(2)"]


@pytest.mark.parametrize("kind", [1, USER_DEFINED, CONTROL])
def test_code_in_a_thought_is_none(tmp_path: Path, kind: int) -> None:
    said = [b"<think>", *CODE, b"</think>", b"\n\n", b"Yes."]
    kinds = {"<think>": kind, "</think>": kind}
    reply = says(tmp_path, said, stop="fence", kinds=kinds)
    assert reply.thought == b"".join(said[:-1]).decode()
    assert (reply.text, reply.finish) == ("Yes.", "stop")
    assert (reply.thought_tokens, reply.completion_tokens) == (7, 9)


def test_code_after_a_thought_ends_the_turn(tmp_path: Path) -> None:
    said = [b"<think>", b"Hm", b"</think>", b"\n\n", b"So\n", b"```repl\n", b"x", b"\n```", b" y"]
    reply = says(tmp_path, said, stop="fence")
    assert (reply.thought, reply.text) == ("<think>Hm</think>\n\n", "So\n```repl\nx\n```")


def test_a_thought_is_closed_at_its_budget(tmp_path: Path) -> None:
    """The template has opened it; after the forced end the model begins anew."""
    reply = says(tmp_path, [b"a", b" b", b" c", b" d", b" e"], OPENS, thought_tokens=3)
    assert (reply.thought, reply.text) == ("a b c\n</think>\n\n", "a b c d e")
    assert reply.finish == "stop"
    kinds = {"<think>": USER_DEFINED, "</think>": USER_DEFINED}
    again = says(tmp_path, [b"a", b" b", b" c"], OPENS, thought_tokens=2, kinds=kinds)
    assert (again.thought, again.text) == ("a b\n</think>\n\n", "a b c")
    assert again.thought_tokens == 2 + 4  # a line break, the mark, two line breaks


def test_an_end_within_a_thought_ends_the_thought(tmp_path: Path) -> None:
    reply = says(tmp_path, [b"a", b" b"], OPENS)
    assert (reply.thought, reply.text, reply.finish) == ("a b\n</think>\n\n", "a b", "stop")


def test_the_reply_has_its_own_length(tmp_path: Path) -> None:
    reply = says(tmp_path, [b"a", b" b", b" c", b" d"], OPENS, thought_tokens=2, max_tokens=3)
    assert (reply.text, reply.finish) == ("a b c", "length")


def test_no_budget_no_thought(tmp_path: Path) -> None:
    assert says(tmp_path, [b"a", b" b"], OPENS, thought_tokens=0).thought == ""
    always = LINES + "<think>\n"
    reply = says(tmp_path, [b"a", b" b"], always, thought_tokens=0)
    assert (reply.thought, reply.text) == ("", "a b")  # it was closed in the prompt
    assert says(tmp_path, [b"a"], always, grammar='root ::= "xy"').text == "xy"
    chosen = says(tmp_path, [b"a"], always, choices=("b", "a", "c"))
    assert (chosen.text, chosen.thought, chosen.completion_tokens) == ("a", "", 0)


def test_a_model_that_begins_to_think_again_and_again(tmp_path: Path) -> None:
    reply = says(tmp_path, [b"<think>", b"a", b" b"], thought_tokens=2, max_tokens=40)
    assert (reply.text, reply.finish) == ("", "length")
    assert reply.completion_tokens < 80


def test_a_limit_within_a_thought(tmp_path: Path) -> None:
    path = build.talker(tmp_path, [b"a", b" b", b" c", b" d"], template=OPENS)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        request = ask("Well?", thought_tokens=20)
        whole = complete(model, request)[0]
        limit = whole.prompt_tokens + 2
        cut = complete(model, ask("Well?", thought_tokens=20, dialogue="x"), token_limit=2)[0]
        assert (cut.text, cut.finish, cut.work_tokens) == ("", "tokens", 2)
        assert limit > 2


def test_a_window_too_small_for_both(tmp_path: Path) -> None:
    path = build.talker(tmp_path, [b"a", b" b", b" c", b" d"], template=OPENS)
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        window = model.info.context_tokens
        reply = complete(model, ask("x" * (window - 60), thought_tokens=400, max_tokens=400))[0]
        assert reply.prompt_tokens + reply.completion_tokens <= window


def test_models_without_thoughts_are_as_they_were(tmp_path: Path) -> None:
    path = build.talker(tmp_path, [b"<think>", b"x", b"</think>"])
    assert marks_of(inspect(path).template, ()) is None
    with LlamaModel(path, memory_bytes=MEMORY) as model:
        assert not model.info.thinks
        reply = complete(model, ask("Well?", thought_tokens=1))[0]
    assert (reply.text, reply.thought) == ("<think>x</think>", "")
