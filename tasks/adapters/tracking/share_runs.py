"""Runs with all that hangs on them: metrics, params, tags, data sets, models and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tasks.adapters.tracking.lineage import NOTE
from tasks.adapters.tracking.rows import Row, Sides, find, insert

if TYPE_CHECKING:
    from sqlalchemy import Connection

_OF_RUN = ("params", "tags", "metrics", "latest_metrics")
_OF_MODEL = ("logged_model_params", "logged_model_tags")
_SCORES = "logged_model_metrics"  # of a model, found in a run that need not be the one it is from
_ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Place:
    """An experiment in both stores: its id and where its files lie, here and there."""

    name: str
    here: int
    there: int
    files_here: str
    files_there: str

    def moved(self, address: str) -> str:
        """Return where the files at an address here belong there; what lies elsewhere stays."""
        if address.startswith(f"{self.files_here}/"):
            return self.files_there + address.removeprefix(self.files_here)
        return address


def copy_runs(sides: Sides, place: Place) -> Iterator[str]:
    """Copy the runs of an experiment that are not there, in the order in which they began."""
    with sides.source.connect() as connection:
        ours = find(connection, "runs", "experiment_id", place.here)
    with sides.target.connect() as connection:
        found = find(connection, "runs", "run_uuid", *(run["run_uuid"] for run in ours))
    theirs = {run["run_uuid"] for run in found}
    unfinished = 0
    for run in sorted(ours, key=lambda run: (run["start_time"], run["run_uuid"])):
        if run["run_uuid"] in theirs or run["lifecycle_stage"] != "active":
            continue
        if run["status"] in _ENDED:
            files = _copy_run(sides, place, run)
            yield f"{place.name}: run {run['run_uuid'][:8]}, {run['name']}; files: {files}"
        else:
            unfinished += 1
    if unfinished:
        yield f"{place.name}: runs that have not ended: {unfinished}; repeat this when they have"


def _copy_run(sides: Sides, place: Place, run: Row) -> int:
    """Copy a run and the models it made, first all files and then all rows at once.

    Returns:
        How many files.
    """
    run_id = run["run_uuid"]
    with sides.source.connect() as source:
        models = find(source, "logged_models", "source_run_id", run_id)
        models = [one for one in models if one["lifecycle_stage"] == "active"]
        ids = [model["model_id"] for model in models]
        of_run = {table: find(source, table, "run_uuid", run_id) for table in _OF_RUN}
        of_models = {table: find(source, table, "model_id", *ids) for table in _OF_MODEL}
        scores = find(source, _SCORES, "run_id", run_id)
        inputs = find(source, "inputs", "destination_id", run_id)
        inputs += find(source, "inputs", "source_id", run_id)
        input_tags = find(
            source, "input_tags", "input_uuid", *(row["input_uuid"] for row in inputs)
        )
        datasets = find(source, "datasets", "dataset_uuid", *(row["source_id"] for row in inputs))
    for tag in of_run["tags"]:
        if tag["key"] == NOTE and tag["value"]:
            here, there = f"#/experiments/{place.here}/", f"#/experiments/{place.there}/"
            tag["value"] = tag["value"].replace(here, there)
    files = 0
    for row, address in ((run, "artifact_uri"), *((one, "artifact_location") for one in models)):
        files += _upload(sides, place, row[address])
        row[address] = place.moved(row[address])
    for row in (
        run,
        *models,
        *scores,
        *datasets,
        *(row for of in of_models.values() for row in of),
    ):
        row["experiment_id"] = place.there
    with sides.target.begin() as target:
        for dataset in datasets:
            _share_dataset(target, dataset, inputs, scores)
        insert(target, "runs", [run])
        insert(target, "logged_models", models)
        for table, rows in (of_run | of_models).items():
            insert(target, table, rows)
        known = find(target, "logged_models", "model_id", *(row["model_id"] for row in scores))
        there_already = {model["model_id"] for model in known}
        insert(target, _SCORES, [row for row in scores if row["model_id"] in there_already])
        insert(target, "inputs", inputs)
        insert(target, "input_tags", input_tags)
    return files


def _share_dataset(target: Connection, dataset: Row, inputs: list[Row], scores: list[Row]) -> None:
    """Add a data set to its experiment, or name the one that is there in the rows that use it."""
    of_experiment = find(target, "datasets", "experiment_id", dataset["experiment_id"])
    for same in of_experiment:
        if (same["name"], same["digest"]) == (dataset["name"], dataset["digest"]):
            for row, column in (
                *((row, "source_id") for row in inputs),
                *((row, "dataset_uuid") for row in scores),
            ):
                if row[column] == dataset["dataset_uuid"]:
                    row[column] = same["dataset_uuid"]
            return
    insert(target, "datasets", [dataset])


def _upload(sides: Sides, place: Place, address: str) -> int:
    """Send the files at an address to where they belong, and return how many there are."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    folder = Path(unquote(urlsplit(address).path))
    if place.moved(address) == address or not folder.is_dir():
        return 0
    repository = get_artifact_repository(place.moved(address), tracking_uri=sides.there.uri)
    repository.log_artifacts(str(folder))  # type: ignore[no-untyped-call]
    return sum(path.is_file() for path in folder.rglob("*"))
