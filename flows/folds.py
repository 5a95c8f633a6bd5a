"""Cross-validation: the whole line once for each fold, as stages of ``folds/dvc.yaml``.

The file is made from ``dvc.yaml``, so a fold runs the same stages by the same settings; its outputs
lie below ``folds/NUMBER``. ``dvc repro folds/dvc.yaml`` runs it without Prefect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows import verdict
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params

FOLDER = Path("folds")
FILE = FOLDER / "dvc.yaml"
LIFT, PAGE = FOLDER / "lift.json", FOLDER / "lift.html"
OVER_ALL = "report_folds"
ANSWERS = {"report": (verdict.LIFT, verdict.PAGE), OVER_ALL: (LIFT, PAGE)}
"""By the stage that a line ends with, as `Visit.name` has it: its ``lift.json`` and its page."""
_HEAD = "# Written by `ganlift run` from dvc.yaml for ingest.folds; what is changed here is lost.\n"
_READ = ("runs", "predictions", "retrain", "lift", "gan_metrics", "filter", "ingest")  # of a fold
_IN_GIT = {"persist": True, "cache": False}
_OWN_CODE = (
    "tasks/report_folds.py",
    "tasks/lift/folds.py",
    "tasks/gan/accounting.py",
    "tasks/answer/folds.html.j2",
)


@dataclass(frozen=True)
class Visit:
    """One stage to visit.

    Attributes:
        stage: its name in the line.
        target: what DVC calls it.
    """

    stage: str
    target: str

    @property
    def name(self) -> str:
        """Return what it is called for people: ``fold 2 retrain``."""
        return label(self.target)


def label(target: str) -> str:
    """Return what a target of DVC is called for people: ``fold 2 retrain``, or ``retrain``."""
    stage, _, fold = target.rpartition(":")[2].partition("@")
    return f"fold {fold} {stage}" if fold else stage


def results_of(target: str) -> Path:
    """Return the folder that holds the small reports of a target of DVC, relative to the root."""
    fold = target.partition("@")[2]
    return Path(_of("reports", fold)) if fold else Path("reports")


def visits(stages: Sequence[str], folds: int | None) -> list[Visit]:
    """Return the stages to visit in their order: of the line, or of every fold and then over all.

    Args:
        stages: consecutive ones of the line.
        folds: how many; None for the one line that splits by shares.
    """
    if folds is None:
        return [Visit(stage, stage) for stage in stages]
    found = [
        Visit(stage, f"{FILE}:{stage}@{fold}") for fold in range(1, folds + 1) for stage in stages
    ]
    if stages[-1] == "report":
        found.append(Visit("report", f"{FILE}:{OVER_ALL}"))
    return found


def see_line(path: Path) -> None:
    """See that folds were not run in place of the line whose output ``path`` is wanted.

    Raises:
        UserError: the output is missing, and the settings ask for folds.
    """
    if not path.exists() and load_params().ingest.folds is not None:
        raise UserError(
            str(path),
            "the images were cross-validated, and each fold has results of its own below "
            f"{FOLDER}/NUMBER",
            "Run `ganlift run --set ingest.folds=null`, which splits the images once",
        )


def write_folds(root: Path, folds: int) -> None:
    """Write ``folds/dvc.yaml`` for so many folds, where it is not there already.

    Raises:
        UserError: a file of this name is there that ganlift did not write.
    """
    path = root / FILE
    line = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    content = yaml.safe_dump(folded(line, folds), sort_keys=False, allow_unicode=True, width=100)
    text = _HEAD + content
    before = path.read_text(encoding="utf-8") if path.is_file() else _HEAD
    if not before.startswith(_HEAD):
        raise UserError(
            str(FILE),
            "ganlift writes the folds of a cross-validation here, and this file is not its own",
            "Move it away, or set ingest.folds to null",
        )
    if before != text:
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(".dvc.yaml")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)


def folded(line: dict[str, Any], folds: int) -> dict[str, Any]:
    """Return the content of ``folds/dvc.yaml``.

    Args:
        line: that of ``dvc.yaml``.
        folds: how many.
    """
    paths: dict[str, str] = line["vars"][0]["path"]
    numbers = list(range(1, folds + 1))

    def moved(value: Any, fold: object) -> Any:
        """Put the fold's own paths, and its number, in their places."""
        if isinstance(value, str):
            found = re.sub(r"\$\{path\.(\w+)\}", lambda key: _of(paths[key[1]], fold), value)
            return found.replace("--fold 0 ", f"--fold {fold} ")
        if isinstance(value, list):
            return [moved(one, fold) for one in value]
        if isinstance(value, dict):
            return {moved(key, fold): moved(one, fold) for key, one in value.items()}
        return value

    stages = {
        name: {"foreach": numbers, "do": {"wdir": "..", **moved(stage, "${item}")}}
        for name, stage in line["stages"].items()
    }
    report = line["stages"]["report"]
    read = [_of(paths[name], number) for number in numbers for name in _READ]
    code = [dep for dep in report["deps"] if dep.startswith("tasks/") and dep != "tasks/report.py"]
    outs = {name: f"{FOLDER}/{name}" for name in ("lift.html", "pictures", "runs.parquet")}
    stages[OVER_ALL] = {
        "wdir": "..",
        "cmd": f"exec sh tasks/python.sh -m tasks.report_folds --folds {FOLDER} "
        f"--count {folds} --lift {LIFT} --page {PAGE} --pictures {outs['pictures']} "
        f"--runs {outs['runs.parquet']} --gan-metrics {FOLDER}/gan.json "
        f"--metrics {FOLDER}/metrics.json",
        "deps": [*read, *_OWN_CODE, *code],
        "params": report["params"],
        "outs": [
            *({out: {"persist": True}} for out in outs.values()),
            *({out: _IN_GIT} for out in (str(LIFT), f"{FOLDER}/gan.json")),
        ],
        "metrics": [{f"{FOLDER}/metrics.json": _IN_GIT}],
    }
    return {"vars": ["../params.yaml"], "stages": stages}


def _of(path: str, fold: object) -> str:
    return f"{FOLDER}/{fold}/{path}"
