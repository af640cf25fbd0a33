"""Grammars that end llama.cpp's process are refused before it reads them."""

from __future__ import annotations

import pytest

from rlm_local.errors import FormError
from rlm_local.forms.gbnf import checked

KILLERS = {
    "nesting": ("root ::= " + "(" * 200_000 + '"a"' + ")" * 200_000, "65,536"),
    "nesting, shorter": ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "nests deeper"),
    "too many": ('root ::= "a"{99999}', "repetitions come to"),
    "absurd": ('root ::= "a"{99999999999}', "repeats 99999999999"),
    "null character": ('root ::= "a\0b"', "null character"),
}


@pytest.mark.parametrize("name", KILLERS)
def test_grammars_that_would_kill(name: str) -> None:
    text, message = KILLERS[name]
    with pytest.raises(FormError, match=message):
        checked(text)


def test_marks_inside_literals_and_comments_do_not_count() -> None:
    assert checked('root ::= "((((" [({] # ((((\n' * 100)
