"""The retrained classifier as an MLflow model, kept as code: MLflow runs this file to load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.pyfunc.model import PythonModel, PythonModelContext

_BATCH = 512


class ClassifierModel(PythonModel):
    """Tells the classes of images.

    Attributes:
        config: what it takes and gives: ``image_size``, ``channels``, ``fit`` (how an image that
            is not square becomes one), ``class_names`` in the order of the outputs.
    """

    config: dict[str, Any]

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights: safetensors and JSON, no pickle."""
        from tasks.classifier.saved import load_classifier

        self._network, made = load_classifier(Path(context.artifacts["classifier"]))
        self.config = {
            "image_size": made.image_size,
            "channels": made.channels,
            "class_names": made.class_names,
            **(context.model_config or {}),
        }

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # MLflow knows no closer hint
        params: dict[str, Any] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return probabilities ``[N, K]`` of images uint8 ``[N, H, W, C]``."""
        import torch

        from tasks.data.batches import to_tensor

        with torch.inference_mode():
            parts = [
                self._network(to_tensor(model_input[start : start + _BATCH])).softmax(dim=1)
                for start in range(0, len(model_input), _BATCH)
            ]
        return torch.cat(parts).numpy()


mlflow.models.set_model(ClassifierModel())
