"""The GAN of a run as an MLflow model, which makes images again from their manifest rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tasks.adapters.tracking.saved_model import Recipe, save_model

if TYPE_CHECKING:
    from mlflow.models import Model

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors", "torch")


def save_generator(
    folder: Path,
    checkpoint_dir: Path,
    image_shape: tuple[int, int, int],
    model: Model | None = None,
) -> None:
    """Write the MLflow model of a checkpoint into ``folder``.

    Args:
        folder: where to, not there yet.
        checkpoint_dir: the checkpoint's folder (safetensors and ``config.json``).
        image_shape: (H, W, C) of the images it makes.
        model: the ``mlflow.models.Model`` to write, a new one by default.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, name) for name in ("label", "latent_seed")
    ]
    recipe = Recipe(
        code="generator_model.py",
        weights=("checkpoint", checkpoint_dir),
        rooms=("contracts", "data", "gan"),
        requirements=_REQUIREMENTS,
        signature=ModelSignature(
            inputs=Schema(columns),
            outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *image_shape))]),
        ),
        example=pd.DataFrame({"label": [0], "latent_seed": [0]}),
    )
    save_model(folder, recipe, model)
