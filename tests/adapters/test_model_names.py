"""Two data sets whose folders have one name have a model each; what was registered is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.adapters.tracking import model_names
from tasks.adapters.tracking.model_names import champion_of, registered_name, versions_of
from tasks.adapters.tracking.pipeline import log_pipeline
from tests.adapters.logged import client


def log(paths: dict[str, Path], dataset: str) -> None:
    """Log a result of its own, whose verdict is "helps"."""
    content = json.loads(paths["lift"].read_text())
    paths["lift"].write_text(json.dumps(content | {"answer": dataset}))
    same = ("lift", "page", "pictures", "runs", "gan_metrics", "classifier")
    files = {name: paths[name] for name in same}
    log_pipeline(dataset=dataset, sets=[], retrained=paths["retrain"], **files)


def registered(store: MlflowClient) -> set[str]:
    return {model.name for model in store.search_registered_models()}


def test_folders_of_one_name_have_a_champion_each(paths: dict[str, Path]) -> None:
    one, two = "data/raw/a/photos", "data/raw/b/photos"
    for dataset in (one, two):
        log(paths, dataset)
    assert registered(client()) == {registered_name(one), registered_name(two)}
    assert all(name.startswith("ganlift-photos-") for name in registered(client()))
    for dataset in (one, two):
        champion = champion_of(client(), dataset)
        assert champion is not None
        assert champion.name == registered_name(dataset)


def test_a_clone_elsewhere_has_the_same_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        names.append((registered_name("data/raw/photos"), registered_name("/photos")))
    assert names[0] == names[1]
    assert registered_name("./data/raw/photos") == names[0][0]
    assert registered_name("../photos") != names[0][0]


def test_what_stands_under_the_former_name_is_found_by_its_own_data_alone(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = "data/raw/a/photos", "data/raw/b/photos"
    with monkeypatch.context() as before:
        for module in ("model_names", "registry"):
            before.setattr(
                f"tasks.adapters.tracking.{module}.registered_name", model_names._former_name
            )
        log(paths, one)
    assert registered(client()) == {"ganlift-photos"}
    assert [version.name for version in versions_of(client(), one)] == ["ganlift-photos"]
    assert champion_of(client(), one) is not None
    assert versions_of(client(), two) == []
    assert champion_of(client(), two) is None
    log(paths, two)
    assert "version 1 is the champion now" in capsys.readouterr().out.splitlines()[-1]
    assert registered(client()) == {"ganlift-photos", registered_name(two)}
