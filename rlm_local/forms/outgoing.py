"""A request as it goes to an engine: its text can be encoded, its form is one, a grammar.

This runs in the caller's process, so that a form that cannot be is refused at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from rlm_local.errors import FormError
from rlm_local.forms.gbnf import checked
from rlm_local.forms.schema import gbnf_of
from rlm_local.records import Message, Request

MOST_CHOICES = 1_000


def outgoing(request: Request, index: int) -> Request:
    """`request`, checked; its schema has become a grammar. Raises FormError."""
    _check_draws(request, index)
    asked = {
        "choices": bool(request.choices),
        "a schema": request.schema is not None,
        "a grammar": bool(request.grammar),
        "a block of code": request.block,
    }
    forms = [name for name, wanted in asked.items() if wanted]
    if len(forms) > 1:
        raise FormError(
            f"a reply was to keep to {' and to '.join(forms)}", hint="ask for one", index=index
        )
    try:
        return msgspec.structs.replace(
            request,
            messages=tuple(Message(m.role, encodable(m.content)) for m in request.messages),
            begun=encodable(request.begun),
            choices=_choices(request.choices),
            schema=None,
            grammar=_grammar(request),
        )
    except FormError as error:
        error.index = index
        raise


def encodable(text: str) -> str:
    """`text` as it can be UTF-8: lone surrogates become '?'."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _check_draws(request: Request, index: int) -> None:
    warm = 0 <= request.temperature < math.inf
    if warm and 0 < request.top_p <= 1 and 0 <= request.min_p <= 1:
        return
    raise FormError(
        f"temperature {request.temperature:g}, top_p {request.top_p:g}, min_p "
        f"{request.min_p:g} cannot be drawn with",
        hint="give a finite temperature from 0, a top_p above 0 and up to 1, a min_p of 0 to 1",
        index=index,
    )


def _choices(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > MOST_CHOICES:
        raise FormError(
            f"{len(texts):,} choices were given, and {MOST_CHOICES:,} are allowed",
            hint="choose in two steps, or ask for free text",
        )
    for text in texts:
        if not text or encodable(text) != text:
            raise FormError(f"the choice {text!r} cannot be said", hint="give a text")
    return texts


def _grammar(request: Request) -> str:
    schema: Mapping[str, object] | None = request.schema
    if schema is not None:
        return gbnf_of(schema)
    return checked(request.grammar)
