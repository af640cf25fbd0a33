"""Whether replies keep to schemas."""

from __future__ import annotations

import json
import time

import pytest

from rlm_local.remote.shape import keeps_to

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer"}},
    "required": ["name"],
}
COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 3}, ["0", "3"], ["-1", "4", "1.0", "true"]),
        ({"type": "number"}, ["1", "1.5e3"], ["NaN", '"1"', "false", "Infinity"]),
        ({"type": ["string", "null"]}, ['"x"', "null"], ["1", "[]"]),
        ({"type": "boolean"}, ["true"], ["1"]),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "null"], ['"b"', "true", "0"]),
        ({"const": {"a": 1}}, ['{"a": 1}'], ["{}"]),
        ({"const": [1, {"a": [True]}]}, ['[1, {"a": [true]}]'], ['[1, {"a": [1]}]', "[1]"]),
        ({"enum": [[1], {"a": None}, 2.5]}, ["[1]", '{"a": null}', "2.5"], ["[true]", "[]"]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, ["null", '""'], ["1"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"abc"'], ['"a"', '"abcd"']),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, ["[1]"], ["[]", '["x"]']),
        ({"prefixItems": [{"type": "null"}, {"type": "string"}]}, ['[null, ""]'], ["[null]"]),
        (PERSON, ['{"name": "x"}', '{"name": "x", "age": 3}'], ["{}", '{"name": ""}']),
        (PERSON, [], ['{"name": "x", "b": 1}', '{"name": "x", "age": "3"}', "[]"]),
        (COUNTS, ['{"a": 1}', "{}"], ['{"a": ""}']),
        (TREE, ["[]", "[[], [[]]]"], ["[[], [], []]", "[1]"]),
        ({}, ["1", '"x"', " [1, {}] "], ["", "{", "1 2", "hello"]),
    ],
)  # fmt: skip
def test_keeps_to(schema: dict[str, object], good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not keeps_to(schema, text)] == []
    assert [text for text in bad if keeps_to(schema, text)] == []


def test_schemas_that_would_take_for_ever() -> None:
    levels = 40
    twice = {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    schema = {"$ref": "#/$defs/l0", "$defs": {**twice, f"l{levels}": {"type": "null"}}}
    began = time.monotonic()
    assert not keeps_to(schema, "1")
    assert not keeps_to({"$ref": "#"}, "1")
    assert not keeps_to({}, "[" * 100_000)
    assert not keeps_to({"type": "array", "items": {"type": "null"}}, json.dumps([None] * 300_000))
    assert time.monotonic() - began < 60


def test_what_is_listed_is_not_gone_through_for_every_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check runs on the thread that keeps the deadlines of all calls."""
    labels = [f"label {number}" for number in range(1_000)]
    schema = {"type": "array", "items": {"enum": labels}}
    text = json.dumps([labels[-1]] * 1_000)
    written = 0
    dumps = json.dumps

    def counting(*arguments: object, **how: object) -> str:
        nonlocal written
        written += 1
        return dumps(*arguments, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(json, "dumps", counting)
    assert keeps_to(schema, text)
    assert written < 10_000


def test_long_constants_that_nearly_fit_are_steps_too() -> None:
    long = [1] * 10_000
    schema = {"anyOf": [{"const": [*long, number]} for number in range(100)]}
    assert keeps_to(schema, json.dumps([*long, 5]))
    assert not keeps_to(schema, json.dumps([*long, 50]))  # it would take half a million
