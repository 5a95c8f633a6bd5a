"""One MLflow run for each GAN: curves, evaluations, sample grids over time, health and the model.

Nothing here knows of pipeline runs, so that a change of how results are logged retrains no GAN.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from tasks.adapters.tracking.lineage import (
    NOTE,
    dataset_input,
    flatten,
    lineage_tags,
    plain,
    safe_part,
)
from tasks.adapters.tracking.saved_model import log_model, save_model
from tasks.adapters.tracking.store import Store, home, store_at, tracking_uri
from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.image_set import ImageSet

if TYPE_CHECKING:
    from mlflow.models import Model

CHECKPOINT = "ganlift.checkpoint"  # tag: the sha256 that manifests of synthetic images hold too
DIVERGED, STOPPED = "diverged", "stopped"  # words of `tasks.gan.health.Watch.events`
_HEALTH = "ganlift.health"
_TAG_LENGTH = 500  # a filter of MLflow's page, not a list to read
_MOST_NAMED = 20  # collapsed classes
_FLUSH_SECONDS = 5.0
_BATCH = 1000  # metrics a call, MLflow's limit
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors", "torch")
_DESCRIPTION = """\
The GAN with seed {seed}. **Model metrics** shows its training curves, its evaluations on real/val
and its samples over time: a row is a class. Their card begins at step 0, which always holds the
newest picture; the slider under it moves through training. The step of every metric and of every
other picture is the number of real images shown so far. The logged model makes any synthetic image
again from its row of the manifest:

```
model = mlflow.pyfunc.load_model("runs:/{run}/generator")
model.predict(manifest[["label", "latent_seed"]])
```
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
        self._note_metrics(round(kimg * 1000), _evaluation_metrics(evaluation))

    def health(self, events: Sequence[str], collapsed: Sequence[str]) -> None:
        """Tag the run ``ganlift.health`` and say in its note what went wrong, if anything did.

        Args:
            events: as `tasks.gan.health.Watch` notes them.
            collapsed: names of the classes that had collapsed in the end.
        """
        self._health = health_tag(events, collapsed)
        self._health_note = _health_note(events, collapsed)
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
            own = {
                "ganlift.gan_seed": str(self._gan_seed),
                "mlflow.source.name": "python -m tasks.train_gan",
            }
            run = client.create_run(
                self._store.experiment(self._dataset),
                tags=lineage_tags("gan", self._dataset) | self._store.own_process() | own,
                run_name=f"GAN seed {self._gan_seed}",
            )
            self.run_id = run.info.run_id
        if not self._begun:
            flat = flatten(self._params) | {"gan_seed": str(self._gan_seed)}
            client.log_batch(self.run_id, params=[Param(*item) for item in flat.items()])
            client.log_inputs(self.run_id, [dataset_input(self._dataset, self._train)])
            client.set_tag(self.run_id, NOTE, self._description())
            self._begun = True

    def _send(self) -> None:
        """Send what is waiting, oldest first."""
        from mlflow.entities import Metric

        self._begin()
        client = self._store.client()
        while self._metrics:
            client.log_batch(self.run_id, metrics=[Metric(*m) for m in self._metrics[:_BATCH]])
            del self._metrics[:_BATCH]
        if self._grids:
            self._last_grid = self._grids[-1][1]
            # MLflow's card opens at step 0, blank where none lies there; of several the last shows
            self._log_picture(self._last_grid, key="samples", step=0)
        while self._grids:
            step, path = self._grids[0]
            self._log_picture(path, key="samples", step=step)
            del self._grids[0]
        if self._health:
            client.set_tag(self.run_id, _HEALTH, self._health)
            client.set_tag(self.run_id, NOTE, self._description())
            self._health = ""

    def _finish(self, checkpoint_dir: Path, checkpoint: str, pictures: Sequence[Path]) -> None:
        self._send()
        client, experiment = self._store.client(), self._store.experiment(self._dataset)
        shown = {} if self._last_grid is None else {"samples": self._last_grid}
        note = self._description()
        for name, path in (shown | {path.stem: path for path in pictures}).items():
            self._log_picture(path, f"{name}_last.png")
            note += f"\n![{name}](get-artifact?path={name}_last.png&run_uuid={self.run_id})"
        client.set_tag(self.run_id, NOTE, note)
        first = self._store.finished(experiment, CHECKPOINT, checkpoint)
        if first is None:
            shape = ImageSet.load(self._train).image_shape
            log_model(
                self._store,
                experiment,
                self.run_id,
                "generator",
                lambda folder, model: save_generator(folder, checkpoint_dir, shape, model),
            )
            client.set_tag(self.run_id, CHECKPOINT, checkpoint)
        else:
            client.set_tag(self.run_id, "ganlift.repeat_of", first.info.run_id)
        self._store.end(self.run_id, "FINISHED")

    def _log_picture(
        self,
        path: Path,
        artifact: str | None = None,
        *,
        key: str | None = None,
        step: int | None = None,
    ) -> None:
        """Log a picture as an artifact, or at a step of the card that its key names."""
        with Image.open(path) as picture:
            self._store.client().log_image(
                self.run_id, picture, artifact, key=key, step=step, synchronous=True
            )

    def _description(self) -> str:
        return self._health_note + _DESCRIPTION.format(seed=self._gan_seed, run=self.run_id)


@contextmanager
def gan_run(
    *,
    dataset: str,
    gan_seed: int,
    params: Mapping[str, Any],
    train: Path,
    store: Store | None = None,
) -> Iterator[GanRun]:
    """Open the MLflow run of one GAN seed; several may be open at once.

    Ends as FAILED if the body raises or never calls `GanRun.finish`. If the store cannot be
    reached, one line on stderr says so and the body runs on.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment.
        gan_seed: the GAN's seed.
        params: what it is trained with; nested mappings become ``section.key``.
        train: the training ImageSet's folder.
        store: where to, by default the process's own.
    """
    run = GanRun(store or store_at(tracking_uri()), dataset, gan_seed, params, train)
    try:
        yield run
    finally:
        if not run.logged:
            run.fail()


def is_logged(dataset: str, checkpoint: str) -> bool:
    """Tell whether a finished run holds that checkpoint; False where the store cannot be reached.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment.
        checkpoint: sha256 of the checkpoint, as `GanRun.finish` takes it.
    """
    store, found = store_at(tracking_uri()), False

    def look() -> None:
        nonlocal found
        found = store.finished(store.experiment(dataset), CHECKPOINT, checkpoint) is not None

    return store.attempt(look) and found


def unsent_speed(checkpoint: str) -> Path:
    """Return where images per second wait for `log_missing`, when the store was out of reach."""
    return home() / "unsent" / f"{checkpoint}.csv"


def save_generator(
    folder: Path,
    checkpoint_dir: Path,
    image_shape: tuple[int, int, int],
    model: Model | None = None,
) -> None:
    """Write the MLflow model of a checkpoint, which makes images again from their manifest rows.

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
    save_model(
        folder,
        model,
        code="generator_model.py",
        weights=("checkpoint", checkpoint_dir),
        room="gan",
        requirements=_REQUIREMENTS,
        signature=ModelSignature(
            inputs=Schema(columns),
            outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *image_shape))]),
        ),
        example=pd.DataFrame({"label": [0], "latent_seed": [0]}),
    )


def health_tag(events: Sequence[str], collapsed: Sequence[str]) -> str:
    """Return ``ok``, or what went wrong: ``collapsed: a, b; rolled back 2x; stopped early``."""
    rollbacks = sum(DIVERGED in event for event in events)
    said = [f"collapsed: {', '.join(collapsed)}"] if collapsed else []
    said += [f"rolled back {rollbacks}x"] if rollbacks else []
    said += ["stopped early"] if any(STOPPED in event for event in events) else []
    text = "; ".join(said) or "ok"
    return text if len(text) <= _TAG_LENGTH else f"{text[:_TAG_LENGTH]}…"


def _health_note(events: Sequence[str], collapsed: Sequence[str]) -> str:
    """Return the same for people, as markdown; empty where all is well."""
    said = [f"- {plain(event)}" for event in events]
    if collapsed:
        names = ", ".join(plain(name) for name in collapsed[:_MOST_NAMED])
        rest = len(collapsed) - _MOST_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        said.append(f"- of these classes it makes nearly the same image every time: {names}{more}")
    return "\n".join(["**Training had problems:**", "", *said, "", ""]) if said else ""


def _evaluation_metrics(evaluation: GanEvaluation) -> dict[str, float]:
    """Return ``eval/kid`` and the like, and ``eval/coverage/<class>`` for each class.

    Classes whose names MLflow would take for one are numbered from the second on.
    """
    metrics = {f"eval/{safe_part(name)}": value for name, value in evaluation.overall.items()}
    taken: set[str] = set()
    for class_name, numbers in evaluation.by_class.items():
        part, number = safe_part(class_name), 1
        while part.lower() in taken:  # some stores fold case
            number += 1
            part = f"{safe_part(class_name)}-{number}"
        taken.add(part.lower())
        metrics |= {f"eval/{safe_part(name)}/{part}": value for name, value in numbers.items()}
    return metrics
