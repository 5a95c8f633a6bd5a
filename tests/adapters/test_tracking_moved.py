from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.adapters.tracking.store import Store
from tests.adapters.fake_results import make_store

ELSEWHERE = "s3://bucket/mlflow/artifacts"


def _store(root: Path) -> Store:
    return Store(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose store holds a run with an artifact, a model of it, and another's bucket."""
    root = tmp_path / "here" / "a project"
    make_store(root)
    store = _store(root)
    client, experiment = store.client(), store.experiment("digits")
    run = client.create_run(experiment, run_name="first").info
    client.log_text(run.run_id, "the answer", "report.html")
    model = client.create_logged_model(experiment, name="net", source_run_id=run.run_id)
    client.create_registered_model("net")
    client.create_model_version("net", model.artifact_location, run.run_id)
    client.create_experiment("bucket", artifact_location=ELSEWHERE)
    return root


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_artifacts_and_models_are_found_where_the_project_was_brought(
    how, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there" / "100 % mine"
    there.parent.mkdir()
    how(project, there)
    before = sorted(path for path in project.rglob("*") if path.name != ".lock")
    store = _store(there)
    client, experiment = store.client(), store.experiment("digits")
    ours = (there / "mlflow" / "artifacts").as_uri()
    (run,) = client.search_runs([experiment])
    assert run.info.artifact_uri.startswith(f"{ours}/")
    assert Path(client.download_artifacts(run.info.run_id, "report.html")).read_text()
    (model,) = client.search_logged_models([experiment])
    assert model.artifact_location.startswith(f"{ours}/")
    version = client.get_model_version("net", "1")
    assert version.source == model.artifact_location
    new = client.create_run(experiment).info.run_id
    client.log_text(new, "x", "new.txt")
    assert (there / "mlflow" / "artifacts" / new / "artifacts" / "new.txt").is_file()
    assert sorted(path for path in project.rglob("*") if path.name != ".lock") == before
    bucket = client.get_experiment_by_name("bucket")
    assert bucket is not None
    assert bucket.artifact_location == ELSEWHERE
