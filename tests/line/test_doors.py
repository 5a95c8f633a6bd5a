"""The whole line on a tiny configuration, through both doors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from tasks.contracts.image_set import ImageSet
from tasks.gan.checkpoint import checkpoints, load_generator
from tasks.gan.sampling import sample
from tests.line.conftest import call

pytestmark = pytest.mark.line
Doors = tuple[Path, Path, str]


def logged(root: Path) -> list[tuple[str, str, dict[str, float]]]:
    """Return kind, name and metrics of every run in a project's store, clock values left out."""
    client = MlflowClient(f"sqlite:///{root}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    return sorted(
        (
            run.data.tags["ganlift.kind"],
            run.info.run_name,
            {k: v for k, v in run.data.metrics.items() if k != "images_per_second"},
        )
        for run in runs
    )


def test_both_doors_end_with_the_same_lock(doors: Doors) -> None:
    by_flow, by_dvc, _ = doors
    assert (by_flow / "dvc.lock").read_bytes() == (by_dvc / "dvc.lock").read_bytes()
    assert (by_flow / "params.yaml").read_bytes() == (by_dvc / "params.yaml").read_bytes()


def test_the_summary_shows_verdict_interval_and_report(doors: Doors) -> None:
    by_flow, _, printed = doors
    lift = json.loads((by_flow / "reports/lift.json").read_text())
    assert lift["verdict"] in printed
    assert f"{lift['lift_pp']['ci_low']:+.1f}".lstrip("+").replace("-", "") in printed
    assert "reports/lift.html" in printed


def test_mlflow_shows_the_same_whichever_door_was_used(doors: Doors) -> None:
    by_flow, by_dvc, _ = doors
    assert logged(by_flow) == logged(by_dvc)
    kinds = Counter(kind for kind, _, _ in logged(by_flow))
    assert kinds == {"gan": 2, "pipeline": 1, "arm": 6}


def test_the_flow_logs_the_line_that_it_has_finished(doors: Doors) -> None:
    by_flow, _, _ = doors
    client = MlflowClient(f"sqlite:///{by_flow}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`ganlift.line` = 'dvc.lock'")
    for name in ("dvc.lock", "params.yaml", "reports/lift.json"):
        kept = Path(client.download_artifacts(run.info.run_id, f"line/{name}"))
        assert kept.read_bytes() == (by_flow / name).read_bytes()


def test_nothing_to_do_is_nothing_done(doors: Doors, prefect_url: str) -> None:
    by_flow, by_dvc, _ = doors
    status = call(by_flow, "dvc", "status")
    assert "up to date" in status.stdout, status.stdout
    lock, runs = (by_flow / "dvc.lock").read_bytes(), logged(by_flow)
    again = call(by_flow, "ganlift", "run", prefect=prefect_url)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("unchanged") == 8, again.stdout
    assert (by_flow / "dvc.lock").read_bytes() == lock
    assert logged(by_flow) == runs
    assert "up to date" in call(by_dvc, "dvc", "repro").stdout


def test_a_setting_of_the_classifier_reruns_what_trains_it_and_what_follows_alone(
    doors: Doors, prefect_url: str
) -> None:
    _, by_dvc, _ = doors
    before = yaml.safe_load((by_dvc / "dvc.lock").read_text())["stages"]
    settings = ("--set", "retrain.weight_decay=0.02")
    run = call(by_dvc, "ganlift", "run", *settings, prefect=prefect_url)
    assert run.returncode == 0, run.stdout + run.stderr
    states = {
        words[0]: words[1] for line in run.stdout.splitlines() if len(words := line.split()) >= 2
    }
    above = ("ingest", "validate", "train_gan", "generate", "quality_filter", "merge")
    assert {states[stage] for stage in above} == {"unchanged"}
    assert states["retrain"] == "done"
    after = yaml.safe_load((by_dvc / "dvc.lock").read_text())["stages"]
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed <= {"retrain", "report"}
    assert "retrain" in changed


def test_a_failed_stage_says_why_and_leaves_the_results(doors: Doors, prefect_url: str) -> None:
    by_flow, _, _ = doors
    kept = {
        path: path.read_bytes()
        for path in (by_flow / "reports").rglob("*")
        if path.is_file() and not path.name.startswith("filter_")
    }
    accepted = (by_flow / "data/synthetic/accepted/images.npy").read_bytes()
    params = (by_flow / "params.yaml").read_text()
    rules = ("copy_quantile", "confidence_quantile", "p_real_quantile")  # nothing passes all three
    settings = [text for rule in rules for text in ("--set", f"quality_filter.{rule}=1.0")]
    failed = call(by_flow, "ganlift", "run", *settings, prefect=prefect_url)
    (by_flow / "params.yaml").write_text(params)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stdout + failed.stderr
    line = next(one for one in failed.stderr.splitlines() if one.startswith("error:"))
    assert "fell to copy" in line
    assert "quality_filter.copy_quantile" in line
    assert (by_flow / "data/synthetic/accepted/images.npy").read_bytes() == accepted
    assert {path: path.read_bytes() for path in kept} == kept


def test_any_synthetic_image_can_be_made_again_from_its_row(doors: Doors) -> None:
    by_flow, _, _ = doors
    accepted = ImageSet.load(by_flow / "data/synthetic/accepted")
    folders = checkpoints(by_flow / "models/gan")
    for number in (0, len(accepted) // 2, len(accepted) - 1):
        row = accepted.manifest.iloc[number]
        generator = load_generator(folders[int(row["gan_seed"])])
        again = sample(
            generator, np.array([row["label"]]), np.array([row["latent_seed"]], dtype=np.int64)
        )
        np.testing.assert_array_equal(again[0], accepted.images[number])


def test_dvc_shows_the_metrics_on_one_screen_and_the_plots(doors: Doors) -> None:
    by_flow, _, _ = doors
    shown = call(by_flow, "dvc", "metrics", "show")
    header, row = shown.stdout.splitlines()
    assert max(len(header), len(row)) <= 120
    assert row.startswith("reports/metrics.json ")
    lift = json.loads((by_flow / "reports/lift.json").read_text())["lift_pp"]["mean"]
    assert row.split()[header.split().index("lift")] == str(round(lift, 2))
    plots = call(by_flow, "dvc", "plots", "show", "--out", "dvc_plots")
    assert plots.returncode == 0, plots.stderr
    page = (by_flow / "dvc_plots/index.html").read_text()
    for name in ("GAN losses", "Pool images", "lift_by_arm.png", "real_curve.png"):
        assert name in page
