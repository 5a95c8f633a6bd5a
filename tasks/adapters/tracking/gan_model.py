"""The GAN of a run as an MLflow model: weights and the code that reads them, no pickle."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import tasks
from tasks.adapters.tracking.store import Store

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors", "torch")


def log_model(
    store: Store,
    experiment: str,
    run_id: str,
    checkpoint_dir: Path,
    image_shape: tuple[int, int, int],
) -> None:
    """Log the checkpoint with the code that reads it, so that it loads without a checkout."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = store.client()
    entry = client.create_logged_model(experiment, name="generator", source_run_id=run_id)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model = Model(
            artifact_path=entry.artifact_location,
            run_id=run_id,
            model_uuid=entry.model_id,
            model_id=entry.model_id,
        )
        save_generator(folder, checkpoint_dir, image_shape, model)
        client.log_model_artifacts(entry.model_id, str(folder))
    client.finalize_logged_model(entry.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(entry.model_id, step=0)])


def save_generator(
    folder: Path, checkpoint_dir: Path, image_shape: tuple[int, int, int], model: Any = None
) -> None:
    """Write the MLflow model into ``folder``: weights, code and requirements, no pickle.

    Args:
        folder: where to, not there yet.
        checkpoint_dir: the checkpoint's folder (safetensors and ``config.json``).
        image_shape: (H, W, C) of the images it makes.
        model: the ``mlflow.models.Model`` to write, a new one by default.
    """
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, name) for name in ("label", "latent_seed")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch) / "tasks"
        source = Path(tasks.__file__).parent
        for part in ("contracts", "data", "gan"):
            shutil.copytree(
                source / part, code / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(source / "__init__.py", code)
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=model,
            python_model=Path(__file__).with_name("generator_model.py"),
            artifacts={"checkpoint": str(checkpoint_dir)},
            code_paths=[str(code)],
            signature=ModelSignature(
                inputs=Schema(columns),
                outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *image_shape))]),
            ),
            input_example=pd.DataFrame({"label": [0], "latent_seed": [0]}),
            # A local build's label ("+cpu") is no version a registry knows.
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in _REQUIREMENTS],
        )
