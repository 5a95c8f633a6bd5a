"""A model as MLflow keeps ours: the weights and the code that reads them, no pickle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tasks
from tasks.adapters.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model, ModelSignature


def log_model(
    store: Store, experiment: str, run_id: str, name: str, save: Callable[[Path, Model], None]
) -> LoggedModel:
    """Log what ``save`` writes into a folder as a model of the run, and return its entry."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = store.client()
    entry = client.create_logged_model(experiment, name=name, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model = Model(
            artifact_path=entry.artifact_location,
            run_id=run_id,
            model_uuid=entry.model_id,
            model_id=entry.model_id,
        )
        save(folder, model)
        client.log_model_artifacts(entry.model_id, str(folder))
    client.finalize_logged_model(entry.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(entry.model_id, step=0)])
    return entry


def save_model(
    folder: Path,
    model: Model | None,
    *,
    code: str,
    weights: tuple[str, Path],
    room: str,
    requirements: Sequence[str],
    signature: ModelSignature,
    example: Any,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write an MLflow model that loads without a checkout.

    Args:
        folder: where to, not there yet.
        model: the ``mlflow.models.Model`` to write, a new one by default.
        code: file beside this one that MLflow runs to load the model.
        weights: name and folder of what that file reads.
        room: the part of ``tasks`` that it imports, beside ``contracts`` and ``data``.
        requirements: packages that it imports, to be pinned as they are installed here.
        signature: what it takes and gives.
        example: an input.
        config: more that the code is told when it loads the weights.
    """
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory() as scratch:
        rooms = copy_rooms(Path(scratch), room)
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=model,
            python_model=Path(__file__).with_name(code),
            artifacts={weights[0]: str(weights[1])},
            code_paths=[str(rooms)],
            signature=signature,
            input_example=example,
            model_config=dict(config) if config else None,
            pip_requirements=pinned(requirements),
        )


def copy_rooms(folder: Path, room: str) -> Path:
    """Copy the code of a room of ``tasks``, and of those below it, into ``folder/tasks``."""
    source, rooms = Path(tasks.__file__).parent, folder / "tasks"
    for name in ("contracts", "data", room):
        shutil.copytree(source / name, rooms / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__init__.py", rooms)
    return rooms


def pinned(requirements: Sequence[str]) -> list[str]:
    """Return packages with the versions that are installed here.

    A local build's label ("+cpu") is left out: it is no version that a registry knows.
    """
    return [f"{package}=={version(package).split('+')[0]}" for package in requirements]
