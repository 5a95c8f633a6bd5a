"""How data sets, pages, metrics and params are called in MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.contracts.lift_text import short_unit

_PARAM_LENGTH = 6000  # MLflow's limit
_PART_LENGTH = 200  # MLflow's limit is 250, of the whole name


def experiment_name(dataset: str) -> str:
    """Return the experiment of a data set: ``data/embedded/digits.yaml`` → ``digits``."""
    path = Path(dataset).resolve()
    return path.stem if path.suffix in (".yaml", ".yml") else path.name


def registered_name(dataset: str) -> str:
    """Return the name of a data set's classifier in the registry: ``ganlift-digits``."""
    return f"ganlift-{safe_part(experiment_name(dataset))}"


def interval_text(result: Mapping[str, Any]) -> str:
    """Return lift and interval of ``lift.json``'s content: ``+1.3 pp [0.4, 2.2]``."""
    lift = result["lift_pp"]
    unit = short_unit(result["unit"])
    return f"{lift['mean']:+.1f} {unit} [{lift['ci_low']:.1f}, {lift['ci_high']:.1f}]"


def p_text(value: float) -> str:
    """Return a p-value of ``lift.json``; one that was rounded away as a bound."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def run_page(experiment: str, run_id: str, part: str = "") -> str:
    """Return a run's page on the server, in the half of MLflow for training models."""
    return f"#/experiments/{experiment}/runs/{run_id}{part}?workflowType=machine_learning"


def safe_name(name: str) -> str:
    """Return a metric or param name that MLflow accepts and searches take unquoted."""
    return re.sub(r"[^\w.\-/]", "_", name)


def safe_part(name: str) -> str:
    """Return text from the data as one part of a metric's name, between its slashes."""
    part = re.sub(r"[^\w.\-]", "_", name)[:_PART_LENGTH]
    return part if part.strip(".") else "_" * max(1, len(part))


def plain(text: str) -> str:
    """Return text from the data with nothing in it that markdown or HTML would take as its own."""
    return "".join(c if c.isalnum() or c in " .,+-_/" else f"&#{ord(c)};" for c in text)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as ``section.key`` → text; what is too long is cut, with a mark."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = safe_name(f"{prefix}{key}")
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        flat[name] = text if len(text) <= _PARAM_LENGTH else f"{text[: _PARAM_LENGTH - 7]}… [cut]"
    return flat
