"""The retrained classifier as an MLflow model: images in, probabilities out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.tracking.saved_model import Recipe, log_model, save_model
from tasks.adapters.tracking.store import Store
from tasks.contracts.errors import UserError

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_REQUIREMENTS = (
    *("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors"),
    *("scikit-learn", "timm", "torch", "torchvision"),
)


@dataclass(frozen=True)
class Retrained:
    """The classifier that the stage retrain kept, and the result it belongs to.

    Attributes:
        folder: ``models/classifier``, weights and ``config.json``.
        fit: `ingest.fit` of the images it learned from.
        summary: content of ``retrain.json``.
        result: content of ``lift.json``.
        digest: sha256 of ``lift.json``.
    """

    folder: Path
    fit: str
    summary: Mapping[str, Any]
    result: Mapping[str, Any]
    digest: str

    @property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``."""
        config: dict[str, Any] = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        return config


def log_classifier(store: Store, experiment: str, run_id: str, of: Retrained) -> LoggedModel:
    """Log the classifier as the model of a run, unless an attempt that broke off has.

    Raises:
        UserError: the weights are missing, or not those that the summary tells of.
    """
    weights = of.folder / WEIGHTS
    if not weights.is_file():
        raise UserError(str(weights), "missing", "Run `dvc checkout`, then `ganlift track`")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != of.summary["kept"]["sha256"]:
        raise UserError(
            str(weights),
            "not the classifier that retrain.json tells of",
            "Run `ganlift run --from retrain`, which makes both anew",
        )
    client = store.client()
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        entry = client.get_logged_model(output.model_id)
        if entry.status == "READY":
            return entry
    return log_model(store, experiment, run_id, "classifier", partial(_save, of))


def save_classifier(folder: Path, of: Retrained, model: Model | None = None) -> None:
    """Write the MLflow model of a classifier into ``folder``: images in, probabilities out.

    Args:
        folder: where to, not there yet.
        of: the classifier; its `fit` goes with it.
        model: the ``mlflow.models.Model`` to write, a new one by default.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config = of.config
    size, classes = config["image_size"], len(config["class_names"])
    shape = (size, size, config["channels"])
    recipe = Recipe(
        code="classifier_model.py",
        weights=("classifier", of.folder),
        rooms=("contracts", "data", "classifier"),
        requirements=_REQUIREMENTS,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *shape))]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, classes))]),
        ),
        example=np.zeros((1, *shape), np.uint8),
        config={"fit": of.fit},
    )
    save_model(folder, recipe, model)


def _save(of: Retrained, folder: Path, model: Model) -> None:
    save_classifier(folder, of, model)
