"""The line once for each fold: what is visited, and what DVC makes of ``folds/dvc.yaml``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from flows.artifacts import markdown
from flows.folds import ANSWERS, FILE, OVER_ALL, label, visits, write_folds
from flows.line import STAGES
from flows.verdict import PAGE
from tasks.contracts.errors import UserError
from tests.answer.fake_report import fake_lift

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, dvc: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Path:
    dvc(tmp_path, "init", "--quiet", "--no-scm")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:_NoneStep.value")  # within DVC
def test_dvc_sees_the_line_of_every_fold_and_what_is_over_all(project: Path) -> None:
    write_folds(project, 3)
    with Repo(str(project)) as repo:
        graph = repo.index.graph
        lines = {stage.addressing: stage for stage in repo.index.stages if stage.path_in_repo}
        below = {
            name: {other.addressing for other in graph.successors(stage)}
            for name, stage in lines.items()
        }
    assert len(lines) == 8 + 3 * 8 + 1
    of_fold = {name for name in lines if name.endswith("@2")}
    assert {label(name) for name in of_fold} == {f"fold 2 {stage}" for stage in STAGES}
    for name in of_fold:  # nothing of another fold, and nothing of the line itself
        assert below[name] <= of_fold
    needed = {name.rpartition("@")[2] for name in below[f"{FILE}:{OVER_ALL}"]}
    assert needed == {"1", "2", "3"}
    with Repo(str(project)) as repo:
        sealed = {
            stage.addressing
            for stage in repo.index.stages
            for dep in stage.deps
            if str(dep) == "folds/2/data/real/test"
        }
    assert {label(name) for name in sealed} == {
        f"fold 2 {stage}" for stage in ("validate", "retrain", "report")
    }


def test_the_file_is_written_where_it_must_change_and_never_over_somebodys_own(
    project: Path,
) -> None:
    write_folds(project, 3)
    first = (project / FILE).stat().st_mtime_ns
    write_folds(project, 3)
    assert (project / FILE).stat().st_mtime_ns == first
    write_folds(project, 4)
    told = yaml.safe_load((project / FILE).read_text(encoding="utf-8"))
    assert told["stages"]["merge"]["foreach"] == [1, 2, 3, 4]
    (project / FILE).write_text("stages: {}\n", encoding="utf-8")
    with pytest.raises(UserError, match="this file is not its own"):
        write_folds(project, 3)
    assert (project / FILE).read_text(encoding="utf-8") == "stages: {}\n"


def test_every_stage_of_every_fold_is_visited_and_then_what_is_over_all() -> None:
    assert [visit.name for visit in visits(("merge", "retrain"), None)] == ["merge", "retrain"]
    found = visits(("retrain", "report"), 2)
    assert [visit.name for visit in found] == [
        *("fold 1 retrain", "fold 1 report", "fold 2 retrain", "fold 2 report", OVER_ALL),
    ]
    assert found[0].target == "folds/dvc.yaml:retrain@1"
    assert [visit.name for visit in visits(("ingest",), 2)] == ["fold 1 ingest", "fold 2 ingest"]


def test_where_the_answer_lies_is_told_of_folds_as_of_the_line() -> None:
    lift, page = ANSWERS[visits(STAGES, 3)[-1].name]
    assert (str(lift), str(page)) == ("folds/lift.json", "folds/lift.html")
    assert ANSWERS[visits(STAGES, None)[-1].name][1] == PAGE
    assert f"`{page}`" in markdown(fake_lift(), page)
