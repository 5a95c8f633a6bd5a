"""``--preset NAME``: a whole recipe for train_gan, and what belongs to it, from a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.contracts.errors import UserError
from tasks.contracts.nearest import choose

TABLE = Path(__file__).with_name("presets.yaml")


def preset_settings(name: str) -> list[str]:
    """Return the ``SECTION.KEY=VALUE`` settings of a preset.

    They name every key of the recipe, so what was in ``params.yaml`` before does not matter.

    Raises:
        UserError: no preset of that name.
    """
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    presets: dict[str, dict[str, Any]] = table["presets"]
    if name not in presets:
        raise UserError(
            f"--preset {name}",
            f"unknown preset; there are {', '.join(presets)}",
            choose(name, presets),
        )
    recipe = dict(leaves(table["shared"], "train_gan."))
    own = {key: value for key, value in presets[name].items() if key != "beside"}
    beside = presets[name].get("beside", {})
    every = recipe | dict(leaves(own, "train_gan.")) | beside
    return [f"{key}={json.dumps(value)}" for key, value in every.items()]


def leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key, after ``prefix``, and the value of everything in nested sections."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
