"""Which model of MLflow's registry is a data set's: two folders of one name have one each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.adapters.tracking.lineage import experiment_name, safe_part

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_DIGITS = 8  # hex digits of a source's digest
_DATASET = "ganlift.dataset"  # tag of a run: the source as in ``params.yaml``


def registered_name(dataset: str) -> str:
    """Return the name of a data set's classifier: ``ganlift-photos-3f2a90b1``.

    The digits are of the source's real path, within the project relative to it, so that a clone
    elsewhere has the same. The working folder is the project's.
    """
    source, root = Path(dataset).resolve(), Path.cwd().resolve()
    known = source.relative_to(root) if source.is_relative_to(root) else source
    digest = hashlib.sha256(known.as_posix().encode(errors="surrogateescape")).hexdigest()
    return f"{_former_name(dataset)}-{digest[:_DIGITS]}"


def versions_of(client: MlflowClient, dataset: str) -> list[ModelVersion]:
    """Return the versions of a data set's classifier, in the order of their registration.

    Where there are none, those under the name that it had before, ``ganlift-photos``, which data
    sets shared: the versions whose run was of this very source.
    """
    found = client.search_model_versions(f"name = '{registered_name(dataset)}'")
    versions = found or _former_versions(client, dataset)
    return sorted(versions, key=lambda version: int(version.version))


def champion_of(client: MlflowClient, dataset: str) -> ModelVersion | None:
    """Return the champion of a data set, if it has one, under whichever name it was made that."""
    for name in (registered_name(dataset), _former_name(dataset)):
        if client.search_registered_models(f"name = '{name}'", max_results=1):
            aliases = client.get_registered_model(name).aliases
            if CHAMPION in aliases:
                version = client.get_model_version(name, aliases[CHAMPION])
                if name != _former_name(dataset) or _is_of(client, version, dataset):
                    return version
    return None


def _former_name(dataset: str) -> str:
    return f"ganlift-{safe_part(experiment_name(dataset))}"


def _former_versions(client: MlflowClient, dataset: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{_former_name(dataset)}'")
    return [version for version in found if _is_of(client, version, dataset)]


def _is_of(client: MlflowClient, version: ModelVersion, dataset: str) -> bool:
    """Tell whether a version came from this source; not where its run is gone."""
    from mlflow.exceptions import MlflowException

    if version.run_id is None:
        return False
    try:
        return bool(client.get_run(version.run_id).data.tags.get(_DATASET) == dataset)
    except MlflowException:
        return False
