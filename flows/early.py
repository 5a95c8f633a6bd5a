"""Settings of late stages, checked before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

from flows.folds import FOLDER
from flows.line_file import paths
from tasks.contracts.params.line import Params
from tasks.contracts.params.report import METRICS
from tasks.contracts.params.retrain import BUILT_IN

TRAINING = ("train_gan", "generate", "quality_filter", "merge", "retrain", "report")


def see_names(params: Params) -> None:
    """See that what the settings name exists, before the first stage.

    Raises:
        UserError: an unknown classifier, or no file of weights.
    """
    retrain, evaluation = params.retrain, params.train_gan.evaluation
    usual = (
        retrain.classifier == BUILT_IN
        and retrain.weights is None
        and evaluation.features != "inception"
    )
    if not usual:
        from tasks.classifier.early import check_names

        check_names(evaluation, retrain)


def see_fit(root: Path, target: str, params: Params) -> None:
    """See that classifier, weights and metric fit the images that stage ingest has made.

    Args:
        root: the project.
        target: a stage of the line that is meant, as DVC calls it.
        params: all settings.

    Raises:
        UserError: a class that is not there, or a network for images of another size.
    """
    retrain, report = params.retrain, params.report
    if (
        retrain.classifier == BUILT_IN
        and retrain.weights is None
        and report.primary_metric in METRICS
    ):
        return
    from tasks.classifier.early import Images, check_fit

    fold = target.partition("@")[2]
    place = root / FOLDER / fold if fold else root
    summary = place / paths(root / "dvc.yaml")["ingest"]
    if not summary.is_file():
        return  # the stage that lacks its input says so
    told = json.loads(summary.read_text(encoding="utf-8"))
    check_fit(retrain, report, Images(told["classes"], told["image_size"], told["channels"]))
