"""Replies bound to a form: choices, JSON Schema, GBNF; and forms that nobody should be given."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_local.errors import FormError, ModelError
from rlm_local.llama import LlamaModel
from rlm_local.llama.forms import FormPicker
from rlm_local.llama.sampling import Sampler
from rlm_local.records import Completion, Message, Request
from tests.llama import build
from tests.llama.conftest import MEMORY
from tests.llama.fake import END, SIZE, FakeVocabulary
from tests.llama.test_together import ask, complete


def formed(model: LlamaModel, prompt: str = "Say it.", **how: object) -> Completion:
    return complete(model, ask(prompt, **{"max_tokens": 200, **how}))[0]


# ------------------------------------------------------------------ choices


def test_a_reply_is_one_of_the_choices(model: LlamaModel) -> None:
    labels = ("where", "when", "who", "how many", "which one", "why not")
    requests = [ask(f"text {n}", choices=labels) for n in range(40)]
    replies = complete(model, *requests)
    assert {reply.text for reply in replies} <= set(labels)
    assert {reply.finish for reply in replies} == {"stop"}
    assert max(reply.completion_tokens for reply in replies) < 30


def test_labels_of_one_token_cost_the_prompt_alone(model: LlamaModel) -> None:
    labels = ("the", "of", "and", "to")
    assert {model.count_tokens(label) for label in labels} == {1}
    assert formed(model, choices=labels).completion_tokens == 0


def test_the_chosen_one_is_what_greedy_would_say(model: LlamaModel) -> None:
    others = ("the", "of", "and")
    tried = 0
    for question in ("Which?", "What?", "Who?", "Where?", "When?", "Why?", "How?"):
        label = formed(model, question, max_tokens=1).text
        if label.strip().isalnum() and label not in others:  # others are no text, or a blank
            tried += 1
            assert formed(model, question, choices=(*others, label)).text == label
    assert tried


def test_one_label_may_begin_another(model: LlamaModel) -> None:
    assert formed(model, choices=("no", "no idea", "no")).text in ("no", "no idea")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (("a", ""), "cannot be said"),
        (tuple(map(str, range(1_001))), "1,001 choices"),
        (("the" * 600,), "a choice has 600 tokens"),
    ],
)
def test_choices_that_cannot_be(model: LlamaModel, choices: tuple[str, ...], message: str) -> None:
    with pytest.raises(FormError, match=message) as caught:
        complete(model, ask("fine"), ask("x", choices=choices))
    assert caught.value.index == 1


def test_one_form_at_a_time(model: LlamaModel) -> None:
    with pytest.raises(FormError, match="choices and to a grammar"):
        formed(model, choices=("a",), grammar='root ::= "a"')


@pytest.mark.parametrize(
    "how", [{"temperature": -1.0}, {"temperature": math.inf}, {"top_p": 0.0}, {"min_p": 1.5}]
)
def test_what_cannot_be_drawn_with(model: LlamaModel, how: dict[str, float]) -> None:
    with pytest.raises(FormError, match="cannot be drawn with"):
        formed(model, **how)


# ------------------------------------------------------------------ schemas

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", 'b"', "é"]}, "maxItems": 3},
        "more": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    },
    "required": ["name", "tags"],
}


def admits(value: object) -> bool:
    """Whether PERSON admits `value`."""
    return (
        isinstance(value, dict)
        and {"name", "tags"} <= value.keys() <= PERSON["properties"].keys()  # type: ignore[attr-defined]
        and isinstance(value["name"], str)
        and len(value["name"]) <= 8
        and type(value.get("age", 0)) is int
        and value.get("age", 0) >= 0
        and isinstance(value["tags"], list)
        and len(value["tags"]) <= 3
        and set(value["tags"]) <= {"a", 'b"', "é"}
        and value.get("more") in (None, True, False)
    )


def test_a_reply_is_what_the_schema_admits(model: LlamaModel) -> None:
    """Random weights choose nothing of it by themselves."""
    requests = [
        ask(f"number {n}", schema=PERSON, temperature=1.5, seed=n, max_tokens=400)
        for n in range(30)
    ]
    replies = complete(model, *requests)
    whole = [reply for reply in replies if reply.finish == "stop"]
    assert len(whole) > 15
    for reply in whole:
        assert admits(json.loads(reply.text)), reply.text


def test_greedy_keeps_to_it_too(model: LlamaModel) -> None:
    reply = formed(model, schema={"type": "array", "items": {"const": 7}, "maxItems": 4})
    assert set(json.loads(reply.text)) <= {7}


def test_a_form_and_free_text_side_by_side(model: LlamaModel) -> None:
    free = formed(model, max_tokens=30).text
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(formed, model, schema={"type": "boolean"})
            if n % 2
            else pool.submit(formed, model, max_tokens=30)
            for n in range(8)
        ]
    assert {call.result().text.strip() for call in calls[1::2]} <= {"true", "false"}
    assert len(free) > 0


NESTED = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}}


def test_a_schema_may_refer_to_itself(model: LlamaModel) -> None:
    tree = {**NESTED, "$ref": "#/$defs/tree"}
    reply = formed(model, schema=tree, max_tokens=400)
    if reply.finish == "stop":
        assert isinstance(json.loads(reply.text), list)


def test_a_reference_to_nothing_but_itself(model: LlamaModel) -> None:
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    with pytest.raises(ModelError):
        formed(model, schema=loop)
    assert formed(model, max_tokens=2).text


LEAF = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "boolean"},
        {"enum": ["x", 'y"', 3, None, "\\", "\n", "é", "\ud800"]},
        {"const": {"a": [1, 2.5]}},
        {"type": ["null", "number"]},
        {},
    ]
)
SCHEMA = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 3}, inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda properties, some: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[:some],
            },
            st.dictionaries(st.text(max_size=4), inner, max_size=4),
            st.integers(0, 4),
        ),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(SCHEMA)
def test_whatever_the_schema_the_reply_is_json(
    model: LlamaModel, schema: Mapping[str, object]
) -> None:
    reply = formed(model, schema=dict(schema), temperature=1.0, max_tokens=300)
    if reply.finish == "stop":
        json.loads(reply.text)


# ------------------------------------------------------------------ grammars


def test_a_grammar(model: LlamaModel) -> None:
    reply = formed(model, grammar='root ::= "x" [0-9]{3} ("," [a-z]{2}){2}')
    assert len(reply.text) == 10
    assert (reply.text[0], reply.finish) == ("x", "stop")


BAD = {
    "unreadable": "root ::= (",
    "no root": 'start ::= "a"',
    "left recursion": 'root ::= root "a"',
    "undefined": "root ::= other",
    "not UTF-8 alone": 'root ::= "\ud800"',
    "empty class": "root ::= []",
    "bad escape": 'root ::= "\\x"',
    "words": "this is no grammar",
    "reversed": 'root ::= "a"{5,2}',
}


@pytest.mark.parametrize("name", BAD)
def test_grammars_that_are_refused_and_nothing_dies(model: LlamaModel, name: str) -> None:
    pid = model.pid
    with contextlib.suppress(FormError):
        formed(model, grammar=BAD[name], max_tokens=5)
    assert model.pid == pid
    assert formed(model, max_tokens=2).finish in ("stop", "length")


KILLERS = {
    "repetition": 'root ::= ("a"{1000}){1000}',
    "optional repetition": 'root ::= (("a"?){1,1000}){1,1000}',
}


@pytest.mark.parametrize("name", KILLERS)
def test_grammars_that_would_kill(own_model: LlamaModel, name: str) -> None:
    pid = own_model.pid
    began = time.monotonic()
    with contextlib.suppress(FormError):
        formed(own_model, grammar=KILLERS[name], max_tokens=5)
    assert time.monotonic() - began < 20
    assert own_model.pid == pid


@pytest.mark.slow
def test_a_grammar_that_llama_cpp_does_not_come_back_from(tmp_path: Path) -> None:
    """Two arrays of themselves that differ at their ends alone: at each level each stack of
    llama.cpp becomes two, and the time for a token four times as long."""
    array = {"type": "array", "items": {"$ref": "#"}}
    schema = {"anyOf": [array, {**array, "maxItems": 3}]}
    path = build.talker(tmp_path, [b"[" * count for count in range(1, 9)])
    with LlamaModel(path, memory_bytes=MEMORY) as model, ThreadPoolExecutor(2) as pool:
        pid = model.pid
        fine, bad = ask("Well?"), ask("Well?", schema=schema, max_tokens=200)
        culprit = pool.submit(complete, model, fine, bad, seconds=600)
        time.sleep(3)
        other = pool.submit(complete, model, fine, seconds=600)
        with pytest.raises(FormError, match="took more than 15 s") as caught:
            culprit.result()
        assert caught.value.index == 1
        assert other.result()[0].text.startswith("[[[")
        assert model.pid != pid


class OnlyThese:
    """A grammar of the test: one set of tokens after the other."""

    def __init__(self, *sets: set[int]) -> None:
        self.sets = list(sets)
        self.closed = False

    def allows(self, token: int) -> bool:
        return token in self.sets[0]

    def mask(self, logits: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        kept = np.full_like(logits, -np.inf)
        tokens = list(self.sets[0])
        kept[tokens] = logits[tokens]
        return kept

    def accept(self, token: int) -> None:
        assert self.allows(token)
        del self.sets[0]

    def close(self) -> None:
        self.closed = True


def row(best: int, second: int) -> np.ndarray:  # type: ignore[type-arg]
    logits = np.zeros(SIZE, np.float32)
    logits[[best, second]] = 5.0, 4.0
    return logits


def test_the_models_own_choice_where_it_may() -> None:
    picker = FormPicker(OnlyThese({3, 4}, {7, 9}, {END}), None, FakeVocabulary(), end=END)
    assert [picker(row(3, 4)), picker(row(3, 9)), picker(row(5, 6))] == [3, 9, END]


def test_the_end_where_nothing_may_follow() -> None:
    assert FormPicker(OnlyThese(set()), None, FakeVocabulary(), end=END)(row(1, 2)) == END


def test_drawing_within_a_form() -> None:
    picker = FormPicker(OnlyThese({7, 9}), Sampler(1.0, 3), FakeVocabulary(), end=END)
    assert picker(row(1, 2)) in (7, 9)


def test_no_part_of_a_letter_is_taken_from_damaged_weights() -> None:
    class Bytes(FakeVocabulary):
        def piece(self, token: int) -> bytes:
            return b"\xff" if token == 7 else super().piece(token)

    broken = np.full(SIZE, np.nan, np.float32)
    for sampler in (None, Sampler(1.0, 3)):
        picker = FormPicker(OnlyThese({7, 9}, {7}), sampler, Bytes(), end=END)
        assert [picker(broken), picker(broken)] == [9, END]


def test_many_forms_at_once(model: LlamaModel) -> None:
    requests = [ask("x", grammar='root ::= "a" | "b"', max_tokens=2) for _ in range(80)]
    assert {one.text for one in complete(model, *requests)} <= {"a", "b"}


def test_a_request_survives_the_way_to_the_worker() -> None:
    import msgspec

    request = Request(
        messages=(Message("user", "x"),), max_tokens=1, schema=PERSON, choices=("a",), node="0.1"
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=Request) == request
