"""Whether a reply keeps to its JSON Schema, for servers that were asked for it and may not have.

Schemas come from a model's code, so this is no place for a validator that does whatever
a schema says: references that lead in circles, alternatives of alternatives and regular
expressions can keep one busy for years. What is checked is what our own grammar can
express, which the caller has made sure of, and the steps are counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

MOST_STEPS = 200_000
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def keeps_to(schema: Mapping[str, object], text: str) -> bool:
    """Whether `text` is JSON that `schema` admits. What takes too many steps to see does not."""
    try:
        return _Check(schema).admits(schema, json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return False


class _Check:
    def __init__(self, schema: Mapping[str, object]) -> None:
        self._root = schema
        self._steps = 0
        self._listed: dict[int, set[tuple[type, object]]] = {}  # of enums, what is no container

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise ValueError("too many steps")

    def admits(self, schema: object, value: object) -> bool:
        self._count()
        if not isinstance(schema, Mapping):
            return schema is True
        if "$ref" in schema:
            return self.admits(self._target(str(schema["$ref"])), value)
        if "const" in schema:
            return self._equal(schema["const"], value)
        if isinstance(values := schema.get("enum"), list):
            return self._one_of(values, value)
        for key in ("anyOf", "oneOf"):
            if isinstance(schemas := schema.get(key), list):
                return any(self.admits(each, value) for each in schemas)
        kinds = schema.get("type", [])
        names = [kinds] if isinstance(kinds, str) else kinds
        if isinstance(names, list) and names and not any(_is_of(name, value) for name in names):
            return False
        return self._fits(schema, value)

    def _one_of(self, values: list[object], value: object) -> bool:
        if isinstance(value, list | dict):
            return any(self._equal(each, value) for each in values)
        if (listed := self._listed.get(id(values))) is None:
            listed = {(type(each), each) for each in values if not isinstance(each, list | dict)}
            self._listed[id(values)] = listed
        return (type(value), value) in listed

    def _equal(self, one: object, other: object) -> bool:
        """As JSON has it: true is not 1."""
        self._count()
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(self._equal, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(
                self._equal(each, other[name]) for name, each in one.items()
            )
        return type(one) is type(other) and one == other

    def _fits(self, schema: Mapping[str, object], value: object) -> bool:
        match value:
            case dict():
                return self._object(schema, value)
            case list():
                return self._array(schema, value)
            case str():
                return _between(len(value), schema, "minLength", "maxLength")
            case int() | float() if not isinstance(value, bool):
                return _between(value, schema, "minimum", "maximum")
        return True

    def _object(self, schema: Mapping[str, object], value: dict[str, object]) -> bool:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        known = properties if isinstance(properties, Mapping) else {}
        if isinstance(required, list) and any(name not in value for name in required):
            return False
        # As our grammar has it: a schema that names properties has no others.
        others = False if known else schema.get("additionalProperties", True)
        return all(self.admits(known.get(name, others), each) for name, each in value.items())

    def _array(self, schema: Mapping[str, object], value: list[object]) -> bool:
        if isinstance(fixed := schema.get("prefixItems"), list) and fixed:
            return len(value) == len(fixed) and all(map(self.admits, fixed, value))
        item = schema.get("items", True)
        return _between(len(value), schema, "minItems", "maxItems") and all(
            self.admits(item, each) for each in value
        )

    def _target(self, pointer: str) -> object:
        target: object = self._root
        for step in filter(None, pointer.removeprefix("#").split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, Mapping) else None
        return target


def _is_of(name: object, value: object) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES.get(str(name), ()))


def _between(size: float, schema: Mapping[str, object], low: str, high: str) -> bool:
    least, most = schema.get(low), schema.get(high)
    return not (
        (isinstance(least, int | float) and size < least)
        or (isinstance(most, int | float) and size > most)
    )


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
