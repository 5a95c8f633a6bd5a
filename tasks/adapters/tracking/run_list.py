"""MLflow's list of runs as it should open: a saved view with the columns of an answer.

MLflow's plain list shows neither tags nor metrics. A view that is saved on its page becomes a tag
of the experiment, stands under *Views* and has an address of its own; this is such a tag.
"""

from __future__ import annotations

import json

_KEY = "results"
TAG = f"mlflow.sharedViewState.{_KEY}"
_WIDTHS = {  # in pixels, in this order; MLflow adds when a run was made and how long it took
    "attributes.`Run Name`": 290,
    "tags.`ganlift.verdict`": 110,
    "metrics.`lift_pp`": 80,
    "metrics.`lift_pp_ci_low`": 115,
    "metrics.`lift_pp_ci_high`": 115,
    "attributes.`Dataset`": 200,
}
_STATE = {
    "searchFilter": "tags.ganlift.kind = 'pipeline'",
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "selectedColumns": [*_WIDTHS][1:],  # a run's name is always there
    "columnOrder": [*_WIDTHS],
    "columnWidths": _WIDTHS,
}
VIEW = json.dumps({"name": "Results", "createdAt": 0, "state": json.dumps(_STATE)})


def list_page(experiment: str) -> str:
    """Return the address of the list on the server: every result of a data set, a row each."""
    part = f"runs?viewStateShareKey={_KEY}&workflowType=machine_learning"
    return f"#/experiments/{experiment}/{part}"
