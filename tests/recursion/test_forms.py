"""Replies that are bound to a form: what code asks for is what the model's request says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rlm_local.errors import FormError
from rlm_local.model import ScriptedModel
from rlm_local.records import CallRaised, Completion, Event, Request, StopReason, SubCalled
from tests.recursion.conftest import Asker, by_depth

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def obedient(request: Request) -> str:
    """The last choice, or what the schema admits, or what else was asked."""
    if request.choices:
        return request.choices[-1]
    return '{"n": 1}' if request.schema is not None else request.messages[0].content


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("FINAL(llm_query('p', choices=['yes', 'no']))", "no"),
        ("FINAL(llm_query_batched(['p', 'q'], choices=('a', 'b')))", "['b', 'b']"),
        (f"FINAL(llm_query('p', schema={SCHEMA!r}))", '{"n": 1}'),
        ("FINAL(await llm_query('p', choices=['yes', 'no']))", "no"),
        ("FINAL(await llm_query_batched_async(['p', 'q'], choices=['a', 'b']))", "['b', 'b']"),
        (
            "import asyncio\n"
            "asked = [llm_query_async('p', choices=['a']), llm_query_async('q'),\n"
            "         llm_query_async('r', choices=['b']), llm_query_async('s', choices=['a'])]\n"
            "FINAL(await asyncio.gather(*asked))",
            "['a', 'q', 'b', 'a']",
        ),
    ],
)
def test_forms_reach_the_model(ask: Asker, code: str, text: str) -> None:
    assert ask(by_depth(code), obedient).text == text


@pytest.mark.parametrize(
    "call",
    [
        "llm_query('p', choices='yes')",
        "llm_query('p', choices=[])",
        "llm_query('p', choices=['a', 3])",
        "llm_query('p', schema='{}')",
        "llm_query('p', choices=['a'], schema={})",
        "llm_query('p', grammar='root ::= x')",
    ],
)
def test_a_form_that_is_none_is_an_exception(ask: Asker, call: str) -> None:
    code = f"try: {call}\nexcept TypeError as e: FINAL('refused')"
    assert ask(by_depth(code), obedient).text == "refused"


def test_a_form_that_cannot_be_kept_to_is_the_codes_mistake(
    ask: Asker, events: list[Event]
) -> None:
    def refuses(request: Request) -> str:
        if request.schema is not None:
            raise FormError("the schema has no end", hint="bound it")
        return request.messages[0].content

    code = (
        "import asyncio\n"
        "try: llm_query('p', schema={'a': 1})\n"
        "except ValueError as e: said = [str(e)]\n"
        "asked = [llm_query_async('q'), llm_query_async('r', schema={})]\n"
        "said += await asyncio.gather(*asked, return_exceptions=True)\n"
        "FINAL([str(each) for each in said])"
    )
    answer = ask(by_depth(code), refuses)
    refusal = "the schema has no end; bound it"
    assert answer.text == str([refusal, "q", refusal])
    assert [event.index for event in events if isinstance(event, CallRaised)] == [-1, 0]


def test_long_choices_are_no_limit_of_the_run(ask: Asker) -> None:
    """They take more tokens than any other reply may have."""
    code = "FINAL(len(llm_query('p', choices=['no ' * 1_700, 'yes ' * 1_700])))"
    answer = ask(by_depth(code), obedient)
    assert (answer.text, answer.stop) == ("6800", StopReason.ANSWERED)


class Miscounting(ScriptedModel):
    """Takes more tokens than anybody had thought to ask 'p', and so stops."""

    def _complete(self, request: Request) -> Completion:
        done = super()._complete(request)
        is_p = not request.dialogue and request.messages[0].content == "p"
        return replace(done, finish="tokens") if is_p else done


@pytest.mark.parametrize("call", ["llm_query_batched(['q', 'p'])", "submit('p').result()"])
def test_what_was_set_aside_for_a_call_is_no_limit_of_the_run(ask: Asker, call: str) -> None:
    code = f"try: {call}\nexcept ValueError as error: FINAL(error)"
    answer = ask(model=Miscounting(by_depth(code), lambda request: request.messages[0].content))
    assert answer.stop is StopReason.ANSWERED
    assert answer.text.startswith("the model needs more tokens than are set aside for such a call")


def test_a_schema_with_a_long_text_is_read_and_recorded(ask: Asker, events: list[Event]) -> None:
    """Long texts are handed over by their place, which means nothing once the call is over."""
    code = "FINAL(llm_query('p', schema={'type': 'integer', 'description': 'x' * 100_000}))"
    assert ask(by_depth(code), lambda _: "5").text == "5"
    [called] = [event for event in events if isinstance(event, SubCalled)]
    assert called.schema == {"type": "integer", "description": "x" * 100_000}


@pytest.mark.parametrize(("chars", "said"), [(1 << 20, "5"), ((1 << 20) + 1, "1,048,576 are")])
def test_the_texts_of_a_schema_have_a_bound(ask: Asker, chars: int, said: str) -> None:
    code = (
        f"schema = {{'type': 'integer', 'examples': ['x' * 100_000, 'x' * {chars - 100_000}]}}\n"
        "try: FINAL(llm_query('p', schema=schema))\nexcept ValueError as e: FINAL(e)"
    )
    assert said in ask(by_depth(code), lambda _: "5").text


@pytest.mark.parametrize("levels", range(900, 1000, 5))
def test_values_that_nest_deep_are_the_codes_mistake(ask: Asker, levels: int) -> None:
    """Forged, since the guest's own JSON does not go so deep. What can be read in the host
    must not be too deep for what comes after."""
    code = (
        "import _rlm\n"
        f"deep = b'[' * {levels} + b']' * {levels}\n"
        'schema = b\'["p", {"schema": {"default": \' + deep + b\'}}]\'\n'
        "share = b'[[\"q\"], ' + deep + b']'\n"
        "said = [_rlm.call(b'{\"name\": \"' + name + b'\", \"arguments\": ' + each + b'}')\n"
        "        for name, each in ((b'llm_query', schema), (b'rlm_query', share))]\n"
        "FINAL([each[:22] for each in said])"
    )
    assert ask(by_depth(code), obedient).text == str([b'{"error":["ValueError"'] * 2)


def test_a_child_is_asked_what_is_not_quite_text(ask: Asker) -> None:
    child = "FINAL([len(question), ascii(question[-1])])"
    answer = ask(by_depth("FINAL(rlm_query('x' * 100_000 + chr(0xD800), 'text'))", child), depth=2)
    assert answer.text == str([100_001, r"'\ud800'"])
