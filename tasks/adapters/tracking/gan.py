"""One MLflow run for each GAN: curves, sample grids over time, and the model."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import tasks
from tasks.adapters.tracking.lineage import dataset_input, lineage_tags
from tasks.adapters.tracking.names import flatten
from tasks.adapters.tracking.store import Store, home, store_at, tracking_uri
from tasks.contracts.image_set import ImageSet

_FLUSH_SECONDS = 5.0
_BATCH = 1000  # metrics a call, MLflow's limit
_GRID_PIXELS = 512  # a smaller grid is enlarged for the page: 8x8 images are hard to see
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors", "torch")
_LAST_GRID = "samples_last.png"
_NOTE = """\
GAN seed {seed}. **Model metrics** holds the curves (steps are images shown) and the sample grid
over time (rows are classes; move its slider). The model makes an image again from its manifest row:
`mlflow.pyfunc.load_model("runs:/{run}/generator").predict(manifest[["label", "latent_seed"]])`.
"""


class GanRun:
    """The run of one GAN seed. What cannot be sent now is kept and sent with the next call."""

    def __init__(
        self, store: Store, dataset: str, gan_seed: int, params: Mapping[str, Any], train: Path
    ) -> None:
        self.run_id = ""
        self.logged = False
        self._store, self._dataset, self._train = store, dataset, train
        self._gan_seed, self._params = gan_seed, params
        self._begun = False
        self._metrics: list[tuple[str, float, int, int]] = []
        self._grids: list[tuple[int, Path]] = []
        self._last_grid: Path | None = None
        self._speed: list[tuple[float, float]] = []
        self._sent = time.monotonic()
        store.attempt(self._begin)

    def tick(self, row: Mapping[str, float], grid: Path | None) -> None:
        """Log one row of the curves, at step ``kimg`` in images shown, and the grid where due."""
        step, now = round(row["kimg"] * 1000), time.time_ns() // 1_000_000
        self._metrics += [(name, float(row[name]), now, step) for name in row if name != "kimg"]
        if "images_per_second" in row:
            self._speed.append((row["kimg"], row["images_per_second"]))
        if grid is not None:
            self._grids.append((step, grid))
        if len(self._metrics) >= _BATCH or time.monotonic() - self._sent >= _FLUSH_SECONDS:
            self._sent = time.monotonic()
            self._store.attempt(self._send)

    def finish(self, checkpoint_dir: Path, checkpoint: str) -> None:
        """Log the model and end the run as FINISHED, known by its checkpoint's sha256.

        The same checkpoint made a second time (a forced rerun) is tagged
        ``ganlift.repeat_of`` and points to the first run instead of a second model.
        """
        self.logged = self._store.attempt(lambda: self._finish(checkpoint_dir, checkpoint))
        if not self.logged:  # the curves are among the outputs; speed, a matter of clocks, is not
            unsent = unsent_speed(checkpoint)
            unsent.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(self._speed, columns=["kimg", "images_per_second"])
            table.to_csv(unsent, index=False)

    def fail(self) -> None:
        """End the run as FAILED, with what it has logged so far."""
        self._store.attempt(self._send)
        self._store.attempt(lambda: self._store.end(self.run_id, "FAILED"))

    def _begin(self) -> None:
        """Make the run, once; safe to call again after a failure halfway."""
        from mlflow.entities import Param

        client = self._store.client()
        if not self.run_id:
            tags = (
                lineage_tags("gan", self._dataset)
                | self._store.own_process()
                | {
                    "ganlift.gan_seed": str(self._gan_seed),
                    "mlflow.source.name": "python -m tasks.train_gan",
                }
            )
            experiment = self._store.experiment(self._dataset)
            run = client.create_run(experiment, tags=tags, run_name=f"GAN seed {self._gan_seed}")
            self.run_id = run.info.run_id
        if not self._begun:
            flat = flatten(self._params) | {"gan_seed": str(self._gan_seed)}
            client.log_batch(self.run_id, params=[Param(*item) for item in flat.items()])
            client.log_inputs(self.run_id, [dataset_input(self._dataset, self._train)])
            client.set_tag(self.run_id, "mlflow.note.content", self._note())
            self._begun = True

    def _send(self) -> None:
        """Send what is waiting, oldest first."""
        from mlflow.entities import Metric

        self._begin()
        client = self._store.client()
        while self._metrics:
            client.log_batch(self.run_id, metrics=[Metric(*m) for m in self._metrics[:_BATCH]])
            del self._metrics[:_BATCH]
        while self._grids:
            step, path = self._grids[0]
            client.log_image(
                self.run_id, _enlarged(path), key="samples", step=step, synchronous=True
            )
            self._last_grid = path
            del self._grids[0]

    def _finish(self, checkpoint_dir: Path, checkpoint: str) -> None:
        self._send()
        client, experiment = self._store.client(), self._store.experiment(self._dataset)
        if self._last_grid is not None:
            client.log_image(self.run_id, _enlarged(self._last_grid), _LAST_GRID)
            picture = f"![samples](get-artifact?path={_LAST_GRID}&run_uuid={self.run_id})"
            client.set_tag(self.run_id, "mlflow.note.content", f"{self._note()}\n{picture}")
        first = self._store.finished(experiment, "ganlift.checkpoint", checkpoint)
        if first is None:
            self._log_model(experiment, checkpoint_dir)
            client.set_tag(self.run_id, "ganlift.checkpoint", checkpoint)
        else:
            client.set_tag(self.run_id, "ganlift.repeat_of", first.info.run_id)
        self._store.end(self.run_id, "FINISHED")

    def _note(self) -> str:
        return _NOTE.format(seed=self._gan_seed, run=self.run_id)

    def _log_model(self, experiment: str, checkpoint_dir: Path) -> None:
        """Log the checkpoint with the code that reads it, so that it loads without a checkout."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        client = self._store.client()
        entry = client.create_logged_model(experiment, name="generator", source_run_id=self.run_id)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            model = Model(
                artifact_path=entry.artifact_location,
                run_id=self.run_id,
                model_uuid=entry.model_id,
                model_id=entry.model_id,
            )
            save_generator(folder, checkpoint_dir, ImageSet.load(self._train).image_shape, model)
            client.log_model_artifacts(entry.model_id, str(folder))
        client.finalize_logged_model(entry.model_id, "READY")
        client.log_outputs(self.run_id, [LoggedModelOutput(entry.model_id, step=0)])


def unsent_speed(checkpoint: str) -> Path:
    """Return where images per second wait for `log_missing`, when the store was out of reach."""
    return home() / "unsent" / f"{checkpoint}.csv"


@contextmanager
def gan_run(
    *, dataset: str, gan_seed: int, params: Mapping[str, Any], train: Path
) -> Iterator[GanRun]:
    """Open the MLflow run of one GAN seed; several may be open at once.

    Ends as FAILED if the body raises or never calls `GanRun.finish`. If the store cannot be
    reached, one line on stderr says so and the body runs on.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment.
        gan_seed: the GAN's seed.
        params: what it is trained with; nested mappings become ``section.key``.
        train: the training ImageSet's folder.
    """
    with open_run(store_at(tracking_uri()), dataset, gan_seed, params, train) as run:
        yield run


@contextmanager
def open_run(
    store: Store, dataset: str, gan_seed: int, params: Mapping[str, Any], train: Path
) -> Iterator[GanRun]:
    """Do what `gan_run` does, in a store that is named."""
    run = GanRun(store, dataset, gan_seed, params, train)
    try:
        yield run
    finally:
        if not run.logged:
            run.fail()


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


def _enlarged(path: Path) -> Any:
    """Return the picture, enlarged by a whole number where it is small, pixels kept sharp."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()
    factor = max(1, _GRID_PIXELS // max(picture.size))
    size = (picture.width * factor, picture.height * factor)
    return picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
