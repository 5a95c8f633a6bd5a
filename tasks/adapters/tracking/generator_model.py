"""The generator as an MLflow model, kept as code: MLflow runs this file to load the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class GeneratorModel(PythonModel):
    """Makes images again from their manifest rows."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights: safetensors and JSON, no pickle."""
        from tasks.gan.checkpoint import load_generator

        self._generator = load_generator(Path(context.artifacts["checkpoint"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Return uint8 ``[N, H, W, C]`` for a table with ``label`` and ``latent_seed``."""
        from tasks.gan.sampling import sample

        labels = model_input["label"].to_numpy(np.int64)
        return sample(self._generator, labels, model_input["latent_seed"].to_numpy(np.int64))


mlflow.models.set_model(GeneratorModel())
