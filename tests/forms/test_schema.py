"""Schemas that no grammar holds are refused."""

from __future__ import annotations

import math

import pytest

from rlm_local.errors import FormError
from rlm_local.forms.schema import gbnf_of


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "a+"}, "'pattern'"),
        ({"type": "number", "minimum": 3}, "'minimum'"),
        ({"type": "integer", "minimum": 3}, "from 3 to None"),
        ({"type": "thing"}, "type is"),
        ({"type": []}, "type is"),
        ({"type": [["string"]]}, "type is"),
        ({"type": [{}]}, "type is"),
        ({"enum": []}, "at least one"),
        ({"$ref": "#/nowhere"}, "not there"),
        ({"$ref": "http://example.org"}, "only #/"),
        ({"$ref": "#"}, "'#', which is only itself"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            },
            "which is only itself",
        ),
        ({"properties": {"a": False}}, "a schema is an object"),
        ({"required": ["a"]}, "not a property"),
        ({"properties": {"a": {}}, "required": [["a"]]}, "not a property"),
        ({"type": "string", "minLength": 9, "maxLength": 2}, "below"),
        ({"type": "array", "minItems": -1}, "whole numbers"),
        ({"type": "string", "maxLength": 5_000}, "repetitions come to"),
        ({"const": math.nan}, "not JSON"),
        ({"allOf": [{}]}, "'allOf'"),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, object], message: str) -> None:
    with pytest.raises(FormError, match=message):
        gbnf_of(schema)


def test_a_schema_that_nests_too_deep() -> None:
    schema: dict[str, object] = {"type": "null"}
    for _ in range(80):
        schema = {"type": "array", "items": schema}
    with pytest.raises(FormError, match="deeper than 64"):
        gbnf_of(schema)


TREE = {"type": "array", "items": {"$ref": "#"}}


@pytest.mark.parametrize(
    ("schema", "alternatives"),
    [
        ({"anyOf": [TREE, dict(TREE)]}, 1),
        ({"anyOf": [TREE, {**TREE, "maxItems": 2}]}, 2),
        ({"anyOf": [{"const": 1}, {"const": True}, {"const": 1}]}, 2),
        ({"type": ["null", "null"]}, 1),
        ({"enum": ["a", "b", "a"]}, 2),
    ],
)
def test_equal_alternatives_are_one(schema: dict[str, object], alternatives: int) -> None:
    """llama.cpp follows each of them: of those that contain themselves twice as many a level."""
    rules = gbnf_of(schema).split("ws ::= ")[0].splitlines()
    assert max(rule.count(" | ") for rule in rules) + 1 == alternatives
