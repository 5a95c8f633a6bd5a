"""What Prefect's server says when it is asked."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any
from urllib.error import HTTPError

_BUSY = 503  # its database is locked


def _answer(question: urllib.request.Request) -> Any:
    """Return the answer, asked for up to six times as by Prefect's own clients."""
    waits = iter((0.2, 0.5, 1, 2, 4))
    while True:
        try:
            with urllib.request.urlopen(question) as answer:
                return json.loads(answer.read() or "null")
        except HTTPError as error:
            if error.code != _BUSY or not (wait := next(waits, 0)):
                raise
        time.sleep(wait)


def read(url: str) -> Any:
    return _answer(urllib.request.Request(url))


def ask(url: str, **body: object) -> Any:
    said = {"Content-Type": "application/json"}
    return _answer(urllib.request.Request(url, json.dumps(body).encode(), said))


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
