"""One MLflow run for each GAN: curves, sample grids over time, and the model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from tasks.adapters.tracking.gan_health import TAG, evaluation_metrics, health_note, health_tag
from tasks.adapters.tracking.gan_model import save_generator
from tasks.adapters.tracking.lineage import dataset_input, lineage_tags
from tasks.adapters.tracking.names import flatten
from tasks.adapters.tracking.saved_model import log_model
from tasks.adapters.tracking.store import Store, home, store_at, tracking_uri
from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.image_set import ImageSet
from tasks.data.pictures import enlarged

_FLUSH_SECONDS = 5.0
_BATCH = 1000  # metrics a call, MLflow's limit
_NOTE = """\
GAN seed {seed}. **Model metrics** holds the curves, the evaluations on real/val (steps are images
shown) and the sample grid over time (rows are classes; move its slider). The model makes an image
again from its manifest row:
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
        self._health, self._health_note = "", ""
        self._speed: list[tuple[float, float]] = []
        self._sent = time.monotonic()
        store.attempt(self._begin)

    def tick(self, row: Mapping[str, float], grid: Path | None) -> None:
        """Log one row of the curves, at step ``kimg`` in images shown, and the grid where due."""
        step = round(row["kimg"] * 1000)
        self._note_metrics(step, {name: row[name] for name in row if name != "kimg"})
        if "images_per_second" in row:
            self._speed.append((row["kimg"], row["images_per_second"]))
        if grid is not None:
            self._grids.append((step, grid))
        if len(self._metrics) >= _BATCH or time.monotonic() - self._sent >= _FLUSH_SECONDS:
            self._sent = time.monotonic()
            self._store.attempt(self._send)

    def evaluated(self, kimg: float, evaluation: GanEvaluation) -> None:
        """Log an evaluation: ``eval/kid``, ``eval/coverage/<class>`` …, at its images shown."""
        self._note_metrics(round(kimg * 1000), evaluation_metrics(evaluation))

    def health(self, events: Sequence[str], collapsed: Sequence[str]) -> None:
        """Tag the run ``ganlift.health`` and say in its note what went wrong, if anything did.

        Args:
            events: as `tasks.gan.health.Watch` notes them.
            collapsed: names of the classes that had collapsed in the end.
        """
        self._health = health_tag(events, collapsed)
        self._health_note = health_note(events, collapsed)
        self._store.attempt(self._send)

    def finish(self, checkpoint_dir: Path, checkpoint: str, pictures: Sequence[Path] = ()) -> None:
        """Log the model and its pictures and end the run as FINISHED, known by its sha256.

        The same checkpoint made a second time (a forced rerun) is tagged
        ``ganlift.repeat_of`` and points to the first run instead of a second model.
        """
        self.logged = self._store.attempt(
            lambda: self._finish(checkpoint_dir, checkpoint, pictures)
        )
        if not self.logged:  # the curves are among the outputs; speed, a matter of clocks, is not
            unsent = unsent_speed(checkpoint)
            unsent.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(self._speed, columns=["kimg", "images_per_second"])
            table.to_csv(unsent, index=False)

    def fail(self) -> None:
        """End the run as FAILED, with what it has logged so far."""
        self._store.attempt(self._send)
        self._store.attempt(lambda: self._store.end(self.run_id, "FAILED"))

    def _note_metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time_ns() // 1_000_000
        self._metrics += [(name, float(value), now, step) for name, value in values.items()]

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
            client.log_image(self.run_id, _shown(path), key="samples", step=step, synchronous=True)
            self._last_grid = path
            del self._grids[0]
        if self._health:
            client.set_tag(self.run_id, TAG, self._health)
            client.set_tag(self.run_id, "mlflow.note.content", self._note())
            self._health = ""

    def _finish(self, checkpoint_dir: Path, checkpoint: str, pictures: Sequence[Path]) -> None:
        self._send()
        client, experiment = self._store.client(), self._store.experiment(self._dataset)
        shown = {} if self._last_grid is None else {"samples": self._last_grid}
        note = self._note()
        for name, path in (shown | {path.stem: path for path in pictures}).items():
            client.log_image(self.run_id, _shown(path), f"{name}_last.png")
            note += f"\n![{name}](get-artifact?path={name}_last.png&run_uuid={self.run_id})"
        client.set_tag(self.run_id, "mlflow.note.content", note)
        first = self._store.finished(experiment, "ganlift.checkpoint", checkpoint)
        if first is None:
            shape = ImageSet.load(self._train).image_shape
            log_model(
                self._store,
                experiment,
                self.run_id,
                "generator",
                lambda folder, model: save_generator(folder, checkpoint_dir, shape, model),
            )
            client.set_tag(self.run_id, "ganlift.checkpoint", checkpoint)
        else:
            client.set_tag(self.run_id, "ganlift.repeat_of", first.info.run_id)
        self._store.end(self.run_id, "FINISHED")

    def _note(self) -> str:
        return self._health_note + _NOTE.format(seed=self._gan_seed, run=self.run_id)


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


def _shown(path: Path) -> Image.Image:
    """Return a picture as MLflow shows it: a small one enlarged, pixels kept sharp."""
    with Image.open(path) as picture:
        return enlarged(picture.convert("RGB"))


def is_logged(dataset: str, checkpoint: str) -> bool:
    """Tell whether a finished run holds that checkpoint; False where the store cannot be reached.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment.
        checkpoint: sha256 of the checkpoint, as `GanRun.finish` takes it.
    """
    store, found = store_at(tracking_uri()), False

    def look() -> None:
        nonlocal found
        tag = "ganlift.checkpoint"
        found = store.finished(store.experiment(dataset), tag, checkpoint) is not None

    return store.attempt(look) and found
