"""The store: where it is, and that it can never fail a stage."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adapters.tracking.gan import gan_run, is_logged
from tasks.adapters.tracking.lineage import digest_of, experiment_name, flatten, safe_name
from tasks.adapters.tracking.past_runs import log_missing
from tasks.adapters.tracking.server import serve
from tasks.adapters.tracking.store import Store, quick, tracking_uri
from tasks.contracts.errors import UserError
from tests.adapters.fake_results import DATASET, curve, make_images, make_results, make_store
from tests.adapters.logged import log_results


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def paths(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    return make_results(tmp_path)


def test_an_unreachable_server_costs_one_line(
    paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        with gan_run(dataset=DATASET, gan_seed=seed, params={}, train=paths["train"]) as run:
            run.tick({"kimg": 2.0, **curve(seed, 1)}, None)
            run.finish(paths["gan"] / str(seed), "00")
        assert not run.logged
    assert not is_logged(DATASET, "00")
    log_results(paths)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tracking: cannot reach {tracking_uri()};")
    assert line.endswith("the results are safe in reports/; run `ganlift track` later to log them")


def test_an_unreachable_server_does_not_hide_the_stages_own_error(paths: dict[str, Path]) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]),
    ):
        raise ZeroDivisionError


def test_logging_later_says_that_the_server_cannot_be_reached(paths: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="cannot reach"):
        log_missing(dataset=DATASET, paths=paths)


def test_what_a_server_missed_is_sent_when_it_is_back(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    client = store.client()
    monkeypatch.setattr("tasks.adapters.tracking.gan.store_at", lambda uri: store)
    sent = type(client).log_batch
    down = True

    def log_batch(self: object, *args: object, **kwargs: object) -> None:
        if down:
            raise ConnectionError("Connection refused")
        sent(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(client), "log_batch", log_batch)
    monkeypatch.setattr("tasks.adapters.tracking.gan._FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("tasks.adapters.tracking.store._REST_SECONDS", 0.0)
    with gan_run(dataset=DATASET, gan_seed=0, params={"a": 1}, train=paths["train"]) as run:
        run.tick({"kimg": 2.0, **curve(0, 1)}, None)
        down = False
        run.tick({"kimg": 4.0, **curve(0, 2)}, None)
        run.finish(paths["gan"] / "0", "00")
    logged = client.get_run(run.run_id)
    assert logged.data.params["a"] == "1"
    assert [m.step for m in client.get_metric_history(run.run_id, "loss_g")] == [2000, 4000]
    assert logged.info.status == "FINISHED"


def test_runs_of_killed_processes_are_closed(tmp_path: Path) -> None:
    make_store(tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    experiment = store.experiment("digits")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    ids = [
        store.client().create_run(experiment, tags={"ganlift.process": process}).info.run_id
        for process in (f"{host}:{dead.pid}", f"{host}:{os.getpid()}", f"elsewhere:{dead.pid}")
    ]
    assert Store(store.uri).experiment("digits") == experiment
    states = [store.client().get_run(run_id).info.status for run_id in ids]
    assert states == ["KILLED", "RUNNING", "RUNNING"]
    store.client().delete_experiment(experiment)
    assert Store(store.uri).experiment("digits") == experiment
    assert store.client().get_experiment(experiment).lifecycle_stage == "active"


def test_the_store_is_the_true_roots_in_a_queued_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/somewhere/else")
    assert tracking_uri() == "sqlite:////somewhere/else/mlflow/mlflow.db"


def test_settings_hold_only_inside_and_give_way_to_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with quick():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("data/embedded/digits.yaml", "digits"), ("/x/mnist-png", "mnist-png"), ("/x/v1.2/", "v1.2")],
)
def test_an_experiment_is_named_after_its_data_set(dataset: str, name: str) -> None:
    assert experiment_name(dataset) == name


def test_names_and_values_are_made_fit_for_mlflow() -> None:
    assert safe_name("real+filtered.log loss") == "real_filtered.log_loss"
    flat = flatten({"a": {"b": [1, 2]}, "none": None, "long": "x" * 9000})
    assert flat["a.b"] == "[1, 2]"
    assert flat["none"] == "null"
    assert len(flat["long"]) == 6000
    assert flat["long"].endswith("… [cut]")


def test_without_a_lock_file_the_digest_is_that_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in (("a", 6), ("b", 6), ("c", 7)):
        make_images(tmp_path / name, count)
    digests = [digest_of(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) <= 36  # what MLflow takes


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(UserError, match="not usable"):
        serve(port)


def test_a_port_in_use_is_refused_with_another_to_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"in use by another program.*ganlift ui --port"):
            serve(taken.getsockname()[1])
