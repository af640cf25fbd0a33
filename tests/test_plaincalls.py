"""What a plain call can use at most."""

from __future__ import annotations

import pytest

from rlm_local.limits import Limits
from rlm_local.model import ScriptedModel
from rlm_local.plaincalls import TEMPLATE_TOKENS, most_tokens
from rlm_local.records import Message, Request


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("", 0), ("x" * 8_000, 8_000), ("é" * 100, 200), ("€\ud800", 6), ("😀" * 9, 36)],
)
def test_a_token_takes_a_byte_at_least(text: str, bytes_: int) -> None:
    info = ScriptedModel().info
    messages = (Message("user", text),)
    request = Request(messages=messages, max_tokens=50, thought_tokens=7)
    assert most_tokens(request, info) == bytes_ + TEMPLATE_TOKENS + 50


def test_nothing_uses_more_than_the_window() -> None:
    request = Request(messages=(Message("user", "x" * 40_000),), max_tokens=50)
    assert most_tokens(request, ScriptedModel(context_tokens=9_000).info) == 9_000


def test_hundreds_of_pieces_are_asked_at_once() -> None:
    """Under the usual limits, so that they are computed in one batch."""
    limits, info = Limits(), ScriptedModel().info
    request = Request(messages=(Message("user", "x" * 8_000),), max_tokens=limits.sub_call_tokens)
    assert 300 * most_tokens(request, info) < 0.75 * limits.tokens
