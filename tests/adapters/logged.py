"""Logging as the stages do, and reading back what the store then holds."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from tasks.adapters.tracking import store
from tasks.adapters.tracking.gan import gan_run
from tasks.adapters.tracking.pipeline import log_pipeline
from tests.adapters.fake_results import DATASET, curve


def client() -> MlflowClient:
    return MlflowClient(store.tracking_uri())


def runs_of(kind: str) -> list[Run]:
    experiment = client().get_experiment_by_name("digits")
    return client().search_runs(
        [experiment.experiment_id],
        f"tags.`ganlift.kind` = '{kind}'",
        order_by=["attributes.start_time ASC", "attributes.end_time ASC"],
    )


def checkpoint(paths: dict[str, Path], seed: int) -> str:
    return str(json.loads(paths["gan_metrics"].read_text())[str(seed)]["checkpoint"])


def log_results(paths: dict[str, Path]) -> None:
    """Log the pipeline's results, as the stage report does."""
    same = ("lift", "page", "pictures", "runs", "gan_metrics", "classifier")
    files = {name: paths[name] for name in same}
    log_pipeline(dataset=DATASET, sets=[paths["train"]], retrained=paths["retrain"], **files)


def log_gan(paths: dict[str, Path], seed: int = 0) -> None:
    with gan_run(
        dataset=DATASET, gan_seed=seed, params={"a": {"b": [1, 2]}}, train=paths["train"]
    ) as run:
        for n in (1, 2):
            run.tick({"kimg": 2.0 * n, **curve(seed, n), "images_per_second": 50.0}, None)
        run.finish(paths["gan"] / str(seed), checkpoint(paths, seed))
