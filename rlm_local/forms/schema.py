"""JSON Schema as a GBNF grammar: every text that the grammar takes, the schema admits.

The converse does not hold: properties come in the schema's order, and only those that
it names. A constraint that a grammar cannot hold (`pattern`, `multipleOf`, …) is
refused rather than ignored. `oneOf` is read as `anyOf`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rlm_local.errors import FormError
from rlm_local.forms.gbnf import checked

MOST_NESTED = 64
MOST_RULES = 4_000
MOST_NUMBERS = 1_000  # integers between a minimum and a maximum, spelled out

_PRIMITIVES = {
    "ws": r"[ \n\t]{0,12}",
    "string": r'"\"" char* "\""',
    "char": r'plain | "\\" (["\\/bfnrt] | "u" hex hex hex hex)',
    "plain": r"[\x20-\x21\x23-\x5B\x5D-\x7E\x80-\uD7FF\uE000-\U0010FFFF]",
    "hex": "[0-9a-fA-F]",
    "natural": '"0" | [1-9] [0-9]{0,15}',
    "integer": '"-"? natural',
    "number": 'integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws (pair ("," ws pair)*)? "}"',
    "pair": 'string ws ":" ws value ws',
    "array": '"[" ws (value ws ("," ws value ws)*)? "]"',
}
_EMPTY = '""'
_PLAIN = {
    *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"),
    *("examples", "deprecated", "readOnly", "writeOnly", "format"),
}
_TYPES = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}


def gbnf_of(schema: Mapping[str, object]) -> str:
    """The grammar, its first rule `root`. Raises FormError."""
    return _Converter(schema).grammar()


class _Converter:
    def __init__(self, schema: Mapping[str, object]) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}  # from a rule to its name
        self._references: dict[str, str] = {}  # from a pointer to its rule

    def grammar(self) -> str:
        root = self._rule_of(self._schema, 0)
        rules = {"root": root, **self._rules, **_PRIMITIVES}
        return checked("\n".join(f"{name} ::= {body}" for name, body in rules.items()))

    def _new(self, body: str) -> str:
        """The name of the rule for `body`: of equal ones it is the same."""
        if body not in self._names:
            self._names[body] = self._reserved(body)
        return self._names[body]

    def _reserved(self, body: str = "") -> str:
        """A name for a rule of its own, which may not be known yet."""
        if len(self._rules) >= MOST_RULES:
            raise FormError(f"the schema needs more than {MOST_RULES:,} rules")
        name = f"r{len(self._rules)}"
        self._rules[name] = body
        return name

    def _rule_of(self, schema: object, depth: int) -> str:
        """The name of the rule for `schema`."""
        if depth > MOST_NESTED:
            raise FormError(f"the schema nests deeper than {MOST_NESTED} levels")
        if schema is True:
            return "value"
        if not isinstance(schema, Mapping):
            raise FormError(f"a schema is an object, not {json.dumps(schema, default=str)[:40]}")
        asked = schema.keys() - _PLAIN
        if not asked:
            return "value"
        for key, convert in (
            ("$ref", self._reference),
            ("const", self._constant),
            ("enum", self._enumeration),
            ("anyOf", self._alternatives),
            ("oneOf", self._alternatives),
        ):
            if key in asked:
                _refuse(asked - {key, "type"})
                return convert(schema[key], depth)
        _refuse(asked - {"type"}.union(*_TYPES.values()))
        kinds = schema.get("type", _kind_by_keywords(asked))
        names = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(names, list) or not names or not all(map(_is_type, names)):
            raise FormError(f"the schema's type is {json.dumps(kinds, default=str)[:40]}")
        _refuse(asked - {"type"}.union(*(_TYPES[name] for name in names)))
        rules = [self._typed(name, schema, depth) for name in names]
        return rules[0] if len(rules) == 1 else self._new(_any_of(rules))

    def _typed(self, kind: str, schema: Mapping[str, object], depth: int) -> str:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string" if "minLength" in schema or "maxLength" in schema:
                least, most = _bounds(schema, "minLength", "maxLength")
                return self._new(rf'"\"" char{_repeated(least, most)} "\""')
            case "integer" if "minimum" in schema or "maximum" in schema:
                return self._integer(schema)
            case _:
                return kind

    def _object(self, schema: Mapping[str, object], depth: int) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        more = schema.get("additionalProperties", True)
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise FormError("the schema's properties are an object, and required is a list")
        # Any value may stand there, also one that cannot be looked up.
        if unknown := [n for n in required if not isinstance(n, str) or n not in properties]:
            raise FormError(f"the schema requires {unknown[0]!r}, which is not a property")
        if not properties:
            if more is False:
                return self._new('"{" ws "}"')
            member = self._new(f'string ws ":" ws {self._rule_of(more, depth + 1)} ws')
            return self._new(f'"{{" ws ({member} ("," ws {member})*)? "}}"')
        # From the last property to the first: what may stand where none has been
        # written yet, and what may follow one.
        first = later = _EMPTY
        for name in reversed(list(properties)):
            value = self._rule_of(properties[name], depth + 1)
            member = self._new(f'{_literal(name)} ws ":" ws {value} ws')
            firsts, laters = [f"{member} {later}"], [f'"," ws {member} {later}']
            if name not in required:
                firsts.append(first)
                laters.append(later)
            first, later = self._new(" | ".join(firsts)), self._new(" | ".join(laters))
        return self._new(f'"{{" ws {first} "}}"')

    def _array(self, schema: Mapping[str, object], depth: int) -> str:
        least, most = _bounds(schema, "minItems", "maxItems")
        fixed = schema.get("prefixItems", [])
        if not isinstance(fixed, list):
            raise FormError("the schema's prefixItems are a list")
        if fixed:
            if "items" in schema or "minItems" in schema or "maxItems" in schema:
                raise FormError("the schema gives prefixItems and more; give one of them")
            items = [self._rule_of(item, depth + 1) for item in fixed]
            return self._new('"[" ws ' + ' ws "," ws '.join(items) + ' ws "]"')
        item = self._rule_of(schema.get("items", True), depth + 1)
        if most == 0:
            return self._new('"[" ws "]"')
        rest = f'(ws "," ws {item})' + _repeated(max(0, least - 1), most and most - 1)
        body = f"{item} {rest} ws"
        return self._new('"[" ws ' + (body if least else f"({body})?") + ' "]"')

    def _integer(self, schema: Mapping[str, object]) -> str:
        least, most = schema.get("minimum"), schema.get("maximum")
        if least == 0 and most is None:
            return "natural"
        if type(least) is not int or type(most) is not int or not 0 <= most - least < MOST_NUMBERS:
            raise FormError(
                f"an integer from {least} to {most} is not supported",
                hint=f"give both ends, at most {MOST_NUMBERS:,} numbers, or only a minimum of 0",
            )
        return self._new(" | ".join(f'"{number}"' for number in range(least, most + 1)))

    def _reference(self, pointer: object, depth: int) -> str:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise FormError(f"the schema refers to {pointer!r}, and only #/… is followed")
        if pointer not in self._references:
            target: object = self._schema
            for step in filter(None, pointer[1:].split("/")):
                key = step.replace("~1", "/").replace("~0", "~")
                target = target.get(key) if isinstance(target, Mapping) else None
            if target is None:
                raise FormError(f"the schema refers to {pointer!r}, which is not there")
            # Named before it is read: it may refer to itself.
            name = self._references[pointer] = self._reserved()
            body = self._rules[name] = self._rule_of(target, depth + 1)
            while body in self._rules:
                if body == name:
                    raise FormError(f"the schema refers to {pointer!r}, which is only itself")
                body = self._rules[body]
        return self._references[pointer]

    def _constant(self, value: object, depth: int) -> str:
        return self._new(_literal(value))

    def _enumeration(self, values: object, depth: int) -> str:
        if not isinstance(values, list) or not values:
            raise FormError("the schema's enum is a list of at least one value")
        return self._new(_any_of(map(_literal, values)))

    def _alternatives(self, schemas: object, depth: int) -> str:
        if not isinstance(schemas, list) or not schemas:
            raise FormError("the schema's anyOf is a list of at least one schema")
        return self._new(_any_of(self._rule_of(schema, depth + 1) for schema in schemas))


def _any_of(alternatives: Iterable[str]) -> str:
    """One of these. Of equal ones llama.cpp would follow each, and in a rule that contains itself
    twice as many at each level."""
    return " | ".join(dict.fromkeys(alternatives))


def _is_type(name: object) -> bool:
    return isinstance(name, str) and name in _TYPES


def _kind_by_keywords(asked: Iterable[str]) -> str:
    """The type that keywords speak of, where a schema names none."""
    kinds = [kind for kind, keywords in _TYPES.items() if keywords.intersection(asked)]
    return kinds[0] if kinds else ""


def _refuse(keywords: set[str]) -> None:
    if keywords:
        raise FormError(
            f"the schema asks for {', '.join(map(repr, sorted(keywords)[:3]))}, which is not "
            "supported here",
            hint="leave it out, and check the reply in code",
        )


def _bounds(schema: Mapping[str, object], low: str, high: str) -> tuple[int, int | None]:
    least, most = schema.get(low, 0), schema.get(high)
    if type(least) is not int or least < 0 or (most is not None and type(most) is not int):
        raise FormError(f"the schema's {low} and {high} are whole numbers from 0 on")
    if most is not None and most < least:
        raise FormError(f"the schema's {high} is {most}, below its {low} of {least}")
    return least, most


def _repeated(least: int, most: int | None) -> str:
    if most is None:
        return f"{{{least},}}" if least else "*"
    return f"{{{least},{most}}}"


def _literal(value: object) -> str:
    """The JSON text of `value` as a GBNF literal."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
            text = json.dumps(value, allow_nan=False)  # lone surrogates can only be escaped
    except (TypeError, ValueError) as error:
        raise FormError(f"the schema holds a value that is not JSON: {error}") from None
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
