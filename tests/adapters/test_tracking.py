"""What is logged can be read back: GANs, pipelines, and what was missed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from tasks.adapters.tracking import store
from tasks.adapters.tracking.gan import gan_run, is_logged
from tasks.adapters.tracking.lineage import plain
from tasks.adapters.tracking.past_runs import log_missing
from tasks.adapters.tracking.run_list import TAG, list_page
from tasks.adapters.tracking.store import Store
from tasks.adapters.tracking.work import begin, begun
from tasks.contracts.arms import ARMS, FILTERED, UNFILTERED
from tasks.contracts.errors import UserError
from tasks.contracts.machine import processor
from tests.adapters.fake_results import (
    DATASET,
    HALF,
    METRICS,
    TRAIN_MD5,
    curve,
    write_json,
)
from tests.adapters.logged import checkpoint, client, log_gan, log_results, runs_of
from tests.answer.fake_report import USUAL


def logged_table(run_id: str, name: str) -> pd.DataFrame:
    return pd.read_json(client().download_artifacts(run_id, name), orient="split")


def test_mlflow_is_the_real_package() -> None:
    assert mlflow.__version__.startswith("3.")
    assert not (Path(__file__).parents[2] / "mlflow" / "__init__.py").exists()


def test_a_gan_run_reads_back(paths: dict[str, Path]) -> None:
    grid = paths["gan_grids"] / "0" / "000004.png"
    with gan_run(
        dataset=DATASET,
        gan_seed=0,
        params={"width": 64, "diffaug": ["cutout"]},
        train=paths["train"],
    ) as run:
        run.tick({"kimg": 2.0, **curve(0, 1), "images_per_second": 50.0}, None)
        run.tick({"kimg": 4.0, **curve(0, 2), "images_per_second": float("nan")}, grid)
        drawn = [grid.with_name(f"{kind}.png") for kind in ("truncation", "walk")]
        run.finish(paths["gan"] / "0", checkpoint(paths, 0), drawn)

    (logged,) = runs_of("gan")
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "GAN seed 0"
    assert logged.data.params == {"width": "64", "diffaug": '["cutout"]', "gan_seed": "0"}
    assert logged.data.tags["ganlift.checkpoint"] == checkpoint(paths, 0)
    assert len(logged.data.tags["ganlift.dvc_lock"]) == 64
    assert "ganlift.process" not in logged.data.tags
    (dataset,) = logged.inputs.dataset_inputs
    assert dataset.dataset.digest == TRAIN_MD5
    history = client().get_metric_history(logged.info.run_id, "loss_d")
    assert [(m.step, m.value) for m in history] == [
        (2000, curve(0, 1)["loss_d"]),
        (4000, curve(0, 2)["loss_d"]),
    ]
    assert "kimg" not in logged.data.metrics
    assert "samples_last.png" in [f.path for f in client().list_artifacts(logged.info.run_id)]
    assert "path=samples_last.png" in logged.data.tags["mlflow.note.content"]
    images = [f.path for f in client().list_artifacts(logged.info.run_id, "images")]
    assert any("samples" in path and "4000" in path for path in images)
    for kind in ("truncation", "walk"):
        assert f"path={kind}_last.png" in logged.data.tags["mlflow.note.content"]
        file = client().download_artifacts(logged.info.run_id, f"{kind}_last.png")
        with Image.open(file) as picture:
            assert picture.getpixel((3, 3)) == (40, 0, 0)


def test_two_gan_runs_open_at_once_keep_apart(paths: dict[str, Path]) -> None:
    settings = {"dataset": DATASET, "params": {}, "train": paths["train"]}
    with gan_run(gan_seed=0, **settings) as first, gan_run(gan_seed=1, **settings) as second:
        for n in (1, 2, 3):
            first.tick({"kimg": 2.0 * n, **curve(0, n)}, None)
            second.tick({"kimg": 2.0 * n, **curve(1, n)}, None)
        second.finish(paths["gan"] / "1", checkpoint(paths, 1))
        first.finish(paths["gan"] / "0", checkpoint(paths, 0))
    assert mlflow.active_run() is None
    for run in runs_of("gan"):
        seed = int(run.data.tags["ganlift.gan_seed"])
        history = client().get_metric_history(run.info.run_id, "loss_g")
        assert [m.value for m in history] == [curve(seed, n)["loss_g"] for n in (1, 2, 3)]
        assert run.data.tags["ganlift.checkpoint"] == checkpoint(paths, seed)


def test_a_failed_body_ends_the_run_as_failed_and_goes_on_raising(paths: dict[str, Path]) -> None:
    def broken() -> None:
        with gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]) as run:
            run.tick({"kimg": 2.0, **curve(0, 1)}, None)
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        broken()
    (logged,) = runs_of("gan")
    assert logged.info.status == "FAILED"
    assert logged.data.metrics["loss_g"] == curve(0, 1)["loss_g"]


def test_a_checkpoint_is_logged_once_its_run_has_finished(paths: dict[str, Path]) -> None:
    digest = checkpoint(paths, 0)
    assert not is_logged(DATASET, digest)
    with gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]) as run:
        assert not is_logged(DATASET, digest)
        run.finish(paths["gan"] / "0", digest)
    assert is_logged(DATASET, digest)
    assert not is_logged(DATASET, checkpoint(paths, 1))


def test_the_same_checkpoint_again_points_to_the_first_run(paths: dict[str, Path]) -> None:
    log_gan(paths)
    log_gan(paths)
    first, again = runs_of("gan")
    assert again.info.status == "FINISHED"
    assert again.data.tags["ganlift.repeat_of"] == first.info.run_id
    assert "ganlift.checkpoint" not in again.data.tags
    assert first.outputs.model_outputs
    assert not again.outputs.model_outputs


def test_the_model_makes_images_again_and_holds_no_pickle(paths: dict[str, Path]) -> None:
    log_gan(paths, seed=1)
    (run,) = runs_of("gan")
    model = client().get_logged_model(run.outputs.model_outputs[0].model_id)
    folder = Path(mlflow.artifacts.download_artifacts(model.artifact_location))
    assert not [f for f in folder.rglob("*") if f.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    assert (folder / "code" / "tasks" / "gan" / "sampling.py").is_file()
    loaded = mlflow.pyfunc.load_model(str(folder))
    rows = pd.DataFrame({"label": [0, 1], "latent_seed": [5, 7]})
    images = loaded.predict(rows)
    assert images.dtype == np.uint8
    assert images.shape == (2, 8, 8, 1)
    assert images[:, 0, 0, 0].tolist() == [41 + 5, 41 + 10 + 7]
    assert loaded.metadata.signature.outputs.inputs[0].shape == (-1, 8, 8, 1)
    with pytest.raises(mlflow.MlflowException, match="latent_seed"):
        loaded.predict(rows[["label"]])


def test_a_pipeline_reads_back_with_its_arms(paths: dict[str, Path]) -> None:
    log_gan(paths)
    log_results(paths)
    (run,) = runs_of("pipeline")
    assert run.info.run_name == "helps: +1.3 points [+0.4, +2.2]"
    assert run.info.status == "FINISHED"
    assert run.data.tags["ganlift.verdict"] == "helps"
    asked = yaml.safe_load(Path("params.yaml").read_text())  # as it is written there
    assert run.data.params["train_gan.total_kimg"] == str(asked["train_gan"]["total_kimg"])
    assert run.data.params["ingest.source"] == DATASET
    lift = json.loads(paths["lift"].read_text())
    assert run.data.metrics["lift_pp"] == lift["lift_pp"]["mean"]
    assert run.data.metrics["lift_pp_ci_high"] == lift["lift_pp"]["ci_high"]
    mean = lift["arms"][FILTERED]["balanced_accuracy"]["mean"]
    assert run.data.metrics["real_filtered.balanced_accuracy"] == mean
    assert len(run.data.metrics) <= 20  # a few that a person can look through
    assert run.data.metrics["gan/kid"] == pytest.approx(0.015)  # mean of 0.01 and 0.02
    assert run.data.metrics["worth_real_images"] == 41
    for name, value in {"mde_pp": 1.2, "p_value": 0.012}.items():
        assert run.data.metrics[name] == value
    files = [f.path for f in client().list_artifacts(run.info.run_id)]
    assert {"00_lift_report.html", "lift.json", "pictures"} <= set(files)
    assert min(f for f in files if f != "pictures") == "00_lift_report.html"

    note = run.data.tags["mlflow.note.content"]
    said = plain("+1.3 points [+0.4, +2.2]")
    assert note.startswith(f"## GAN images make the classifier better: {said}\n")
    assert plain("Yes: adding filtered GAN images gave a lift in balanced accuracy of") in note
    assert {one.data.tags["ganlift.processor"] for one in (run, *runs_of("gan"))} == {processor()}
    assert f"Computed on {plain(processor())}" in note
    assert all(plain(arm) in note for arm in USUAL)
    assert plain("About 41 more real images [+15, +90]: ") in note
    assert "the strongest arm without GAN images on real/val" in note
    assert "both with the recipe mixup for 800 steps" in note
    assert plain("less than the standard error of that gain.") in note
    assert "p 0.012\n" in note
    told = [FILTERED, UNFILTERED, "+0.5 [+0.4, +2.2]", "0.040"]
    assert f"| {' | '.join(told)} |" in note.replace(" &emsp;", " ")
    assert plain(HALF) not in note  # of the curve, not of the table
    assert f"get-artifact?path=lift_by_arm_small.png&run_uuid={run.info.run_id}" in note
    assert f"runs/{runs_of('gan')[0].info.run_id}" in note
    assert "GAN seed 1 (not logged yet" in note
    assert "**GAN seed 1 has collapsed** on class 1, &#60;i&#62;\n" in note
    assert "GAN seed 0 has collapsed" not in note

    table = pd.read_parquet(paths["runs"])
    arms = runs_of("arm")
    assert [arm.info.run_name for arm in arms] == [*ARMS, HALF]
    assert all(arm.data.tags["mlflow.parentRunId"] == run.info.run_id for arm in arms)
    rows = table[table["arm"] == FILTERED]
    judged = arms[ARMS.index(FILTERED)]
    for name in METRICS[:4]:
        (point,) = client().get_metric_history(judged.info.run_id, name)  # no line through seeds
        assert (point.step, point.value) == (0, pytest.approx(rows[name].mean(), abs=1e-6))
    of = lift["arms"][FILTERED]["accuracy"]
    assert judged.data.metrics["accuracy.ci_low"] == of["ci_low"]
    assert judged.data.metrics["accuracy.ci_high"] == of["ci_high"]
    assert judged.data.metrics["steps"] == 300
    assert not {"recall_0", "gan_seed", "recipe"} & set(judged.data.metrics)
    assert judged.info.start_time == judged.info.end_time  # logging took what time it took
    seeds = logged_table(judged.info.run_id, "seeds.json")
    assert list(seeds["seed"]) == [0, 1, 2]
    assert list(seeds["recall_1"]) == pytest.approx(list(rows["recall_1"]))
    assert {arm.data.params["recipe"] for arm in arms} == {"mixup"}


def test_a_pipeline_tells_its_data_its_arms_and_when_its_work_began(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANLIFT_BEGUN", "0")  # and so put back afterwards
    begin()
    began = begun()
    time.sleep(0.02)
    log_results(paths)
    (run,) = runs_of("pipeline")
    assert run.info.start_time == round(1000 * began)
    assert run.info.end_time > run.info.start_time
    (known,) = run.inputs.dataset_inputs
    assert (known.dataset.name, known.dataset.digest) == ("digits train", TRAIN_MD5)
    assert [(tag.key, tag.value) for tag in known.tags] == [("mlflow.data.context", "training")]
    lift = json.loads(paths["lift"].read_text())
    arms = logged_table(run.info.run_id, "arms.json")
    assert list(arms["arm"]) == list(lift["arms"])
    means = [of["balanced_accuracy"]["mean"] for of in lift["arms"].values()]
    assert list(arms["balanced_accuracy"]) == pytest.approx(means)
    low = lift["arm_lift_pp"]["synthetic only"]["ci_low"]
    assert list(arms["lift from"])[-1] == pytest.approx(low)
    note = run.data.tags["mlflow.note.content"]
    files = {f.path for f in client().list_artifacts(run.info.run_id)}
    for name in ("lift_by_arm", "confusion", "flipped"):
        assert f"get-artifact?path={name}_small.png" in note
        file = client().download_artifacts(run.info.run_id, f"{name}_small.png")
        with Image.open(file) as picture:
            assert picture.width == 640
    assert files >= {"arms.json", "lift.json"}


def test_without_a_flow_the_work_began_with_this_process_or_with_dvc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GANLIFT_BEGUN", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert begun() == psutil.Process().create_time()
    monkeypatch.setenv("DVC_STAGE", "report")
    assert begun() == psutil.Process().parent().create_time()


def test_an_experiment_offers_the_list_of_results_as_a_view(paths: dict[str, Path]) -> None:
    log_results(paths)
    experiment = client().get_experiment_by_name("digits")
    client().set_experiment_tag(experiment.experiment_id, TAG, "of a former ganlift")
    Store(store.tracking_uri()).experiment(DATASET)
    view = json.loads(client().get_experiment_by_name("digits").tags[TAG])
    state = json.loads(view["state"])
    (run,) = runs_of("pipeline")
    said = {name.split("`")[1] for name in state["selectedColumns"] if "attributes" not in name}
    assert said <= {*run.data.metrics, *run.data.tags}
    assert client().search_runs([experiment.experiment_id], state["searchFilter"])
    assert TAG.endswith(list_page("1").partition("viewStateShareKey=")[2].partition("&")[0])


def test_how_the_recipe_was_settled_is_logged_as_a_table_and_a_picture(
    paths: dict[str, Path],
) -> None:
    log_results(paths)
    (run,) = runs_of("pipeline")
    assert run.data.params["recipe"] == "mixup"
    assert run.data.params["steps"] == "800"
    table = logged_table(run.info.run_id, "settling.json")
    settling = json.loads(paths["lift"].read_text())["classifier"]["settling"]
    assert list(table.columns) == list(settling[0])
    for row, of in zip(table.to_dict("records"), settling, strict=True):
        assert row == pytest.approx(of)
    drawn = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    tables = [{"path": path, "type": "table"} for path in ("arms.json", "settling.json")]
    assert drawn == tables
    pictures = [f.path for f in client().list_artifacts(run.info.run_id, "pictures")]
    assert "pictures/settling.png" in pictures


def test_a_declared_recipe_has_no_table(paths: dict[str, Path]) -> None:
    lift = json.loads(paths["lift"].read_text())
    declared = {"settling": [], "settled_by": "declared", "gain": None}
    lift["classifier"] |= declared | {"gain_standard_error": None}
    write_json(paths["lift"], lift)
    log_results(paths)
    (run,) = runs_of("pipeline")
    files = [f.path for f in client().list_artifacts(run.info.run_id)]
    assert "settling.json" not in files
    assert run.data.params["recipe"] == "mixup"


def test_the_same_results_are_logged_once(paths: dict[str, Path]) -> None:
    for _ in range(2):
        log_results(paths)
    assert len(runs_of("pipeline")) == 1
    write_json(paths["lift"], json.loads(paths["lift"].read_text()) | {"verdict": "inconclusive"})
    log_results(paths)
    assert [run.data.tags["ganlift.verdict"] for run in runs_of("pipeline")] == [
        "helps",
        "inconclusive",
    ]


def test_what_an_interrupted_attempt_left_is_replaced(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = MlflowClient.set_terminated

    def broken(self: MlflowClient, run_id: str, status: str, *rest: object) -> None:
        if not self.get_run(run_id).data.tags.get("mlflow.parentRunId"):
            raise OSError("No space left on device")
        real(self, run_id, status)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", broken)
        log_results(paths)
    assert "No space left on device" in capsys.readouterr().err
    said = log_missing(dataset=DATASET, paths=paths)[2:]  # two GANs come first
    assert [line.split()[0] for line in said] == ["pipeline:", "model"]
    assert [run.info.status for run in runs_of("pipeline")] == ["FINISHED"]
    assert len(runs_of("arm")) == len([*ARMS, HALF])


def test_exactly_what_is_missing_is_logged(paths: dict[str, Path]) -> None:
    log_gan(paths, seed=0)
    log_results(paths)
    assert log_missing(dataset=DATASET, paths=paths) == [
        f"GAN seed 1: logged, checkpoint {checkpoint(paths, 1)[:12]}"
    ]
    assert log_missing(dataset=DATASET, paths=paths) == []
    _, replayed = runs_of("gan")
    artifacts = {f.path for f in client().list_artifacts(replayed.info.run_id)}
    assert {"truncation_last.png", "walk_last.png"} <= artifacts
    assert replayed.data.params["total_kimg"] == "123"  # from dvc.lock, not from params.yaml
    assert "seeds" not in replayed.data.params
    history = client().get_metric_history(replayed.info.run_id, "logit_fake")
    assert [m.step for m in history] == [2000, 4000, 6000, 8000]
    images = [f.path for f in client().list_artifacts(replayed.info.run_id, "images")]
    steps = sorted(path.split("+")[2] for path in images if path.endswith(".png"))
    assert steps == ["0", "4000", "8000"]
    for name, value in {"eval/kid": 1 + 0.1 / 4, "eval/coverage/class_1": 1 / 5}.items():
        history = client().get_metric_history(replayed.info.run_id, name)
        assert [m.step for m in history] == [4000, 8000]
        assert history[-1].value == pytest.approx(value)
    assert replayed.data.tags["ganlift.health"] == "collapsed: class 1; rolled back 2x"
    # The summary that was written before now links to both GANs.
    assert "not logged yet" not in runs_of("pipeline")[0].data.tags["mlflow.note.content"]


def test_speed_that_could_not_be_sent_is_logged_later(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = store.tracking_uri()
    monkeypatch.setattr(
        "tasks.adapters.tracking.gan.tracking_uri", lambda: "http://127.0.0.1:9"
    )  # the discard port: nothing listens
    log_gan(paths, seed=1)
    monkeypatch.setattr("tasks.adapters.tracking.gan.tracking_uri", lambda: here)
    log_missing(dataset=DATASET, paths=paths)
    replayed = next(run for run in runs_of("gan") if run.data.params["gan_seed"] == "1")
    history = client().get_metric_history(replayed.info.run_id, "images_per_second")
    assert [(m.step, m.value) for m in history] == [(2000, 50.0), (4000, 50.0)]


def test_without_results_there_is_nothing_to_log(paths: dict[str, Path]) -> None:
    paths["gan_metrics"].unlink()
    with pytest.raises(UserError, match="no results to log"):
        log_missing(dataset=DATASET, paths=paths)


def test_a_missing_checkpoint_is_said_and_the_rest_logged(paths: dict[str, Path]) -> None:
    (paths["gan"] / "0").rename(paths["gan"] / "moved")
    lines = log_missing(dataset=DATASET, paths=paths)
    assert "GAN seed 0: not logged" in lines[0]
    assert [run.data.tags["ganlift.gan_seed"] for run in runs_of("gan")] == ["1"]
