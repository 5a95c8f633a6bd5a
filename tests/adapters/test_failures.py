from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from requests import HTTPError, Response
from requests.exceptions import SSLError

from tasks.adapters.tracking.failures import explain, mend_for, shown
from tasks.adapters.tracking.store import Store, asked
from tasks.contracts.errors import UserError
from tests.adapters.fake_results import make_store

ADDRESS = "https://me:secret@host:5000"
SHOWN = "https://me:***@host:5000"


def _refused(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError("refused", response=response)


@pytest.mark.parametrize(
    ("error", "reason", "mend"),
    [
        (_refused(401), f"{SHOWN} asks for a user and a password", "Set MLFLOW_TRACKING_USERNAME"),
        (_refused(403), f"{SHOWN} does not allow this to this user", "Ask who runs the server"),
        (
            MlflowException("no", PERMISSION_DENIED),
            f"{SHOWN} does not allow this to this user",
            "Ask who runs the server",
        ),
        (ConnectionError(), f"cannot reach {SHOWN}", "Start the server"),
        (SSLError(), "there is no connection with a trusted certificate", "Look whether"),
        (ModuleNotFoundError(name="boto3"), "because boto3 is not installed", "ganlift[s3]"),
        (ModuleNotFoundError(name="psycopg2"), "psycopg2 is not installed", "ganlift[postgres]"),
        (ValueError(f"bad {ADDRESS}\nmore"), f"cannot log to {SHOWN} (bad {SHOWN})", "Mend that"),
        (KeyError(), "(KeyError)", "Mend that"),
    ],
)
def test_each_failure_is_a_reason_and_a_mend_without_passwords(
    error: Exception, reason: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    wrapped = MlflowException("wrapped")
    wrapped.__cause__ = error
    for one in (error, wrapped) if "(" not in reason else (error,):
        assert reason in explain(ADDRESS, one)
        assert mend in mend_for(one)
        assert "secret" not in explain(ADDRESS, one)


def test_text_without_passwords_stays_as_it_is() -> None:
    for text in ("sqlite:////a folder/mlflow.db", "http://host:5000/a@b", "postgresql://me@host/x"):
        assert shown(text) == text
    assert shown("postgresql://me:p@ss:w@host/x") == "postgresql://me:***@host/x"


def test_a_bucket_without_its_package_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    client = Store(uri).client()
    experiment = client.create_experiment("elsewhere", artifact_location="s3://bucket/mlflow")
    run_id = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    real = builtins.__import__

    def no_boto3(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> object:
        if name == "boto3":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", no_boto3)
    with (
        pytest.raises(UserError, match=r"boto3 is not installed. Install it .*ganlift\[s3\]"),
        asked("try again") as store,
    ):
        store.client().list_artifacts(run_id)
