"""What a setting takes, in words, and the form to write it in, from its type's JSON schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from pydantic import TypeAdapter

from tasks.contracts.nearest import nearest

Schema = Mapping[str, Any]
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_NOTHING = ("none", "nil", "~")

_PLAIN = {
    "string": ("text", "texts"),
    "boolean": ("true or false", "values true or false"),
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "null": ("null", "nulls"),
    "object": ("a section of its own keys", "sections"),
}


def field_schema(kind: Any, path: Sequence[str]) -> Schema:
    """Return the JSON schema of the value at ``path`` below a type; parts that name no key end it.

    Of a union or a list pydantic's own path goes on (``tuple[...]``, a position): the setting is
    the last key on it.
    """
    whole = _schema(kind)
    schema = _resolved(whole, whole)
    for name in path:
        if name not in schema.get("properties", {}):
            break
        schema = _resolved(schema["properties"][name], whole)
    return schema


def key_length(kind: Any, path: Sequence[str]) -> int:
    """Return how many parts at the beginning of ``path`` are keys."""
    whole = _schema(kind)
    schema = _resolved(whole, whole)
    for length, name in enumerate(path):
        if name not in schema.get("properties", {}):
            return length
        schema = _resolved(schema["properties"][name], whole)
    return len(path)


@cache  # of the whole line it takes longer to make than all else that a refusal does
def _schema(kind: Any) -> Schema:
    schema: Schema = TypeAdapter(kind).json_schema()
    return schema


def in_words(schema: Schema) -> str:
    """Return what a schema takes: ``a whole number of at least 2, or null``."""
    if "anyOf" in schema:
        return ", or ".join(in_words(one) for one in schema["anyOf"])
    if choices := _choices(schema):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        some = {0: "a list", 1: "a list of one or more"}.get(least, f"a list of {least} or more")
        return f"{some}{' of' if least == 0 else ''} {_plural(schema.get('items', {}))}"
    return f"{_PLAIN.get(schema.get('type', ''), ('another value', ''))[0]}{_range(schema)}"


def right_form(schema: Schema, given: Any) -> str | None:
    """Return how ``given`` was probably meant, as YAML to write, or None if that is not clear."""
    for one in schema.get("anyOf", [schema]):
        kind, choices = one.get("type"), _choices(one)
        meant: Any = None
        if choices:
            meant = nearest(str(given), choices)
        elif kind == "null" and str(given).lower() in _NOTHING:
            return "null"
        elif kind == "array":
            meant = _as_list(one, given)
        elif kind in ("number", "integer") and isinstance(given, str) and given.count(",") == 1:
            meant = yaml.safe_load(given.replace(",", "."))  # a decimal comma
        elif kind == "string" and isinstance(given, (int, float)):
            meant = str(given)
        if (
            meant is not None
            and meant != given
            and (choices or kind == "array" or _fits(one, meant))
        ):
            return _written(meant)
    return None


def _as_list(schema: Schema, given: Any) -> list[Any] | None:
    """Return a list of what was given without brackets, each name the nearest that there is."""
    try:
        items = yaml.safe_load(f"[{given}]") if isinstance(given, str) else given
    except yaml.YAMLError:
        return None
    items, of = items if isinstance(items, list) else [items], schema.get("items", {})
    if choices := _choices(of):
        items = [nearest(str(item), choices) for item in items]
    fit = len(items) >= max(1, schema.get("minItems", 0)) and all(_fits(of, i) for i in items)
    return items if fit else None


def _written(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.strip().removesuffix("...").strip()


def _fits(schema: Schema, value: Any) -> bool:
    if choices := _choices(schema):
        return str(value) in choices
    kind = schema.get("type", "")
    if not isinstance(value, _PYTHON.get(kind, ())):
        return False
    return kind not in ("integer", "number") or (
        not isinstance(value, bool)
        and value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and value != schema.get("exclusiveMinimum")
        and value >= schema.get("exclusiveMinimum", value)
        and value != schema.get("exclusiveMaximum")
        and value <= schema.get("exclusiveMaximum", value)
    )


def _plural(schema: Schema) -> str:
    if choices := _choices(schema):
        return f"names out of {', '.join(choices)}"
    return f"{_PLAIN.get(schema.get('type', ''), ('', 'values'))[1]}{_range(schema)}"


def _choices(schema: Schema) -> list[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [str(value) for value in values]


def _range(schema: Schema) -> str:
    bounds = (
        ("minimum", "of at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "of at most"),
        ("exclusiveMaximum", "below"),
    )
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:g} to {schema['maximum']:g}"
    told = [f"{words} {schema[name]:g}" for name, words in bounds if name in schema]
    return f" {' and '.join(told)}" if told else ""


def _resolved(schema: Schema, whole: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    return found
