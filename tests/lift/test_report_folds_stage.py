"""Stage ``report_folds``, on made-up reports of two folds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tasks import report, report_folds
from tasks.contracts.errors import UserError
from tasks.gan.accounting import composed
from tasks.lift.result import LiftResult
from tests.answer.fake_sharing import GUARANTEE
from tests.lift.fake_inputs import fake_line
from tests.lift.fake_runs import report_params

NAMES = ["cat", "<b>dog</b>", "eel"]
FILES = {
    "runs": "runs.parquet",
    "predictions": "predictions.parquet",
    "retrained": "retrain.json",
    "gan_metrics": "gan.json",
    "filter_metrics": "filter.json",
    "ingest": "ingest.json",
    "lift": "lift.json",
}


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the reports of two folds that test on different images."""
    folder = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "log_folds", lambda what, **files: None)
        for number in (1, 2):
            line = fake_line(folder / "made" / str(number), NAMES, size=8, gans=2, seed=number)
            told = json.loads(line["ingest"].read_text(encoding="utf-8"))
            line["ingest"].write_text(json.dumps(told | {"fold": number, "folds": 2}))
            table = pd.read_parquet(line["predictions"])
            own = table.assign(image_id=f"{number}" + table["image_id"], group=table["image_id"])
            own.to_parquet(line["predictions"], index=False)
            test = line["test"] / "manifest.parquet"
            rows = pd.read_parquet(test)
            rows.assign(image_id=f"{number}" + rows["image_id"]).to_parquet(test, index=False)
            report.run(**line)
            place = folder / str(number) / "reports"
            place.mkdir(parents=True)
            for name, file in FILES.items():
                (place / file).write_bytes(line[name].read_bytes())
            assert f"This is fold {number} of 2 alone" in line["page"].read_text(encoding="utf-8")
    return folder


def run(folds: Path, out: Path, count: int = 2) -> dict[str, Path]:
    files = {
        "lift": out / "lift.json",
        "page": out / "lift.html",
        "pictures": out / "pictures",
        "runs": out / "runs.parquet",
        "gan_metrics": out / "gan.json",
        "metrics": out / "metrics.json",
    }
    arguments = {"dataset": "digits", "folds": folds, "count": count, "seed": 0}
    report_folds.run(**arguments, **files, params=report_params())
    return files


def test_the_answer_over_all_folds_is_told_once_and_each_fold_has_its_row(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(report_folds, "log_folds", lambda what, **files: logged.append(what))
    files = run(folds, tmp_path)
    result = LiftResult.load(files["lift"])
    each = [LiftResult.load(folds / str(number) / "reports" / "lift.json") for number in (1, 2)]
    assert result.counts.test == sum(of.counts.test for of in each)
    assert [fold.lift_pp.mean for fold in result.folds] == [of.lift_pp.mean for of in each]
    assert set(result.gans) == {f"{seed} of fold {fold}" for seed in (0, 1) for fold in (1, 2)}
    assert set(json.loads(files["gan_metrics"].read_text())) == set(result.gans)
    assert json.loads(files["metrics"].read_text())["lift"] == round(result.lift_pp.mean, 2)
    assert result.sharing is not None
    areas = [of.sharing.attacks["nearest"].auc.value for of in each if of.sharing]
    assert result.sharing.attacks["nearest"].auc.value == pytest.approx(sum(areas) / 2, abs=1e-6)
    assert result.sharing.guarantee is None
    page = files["page"].read_text(encoding="utf-8")
    assert page.count("<td><code>folds/") == 2
    assert "<b>dog</b>" not in page.replace('<th scope="row"><b>', "")
    assert "each fold settled for itself" in page
    assert len(pd.read_parquet(files["runs"])) == len(
        pd.read_parquet(folds / "1/reports/runs.parquet")
    )
    assert logged == ["2 folds"]
    assert f"verdict  {result.verdict}" in capsys.readouterr().out


def test_private_gans_of_all_folds_spend_together(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_folds, "log_folds", lambda what, **files: None)
    private = tmp_path / "folds"
    shutil.copytree(folds, private)
    for number in (1, 2):
        place = private / str(number) / "reports"
        gans = json.loads((place / "gan.json").read_text())
        for gan in gans.values():
            gan["privacy"] = dataclasses.asdict(GUARANTEE)
        (place / "gan.json").write_text(json.dumps(gans))
        told = json.loads((place / "lift.json").read_text())
        told["sharing"]["guarantee"] = dataclasses.asdict(GUARANTEE)
        (place / "lift.json").write_text(json.dumps(told))
    files = run(private, tmp_path / "out")
    result = LiftResult.load(files["lift"])
    assert result.sharing is not None
    assert result.sharing.guarantee is not None
    assert result.sharing.guarantee.gans == 4
    assert result.sharing.guarantee.epsilon_together == composed([GUARANTEE] * 4)
    page = files["page"].read_text(encoding="utf-8")
    assert "what all GANs spend is over all folds" in page
    assert "ganlift export private" not in page  # folds have no line to export


def test_a_fold_that_has_not_run_is_named(folds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3/reports/runs\.parquet: is missing"):
        run(folds, tmp_path, count=3)
