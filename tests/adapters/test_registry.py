"""The registered classifier: what it says of itself, who becomes champion, what can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from safetensors.torch import load_file

from tasks.adapters.tracking.model_names import registered_name
from tasks.adapters.tracking.past_runs import log_missing
from tasks.adapters.tracking.registry import save_classifier, why_not
from tasks.classifier.networks import build_classifier
from tasks.contracts.arms import FILTERED
from tasks.lift.result import LiftResult
from tests.adapters.fake_results import (
    DATASET,
    LIFT,
    REPOSITORY,
    make_classifier,
    make_retrained,
    write_json,
)
from tests.adapters.logged import client, log_results, runs_of
from tests.answer.fake_report import altered, fake_lift

NAME = registered_name(DATASET)
PREDICT = """
import sys, mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2])))
import tasks.classifier
assert tasks.__file__.startswith(sys.argv[1]), tasks.__file__
"""


def versions() -> list[ModelVersion]:
    found = client().search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: int(version.version))


def champion() -> str | None:
    aliases = client().get_registered_model(NAME).aliases
    return str(aliases["champion"]) if "champion" in aliases else None


def another(
    paths: dict[str, Path], lift: LiftResult = LIFT, *, test: str = "cd" * 32, **scores: float
) -> None:
    """Log another result, whose classifier has these scores."""
    make_classifier(paths["classifier"])
    write_json(paths["retrain"], make_retrained(paths["classifier"], test, **scores))
    # each result another file, as another lift would be
    lift = altered(lift, digests={"test": test}, answer=f"{test} {scores}")
    paths["lift"].write_text(lift.dumps())
    log_results(paths)


def test_a_result_is_a_version_with_its_lift_and_becomes_champion(
    paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    log_results(paths)
    assert capsys.readouterr().out == f"model    {NAME} version 1 is the champion now\n"
    (version,) = versions()
    assert champion() == "1"
    (run,) = runs_of("pipeline")
    assert version.run_id == run.info.run_id
    assert version.description.startswith(
        "helps: lift in balanced accuracy of +1.3 points [+0.4, +2.2] (95 % confidence interval), "
        f"{FILTERED} against {LIFT.baseline}"
    )
    tags = version.tags
    assert tags["ganlift.verdict"] == "helps"
    assert (tags["ganlift.treatment"], tags["ganlift.baseline"]) == (FILTERED, LIFT.baseline)
    assert [float(tags[f"ganlift.lift_pp{end}"]) for end in ("", "_ci_low", "_ci_high")] == [
        1.31,
        0.42,
        2.18,
    ]
    assert (tags["ganlift.primary_metric"], tags["ganlift.value"]) == ("balanced_accuracy", "0.9")
    assert (tags["ganlift.test_digest"], tags["ganlift.arm"]) == ("cd" * 32, FILTERED)
    assert tags["ganlift.lift_sha256"] == run.data.tags["ganlift.lift_sha256"]
    log_results(paths)
    assert log_missing(dataset=DATASET, paths=paths)[2:] == []
    assert capsys.readouterr().out == ""
    assert len(versions()) == 1
    assert len(client().get_run(run.info.run_id).outputs.model_outputs) == 1


def test_the_champion_gives_way_only_to_one_that_is_not_worse(
    paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    log_results(paths)
    another(paths, balanced_accuracy=0.89)
    assert champion() == "1"
    assert "worse than the champion's 0.9000" in capsys.readouterr().out
    assert "is worse" in versions()[1].tags["ganlift.champion"]
    another(paths, balanced_accuracy=0.9)
    assert champion() == "3"
    another(paths, altered(LIFT, verdict="inconclusive"), balanced_accuracy=0.99)
    another(paths, balanced_accuracy=0.99, test="ef" * 32)
    assert champion() == "3"
    assert "another test split" in capsys.readouterr().out


TAGS = {
    "ganlift.verdict": "helps",
    "ganlift.arm": FILTERED,
    "ganlift.treatment": FILTERED,
    "ganlift.test_digest": "d",
    "ganlift.primary_metric": "balanced_accuracy",
    "ganlift.value": "0.9",
}


@pytest.mark.parametrize(
    ("new", "champion_has", "reason"),
    [
        ({}, None, None),
        ({}, {}, None),
        ({"ganlift.value": "0.91"}, {}, None),
        ({"ganlift.value": "0.89"}, {}, "worse"),
        ({"ganlift.value": "nan"}, {}, "not a finite number"),
        ({"ganlift.verdict": "inconclusive"}, None, "'inconclusive'"),
        ({"ganlift.verdict": "hurts", "ganlift.value": "1.0"}, {}, "'hurts'"),
        ({"ganlift.treatment": "synthetic only"}, None, "about 'synthetic only'"),
        ({"ganlift.test_digest": "e", "ganlift.value": "1.0"}, {}, "another test split"),
        ({"ganlift.primary_metric": "macro_f1"}, {}, "judged by 'balanced_accuracy'"),
    ],
)
def test_who_may_become_champion(
    new: Mapping[str, str], champion_has: Mapping[str, str] | None, reason: str | None
) -> None:
    said = why_not(TAGS | new, None if champion_has is None else TAGS | champion_has)
    assert said is None if reason is None else reason in str(said)


def test_less_log_loss_is_better() -> None:
    less, more = (
        TAGS | {"ganlift.primary_metric": "log_loss", "ganlift.value": value}
        for value in ("0.2", "0.3")
    )
    assert why_not(less, more) is None
    assert "worse" in str(why_not(more, less))


def test_the_recall_of_a_class_is_found_by_its_name(paths: dict[str, Path]) -> None:
    another(paths, fake_lift(metric="recall:class 1"), recall_1=0.25)
    assert versions()[0].tags["ganlift.value"] == "0.25"


def test_the_model_tells_classes_without_a_checkout_and_holds_no_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # a loaded model puts its own code in front
    make_classifier(tmp_path / "kept")
    save_classifier(tmp_path / "model", tmp_path / "kept", "crop")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    places = [tmp_path / name for name in ("model", "images.npy", "told.npy")]
    subprocess.run([sys.executable, "-c", PREDICT, *map(str, places)], check=True, cwd=tmp_path)
    told = np.load(tmp_path / "told.npy")

    network = build_classifier("small_cnn", channels=1, classes=2, image_size=8).eval()
    network.load_state_dict(load_file(tmp_path / "kept" / "model.safetensors"))
    with torch.inference_mode():
        scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        expected = network(scaled).softmax(dim=1).numpy()
    np.testing.assert_allclose(told, expected, atol=1e-6)
    pickles = (".pkl", ".pickle", ".pt", ".pth")
    assert not [f for f in (tmp_path / "model").rglob("*") if f.suffix in pickles]
    config = mlflow.pyfunc.load_model(str(tmp_path / "model")).unwrap_python_model().config
    assert (config["fit"], config["class_names"]) == ("crop", ["class 0", "class 1"])
    model = mlflow.models.Model.load(str(tmp_path / "model"))
    assert model.signature.inputs.inputs[0].shape == (-1, 8, 8, 1)
    assert model.signature.outputs.inputs[0].shape == (-1, 2)
    assert model.saved_input_example_info is not None


def test_a_registry_out_of_reach_costs_one_line_and_is_mended_later(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = "http://127.0.0.1:9"  # the discard port: nothing listens
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_REGISTRY_URI", dead)
        log_results(paths)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"tracking: cannot reach {dead}; the results are safe")
        said = log_missing(dataset=DATASET, paths=paths)
        assert said[-1] == f"model: not registered, cannot reach {dead}"
    assert len(runs_of("pipeline")) == 1
    assert log_missing(dataset=DATASET, paths=paths) == [
        f"model    {NAME} version 1 is the champion now"
    ]
    assert len(runs_of("pipeline")) == 1
    assert len(runs_of("pipeline")[0].outputs.model_outputs) == 1


def test_a_registry_that_refuses_leaves_the_run_whole(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise MlflowException("Model registry functionality is unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", refused)
        log_results(paths)
    assert "registry functionality is unavailable" in capsys.readouterr().err
    assert [run.info.status for run in runs_of("pipeline")] == ["FINISHED"]
    assert "ganlift.champion" not in versions()[0].tags
    log_results(paths)  # goes on where it broke off
    assert (len(versions()), champion()) == (1, "1")


def test_weights_of_another_run_are_not_registered(
    paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    make_classifier(paths["classifier"], seed=7)
    log_results(paths)
    assert "not the classifier that retrain.json describes" in capsys.readouterr().err
    assert client().search_registered_models() == []


def test_the_models_requirements_cover_what_its_code_imports() -> None:
    from tasks.adapters.tracking.registry import _REQUIREMENTS

    check = (
        "import sys, tasks.data.batches; from tasks.classifier.networks import build_classifier; "
        "build_classifier('resnet18', channels=1, classes=2, image_size=8); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"torch", "torchvision"} <= modules
    tools = {"torch", "torchvision", "pydantic", "yaml", "rich", "sklearn", "scipy", "statsmodels"}
    named = {"yaml": "pyyaml", "sklearn": "scikit-learn"}
    assert {named.get(tool, tool) for tool in tools & modules} <= set(_REQUIREMENTS)
