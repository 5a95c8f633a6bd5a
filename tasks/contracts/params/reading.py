"""Read ``params.yaml``, and say in one line what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from tasks.contracts.errors import UserError
from tasks.contracts.nearest import listed, nearest_key
from tasks.contracts.params.forms import field_schema, in_words, key_length, right_form
from tasks.contracts.params.sections import Section

FILE = Path("params.yaml")
_Seed = Annotated[int, Field(ge=0)]
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument")
_MOST_SHOWN = 80  # characters of a wrong value


def read_section(stage: str, kind: type[Section], path: Path = FILE) -> tuple[Section, int]:
    """Read one stage's section and the root seed, and no other section.

    A stage so depends on its own settings alone: a change of another section's type makes no
    stage stale but that one's.

    Raises:
        UserError: no such file, no YAML, or a value that the section refuses.
    """
    values = read_values(path)
    for key in (stage, "seed"):
        if key not in values:
            raise _lacking(f"{path}: {key}")
    section = checked(kind, values[stage], str(path), prefix=stage)
    return section, checked(_Seed, values["seed"], str(path), prefix="seed")


def read_setting(key: str, kind: Any, path: Path = FILE) -> Any:
    """Read one value by its dotted key, and no other, as what pydantic makes of it.

    Raises:
        UserError: no such file, no YAML, no such key, or a value of another type.
    """
    value: Any = read_values(path)
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise _lacking(f"{path}: {key}")
        value = value[name]
    return checked(kind, value, str(path), prefix=key)


def read_values(path: Path) -> dict[str, Any]:
    """Return the plain values of the file.

    Raises:
        UserError: no such file, no YAML, or no sections in it.
    """
    if not path.is_file():
        raise UserError(str(path), "no such file", "Run from the project's root folder")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"not readable as YAML ({error})", "Mend the file") from None
    if not isinstance(values, dict):
        raise UserError(
            str(path), "holds no sections", "Restore it with `git checkout params.yaml`"
        )
    return values


def checked(kind: Any, value: Any, name: str, prefix: str = "") -> Any:
    """Return a value as what pydantic makes of it.

    Args:
        kind: a type.
        value: plain, as YAML gives it.
        name: of the file.
        prefix: dotted key of the value in the file; empty for all of it.

    Raises:
        UserError: an unknown key (the nearest valid one is named), a missing key, or a value of
            the wrong type or range.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _explained(error, kind, value, name, prefix) from None


def _explained(error: ValidationError, kind: Any, value: Any, name: str, prefix: str) -> UserError:
    """Turn one of pydantic's findings into thing, reason and mend.

    An unknown key comes first: a mistyped one is also missing under its right name.
    """
    findings = error.errors(include_url=False)
    finding = next((one for one in findings if one["type"] in _UNKNOWN), findings[0])
    inner = [str(part) for part in finding["loc"]]
    keys = inner if finding["type"] in _UNKNOWN else inner[: key_length(kind, inner)]
    path = [*filter(None, [prefix]), *keys]
    thing = f"{name}: {'.'.join(path) or name}"
    if finding["type"] in _UNKNOWN:
        return _unknown(thing, path, _keys_of(kind, inner[:-1]), name)
    if finding["type"] in _MISSING:
        return _lacking(thing)
    schema, given = field_schema(kind, keys), _given(value, keys)
    takes = f"it takes {in_words(schema)} (given: {_shown(given)})"
    reason = {
        "value_error": finding["msg"].removeprefix("Value error, "),
        "finite_number": f"the number must be finite: {takes}",
    }.get(finding["type"], takes)
    meant = right_form(schema, given)
    return UserError(thing, reason, f"Write it as {meant}" if meant else "Correct the value")


def _given(value: Any, keys: Sequence[str]) -> Any:
    """Return what stands in the file at a dotted key; of a list, pydantic shows a part."""
    for key in keys:
        value = value[key]
    return value


def _shown(given: Any) -> str:
    """Return a value as it is written in the file, and no more of it than a line takes."""
    text = " ".join(yaml.safe_dump(given, default_flow_style=True, width=10**6).split())
    text = text.removesuffix(" ...")
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} …"


def _unknown(thing: str, path: Sequence[str], known: Sequence[str], name: str) -> UserError:
    near = nearest_key(path[-1], known)
    if near is None:
        where = ".".join(path[:-1])
        keys = f"{where} takes {listed(known)}" if where else f"There are {listed(known)}"
        return UserError(thing, "unknown key", f"Remove it, or write another. {keys}")
    nearest = ".".join([*path[:-1], near])
    return UserError(thing, "unknown key", f"The nearest valid key is {nearest}")


def _lacking(thing: str) -> UserError:
    return UserError(thing, "missing", "Add it; `git diff params.yaml` shows what is gone")


def _keys_of(kind: Any, path: Sequence[str]) -> list[str]:
    """Return the valid keys of the section at ``path`` below a type."""
    for name in path:
        kind = _fields(kind)[name].annotation
    return list(_fields(kind))


def _fields(kind: Any) -> Mapping[str, Any]:
    """Fields of a pydantic model, or of one of pydantic's dataclasses."""
    fields: Mapping[str, Any] = getattr(kind, "__pydantic_fields__", {})
    return fields
