"""Replies that are bound to a form: what code asks for is what the model's request says."""

from __future__ import annotations

import pytest

from rlm_local.errors import FormError
from rlm_local.records import CallRaised, Event, Request
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
