"""`ganlift share`, to the server of ``mlflow/compose.yaml``, which runs without its containers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from tasks.adapters.tracking import share_runs
from tasks.adapters.tracking.model_names import CHAMPION, champion_of, registered_name
from tasks.adapters.tracking.registry import load_classifier
from tasks.adapters.tracking.store import local_uri
from tests.adapters.fake_results import DATASET
from tests.adapters.logged import log_gan, log_results, runs_of
from tests.adapters.shared_server import PASSWORD, USER, SharedServer, shared_server
from tests.flows.command_line import command
from tests.flows.tracked import tracked_project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    with shared_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not fail a test."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")


@pytest.fixture
def signed_in(server: SharedServer, monkeypatch: pytest.MonkeyPatch) -> SharedServer:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return server


def share(monkeypatch: pytest.MonkeyPatch, to: SharedServer) -> int:
    return command(monkeypatch, "share", to.url, "--database", to.database)


def files_below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def everything_about(client: MlflowClient, run_id: str, folder: Path) -> dict[str, object]:
    """Return what a store holds of a run, but for where its files and its experiment are."""
    run = client.get_run(run_id)
    folder.mkdir()
    client.download_artifacts(run_id, "", str(folder))
    models = [client.get_logged_model(one.model_id) for one in run.outputs.model_outputs]
    for model in models:
        download_artifacts(
            model.artifact_location,
            tracking_uri=client.tracking_uri,
            dst_path=str(folder / model.model_id),
        )
    return {
        "info": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "metrics": {
            name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "tags": {
            name: re.sub(r"#/experiments/\d+/", "", value) for name, value in run.data.tags.items()
        },
        "inputs": [
            (one.dataset.name, one.dataset.digest, [(t.key, t.value) for t in one.tags])
            for one in run.inputs.dataset_inputs
        ],
        "models": [(m.model_id, m.name, m.status, m.source_run_id, m.tags) for m in models],
        "files": files_below(folder),
    }


def test_a_store_reads_on_the_server_as_it_did_here(
    signed_in: SharedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = tracked_project(tmp_path / "mine", monkeypatch)
    log_gan(paths)
    log_results(paths)
    here = MlflowClient(local_uri())
    (experiment,) = [one for one in here.search_experiments() if one.name == "digits"]
    runs = here.search_runs([experiment.experiment_id])
    by_kind = {run.data.tags["ganlift.kind"]: run.info.run_id for run in runs}
    of_each_kind = by_kind.values()
    here.create_run(experiment.experiment_id)  # one that goes on
    removed = here.create_run(experiment.experiment_id).info.run_id
    here.set_terminated(removed)
    here.delete_run(removed)
    before = {run: everything_about(here, run, tmp_path / run) for run in of_each_kind}
    store = files_below(tmp_path / "mine" / "mlflow")
    capsys.readouterr()
    assert command(monkeypatch, "history") == 0
    history = capsys.readouterr().out

    insert, broken = share_runs.insert, []

    def insert_half(connection: object, table: str, rows: list[dict[str, object]]) -> None:
        if not broken and any(row.get("value") == "arm" for row in rows):
            broken.append(table)  # in the middle of a run; the two before it have been copied
            raise ConnectionError("the network is gone")
        insert(connection, table, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(share_runs, "insert", insert_half)
    assert share(monkeypatch, signed_in) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot reach" in line
    assert "what was copied is not copied twice" in line
    there = MlflowClient(signed_in.url)
    capsys.readouterr()
    assert share(monkeypatch, signed_in) == 0
    said = capsys.readouterr().out
    copied = [by_kind[kind][:8] for kind in ("gan", "pipeline")]
    assert not [run for run in copied if f"run {run}" in said], "copied twice"
    assert f"model {registered_name(DATASET)}: version 1 is {CHAMPION}" in said
    assert "runs that have not ended: 1" in said
    assert share(monkeypatch, signed_in) == 0
    said = capsys.readouterr().out
    assert "files:" not in said
    assert "version" not in said
    assert files_below(tmp_path / "mine" / "mlflow") == store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", signed_in.url)
    found = there.search_runs([there.get_experiment_by_name("digits").experiment_id])
    assert {run.info.run_id for run in found} == {run.info.run_id for run in runs}
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:/") for run in found)
    after = {run: everything_about(there, run, tmp_path / f"{run} there") for run in before}
    assert after == before
    assert command(monkeypatch, "history") == 0
    assert capsys.readouterr().out == history
    ids = [run.info.run_id for run in found if run.data.tags["ganlift.kind"] == "pipeline"]
    champion = champion_of(there, DATASET)
    assert champion is not None
    assert champion.run_id == ids[0]
    assert champion.tags == champion_of(here, DATASET).tags  # type: ignore[union-attr]
    assert load_classifier(DATASET, None).name.endswith("version 1")


def test_two_projects_share_one_server(
    signed_in: SharedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = MlflowClient(signed_in.url)
    there.create_experiment("takes the first id")
    name = registered_name(DATASET)
    # without their classifiers, whose models have a hundred files each
    monkeypatch.setattr("tasks.adapters.tracking.pipeline.register", lambda *_, **__: None)
    for project in ("one", "two"):
        paths = tracked_project(tmp_path / project, monkeypatch)
        here = MlflowClient(local_uri())
        if project == "two":
            here.create_experiment("takes another id")
        log_results(paths)
        (run,) = runs_of("pipeline")
        model = here.create_logged_model(run.info.experiment_id, "net", run.info.run_id)
        here.create_registered_model(name)
        here.create_model_version(
            name, model.artifact_location, run.info.run_id, tags={"of": project}
        )
        here.set_registered_model_alias(name, CHAMPION, "1")
        assert share(monkeypatch, signed_in) == 0
    said = capsys.readouterr().out
    versions = {int(one.version): one for one in there.search_model_versions(f"name = '{name}'")}
    last = max(versions)
    assert last >= 2
    assert f"model {name}: version {last}\n" in said
    assert re.search(rf"version \d+ stays {CHAMPION}, which comes from elsewhere", said)
    run = there.get_run(versions[last].run_id)
    local = here.get_run(run.info.run_id)
    assert local.info.experiment_id != run.info.experiment_id
    links = re.findall(r"#/experiments/(\d+)/", run.data.tags["mlflow.note.content"])
    assert set(links) == {run.info.experiment_id}
    assert versions[last].tags == {"of": "two"}
    assert versions[last].source.startswith(f"mlflow-artifacts:/{run.info.experiment_id}/models/")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", signed_in.url)
    assert command(monkeypatch, "compare", "latest~1", "latest") == 0
    capsys.readouterr()
    assert command(monkeypatch, "ui") == 0, "no server is started"
    first, second, every = capsys.readouterr().out.splitlines()
    assert first == f"MLflow is at {signed_in.url}"
    assert second.partition("#")[2].startswith(f"/experiments/{run.info.experiment_id}/runs/")
    assert every.partition("#")[2].startswith(f"/experiments/{run.info.experiment_id}/runs?")


def test_who_is_refused_reads_one_line(
    server: SharedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = tracked_project(tmp_path / "mine", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    for asking in (("history",), ("compare", "latest", "latest~1"), ("ui",), ("predict", ".")):
        assert command(monkeypatch, *asking) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "asks for a user and a password. Set MLFLOW_TRACKING_USERNAME and" in line
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another password")
    log_results(paths)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tracking: {server.url} does not accept this user and password; the")
    assert line.endswith("then run `ganlift track` later to log them")


def test_a_database_of_another_server_is_refused(
    signed_in: SharedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracked_project(tmp_path / "mine", monkeypatch)
    MlflowClient(local_uri()).create_experiment("of one's own")
    for database, said in (
        (local_uri(), "not the database of"),
        (signed_in.database.removesuffix("mlflow") + "postgres", "no tables of MLflow"),
        (signed_in.database.replace("mlflow@", "nobody:secret@"), "nobody"),
        ("postgresql://mlflow:secret@127.0.0.1:1/mlflow", "Start the server"),
        ("no address", "not the address of a database"),
    ):
        assert command(monkeypatch, "share", signed_in.url, "--database", database) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
        assert "secret" not in line
