"""What a GBNF grammar must be before llama.cpp may read it.

llama.cpp ends its process, or needs all memory there is, on grammars that nest too
deep or repeat too much. So nesting and repetition are counted here first; whether
the grammar is right otherwise is for llama.cpp to say.
"""

from __future__ import annotations

import re

from rlm_local.errors import FormError

MOST_CHARS = 1 << 16
MOST_NESTED = 64
MOST_REPEATED = 2_000

# Literals, classes and comments may hold any mark; what else counts is one mark long.
_MARKS = re.compile(
    r"""
      "(?:\\.|[^"\\\n])*"            # a literal
    | \[(?:\\.|[^\]\\\n])*\]         # a class
    | \#[^\n]*                       # a comment
    | (?P<mark>[()])
    | \{\s*(?P<low>\d*)\s*(?:,\s*(?P<high>\d*))?\s*\}
    """,
    re.VERBOSE,
)


def checked(grammar: str) -> str:
    """`grammar`, if it may be read. Raises FormError."""
    if len(grammar) > MOST_CHARS:
        raise FormError(
            f"the grammar has {len(grammar):,} characters, and {MOST_CHARS:,} are allowed"
        )
    if "\0" in grammar or grammar.encode("utf-8", "replace").decode() != grammar:
        raise FormError("the grammar holds a null character or half a surrogate pair")
    depth = repeated = 0
    for match in _MARKS.finditer(grammar):
        depth += {"(": 1, ")": -1}.get(match["mark"] or "", 0)
        if depth > MOST_NESTED:
            raise FormError(f"the grammar nests deeper than {MOST_NESTED} parentheses")
        digits = [text for text in (match["low"], match["high"]) if text]
        if any(len(text) > 6 for text in digits):
            raise FormError(f"the grammar repeats {max(digits, key=len)[:20]} times")
        if len(digits) == 2 and int(digits[0]) > int(digits[1]):
            raise FormError(f"the grammar repeats from {digits[0]} to {digits[1]} times")
        repeated += max(map(int, digits), default=0)
    if repeated > MOST_REPEATED:
        raise FormError(
            f"the grammar's repetitions come to {repeated:,}, and {MOST_REPEATED:,} are allowed",
            hint="use * in place of a large number",
        )
    return grammar
