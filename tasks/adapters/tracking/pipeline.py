"""One MLflow run for each pipeline: the verdict first, the report, and the arms as children."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copy
from typing import Any

import pandas as pd
from PIL import Image

from tasks.adapters.tracking.lineage import lineage_tags
from tasks.adapters.tracking.names import flatten, plain, run_page, safe_name
from tasks.adapters.tracking.store import Store

REPORT = "00_lift_report.html"  # sorts first, so that the artifact page opens with it
_PICTURE, _PICTURE_WIDTH = "lift_by_arm_small.png", 640
_NOTE, _NOTE_LENGTH = "mlflow.note.content", 8000  # MLflow's limit
_MOST_NAMED = 12  # collapsed classes of a GAN
_LATER = "not logged yet: `ganlift track`"
_NOT_METRICS = ("arm", "seed", "gan_seed")
_ANSWERS = {
    "helps": "Yes, it helps",
    "hurts": "No, it hurts",
    "inconclusive": "Not proven either way",
}


def write_pipeline(
    store: Store,
    *,
    dataset: str,
    params: Mapping[str, Any],
    lift: Path,
    page: Path,
    pictures: Path,
    runs: Path,
    gan_metrics: Path,
) -> str | None:
    """Log a pipeline's results and return the run's name, None where they are logged already.

    Results are known by the sha256 of ``lift.json``. Raises what MLflow does.
    """
    from mlflow.entities import Metric, Param

    client, experiment = store.client(), store.experiment(dataset)
    digest = hashlib.sha256(lift.read_bytes()).hexdigest()
    result = json.loads(lift.read_text(encoding="utf-8"))
    gans = _gan_links(store, experiment, gan_metrics)
    if first := store.finished(experiment, "ganlift.lift_sha256", digest):
        # The summary may have been written before its GANs were logged.
        if _LATER in first.data.tags.get(_NOTE, ""):
            note = _description(result, dataset, experiment, first.info.run_id, gans)
            client.set_tag(first.info.run_id, _NOTE, note)
        return None
    _drop_unfinished(store, experiment, digest)
    tags = (
        lineage_tags("pipeline", dataset)
        | store.own_process()
        | {
            "ganlift.verdict": result["verdict"],
            "ganlift.lift_sha256": digest,
            "mlflow.source.name": "python -m tasks.report",
        }
    )
    name = f"{result['verdict']}: {_interval(result['lift_pp'])}"
    run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    now = time.time_ns() // 1_000_000
    metrics = [Metric(key, value, now, 0) for key, value in _metrics(result)]
    flat = list(flatten(params).items())
    client.log_batch(run_id, metrics=metrics)
    for start in range(0, len(flat), 100):  # MLflow's limit
        client.log_batch(run_id, params=[Param(*item) for item in flat[start : start + 100]])
    with tempfile.TemporaryDirectory() as scratch:
        copy(page, Path(scratch) / REPORT)
        _write_summary_picture(pictures, Path(scratch) / _PICTURE)
        client.log_artifacts(run_id, scratch)
    client.log_artifact(run_id, str(lift))
    client.log_artifacts(run_id, str(pictures), "pictures")
    client.set_tag(run_id, _NOTE, _description(result, dataset, experiment, run_id, gans))
    _write_arms(store, experiment, run_id, dataset, pd.read_parquet(runs))
    store.end(run_id, "FINISHED")
    return name


def _write_arms(
    store: Store, experiment: str, parent: str, dataset: str, runs: pd.DataFrame
) -> None:
    """Log a child run for each arm: every metric by classifier seed, its mean and deviation."""
    from mlflow.entities import Metric, Param

    client, names = store.client(), [c for c in runs.columns if c not in _NOT_METRICS]
    for arm, rows in runs.groupby("arm", sort=False):
        now = time.time_ns() // 1_000_000
        tags = lineage_tags("arm", dataset) | store.own_process()
        tags |= {"mlflow.parentRunId": parent, "ganlift.arm": str(arm)}
        run_id = client.create_run(experiment, tags=tags, run_name=str(arm)).info.run_id
        metrics = [
            Metric(safe_name(name), float(value), now, int(seed))
            for name in names
            for seed, value in zip(rows["seed"], rows[name], strict=True)
        ]
        for name in names:
            metrics.append(Metric(safe_name(f"{name}.mean"), float(rows[name].mean()), now, 0))
            metrics.append(Metric(safe_name(f"{name}.std"), float(rows[name].std(ddof=1)), now, 0))
        for start in range(0, len(metrics), 1000):  # MLflow's limit
            client.log_batch(run_id, metrics=metrics[start : start + 1000])
        client.log_batch(run_id, params=[Param("arm", str(arm))])
        store.end(run_id, "FINISHED")


def _metrics(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the lift, its interval, and every arm's mean as ``arm.metric``."""
    lift = result["lift_pp"]
    values = {"lift_pp": lift["mean"]} | {f"lift_pp_{k}": lift[k] for k in ("ci_low", "ci_high")}
    for arm, metrics in result["arms"].items():
        values |= {f"{arm}.{metric}": entry["mean"] for metric, entry in metrics.items()}
    for name, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield safe_name(name), float(value)


def _interval(lift: Mapping[str, float]) -> str:
    """Return ``+1.3 pp [0.4, 2.2]``."""
    return f"{lift['mean']:+.1f} pp [{lift['ci_low']:.1f}, {lift['ci_high']:.1f}]"


def _description(
    result: Mapping[str, Any], dataset: str, experiment: str, run_id: str, gans: str
) -> str:
    """Return what a reviewer reads first, as markdown: answer, picture, arms, GANs."""
    lift, metric = result["lift_pp"], result["primary_metric"]
    words = metric.replace("_", " ")
    lines = [
        f"## {_ANSWERS.get(result['verdict'], result['verdict'])}: {_interval(lift)}",
        "",
        f"Verdict **{result['verdict']}**. Lift in {words} of *{result['treatment']}* over "
        f"*{result['baseline']}* on {plain(Path(dataset).name)}: **{lift['mean']:+.2f}** "
        f"percentage points, {lift['level']:.0%} interval "
        f"**[{lift['ci_low']:.2f}, {lift['ci_high']:.2f}]**. "
        f"[The whole report]({run_page(experiment, run_id, f'/artifacts/{REPORT}')})",
        "",
        # Relative, so that it holds whatever the server is called.
        f"![lift by arm](get-artifact?path={_PICTURE}&run_uuid={run_id})",
        "",
        f"| arm | {words} | deviation over seeds |",
        "|---|---|---|",
    ]
    for arm, metrics in result["arms"].items():
        entry = metrics[metric]
        lines.append(f"| {plain(arm)} | {entry['mean']:.4f} | {entry['std']:.4f} |")
    for seed, gan in result["gans"].items():
        if gan["collapsed"]:
            names = plain(", ".join(gan["collapsed"][:_MOST_NAMED]))
            more = ", …" if len(gan["collapsed"]) > _MOST_NAMED else ""
            lines += ["", f"**GAN seed {int(seed)} has collapsed** on {names}{more}"]
    note = "\n".join([*lines, "", gans])
    return note if len(note) <= _NOTE_LENGTH else f"{note[: _NOTE_LENGTH - 7]}… [cut]"


def _write_summary_picture(pictures: Path, out: Path) -> None:
    """Write lift by arm as wide as the description is: MLflow shows pictures at their own size."""
    with Image.open(pictures / "lift_by_arm.png") as picture:
        height = round(picture.height * _PICTURE_WIDTH / picture.width)
        small = picture.convert("RGB").resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(out)


def _gan_links(store: Store, experiment: str, gan_metrics: Path) -> str:
    """Return links to the GAN runs behind the result, found by their checkpoints' hashes."""
    links = []
    for seed, entry in json.loads(gan_metrics.read_text(encoding="utf-8")).items():
        run = store.finished(experiment, "ganlift.checkpoint", entry["checkpoint"])
        name = f"GAN seed {int(seed)}"
        links.append(
            f"[{name}]({run_page(experiment, run.info.run_id)})" if run else f"{name} ({_LATER})"
        )
    return f"Made with: {' · '.join(links)}"


def _drop_unfinished(store: Store, experiment: str, digest: str) -> None:
    """Delete what an interrupted attempt at the same results left behind, children first."""
    client = store.client()
    for run in client.search_runs([experiment], f"tags.`ganlift.lift_sha256` = '{digest}'"):
        children = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        for child in client.search_runs([experiment], children):
            client.delete_run(child.info.run_id)
        client.delete_run(run.info.run_id)
