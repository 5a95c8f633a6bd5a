"""Read ``params.yaml``, and say in one line what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from tasks.contracts.errors import UserError
from tasks.contracts.params.sections import Section

FILE = Path("params.yaml")
_Seed = Annotated[int, Field(ge=0)]
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument")


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
        raise _explained(error, kind, name, prefix) from None


def _explained(error: ValidationError, kind: Any, name: str, prefix: str) -> UserError:
    """Turn one of pydantic's findings into thing, reason and mend.

    An unknown key comes first: a mistyped one is also missing under its right name.
    """
    findings = error.errors(include_url=False)
    finding = next((one for one in findings if one["type"] in _UNKNOWN), findings[0])
    inner = [str(part) for part in finding["loc"]]
    path = [*filter(None, [prefix]), *inner]
    thing = f"{name}: {'.'.join(path) or name}"
    if finding["type"] in _UNKNOWN:
        near = difflib.get_close_matches(inner[-1], _keys_of(kind, inner[:-1]), n=1, cutoff=0.0)[0]
        nearest = ".".join([*path[:-1], near])
        return UserError(thing, "unknown key", f"The nearest valid key is {nearest}")
    if finding["type"] in _MISSING:
        return _lacking(thing)
    reason = finding["msg"].removeprefix("Value error, ")
    given = "" if finding["type"] == "value_error" else f" (given: {finding['input']!r})"
    return UserError(thing, f"{reason}{given}", "Correct the value")


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
