"""What Prefect's server says when it is asked."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def ask(url: str, **body: object) -> Any:
    question = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(question) as answer:
        return json.load(answer)


def latest(url: str) -> dict[str, Any]:
    """The run that began last."""
    (found,) = ask(f"{url}/flow_runs/filter", sort="START_TIME_DESC", limit=1)
    assert isinstance(found, dict)
    return found


def progress(url: str, flow_run: str) -> list[dict[str, Any]]:
    wanted = {"flow_run_id": {"any_": [flow_run]}, "type": {"any_": ["progress"]}}
    found = ask(f"{url}/artifacts/filter", artifacts=wanted)
    assert isinstance(found, list)
    return found
