"""The stages in the order of the graph, and the part of them that a person asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.folds import Visit, visits, write_folds
from flows.former import make_room
from flows.outs import is_up_to_date
from flows.project import NOTES
from tasks.contracts.errors import UserError
from tasks.contracts.nearest import choose
from tasks.contracts.params.ingest import IngestParams

STAGES = (
    "ingest",  # images in class folders → data/real
    "validate",  # the gate before any training
    "train_gan",  # one GAN a seed → models/gan
    "generate",  # checkpoints → the synthetic pool
    "quality_filter",  # the pool → accepted, and a random control
    "merge",  # real and accepted → data/merged
    "retrain",  # arms × seeds, judged on the sealed test split
    "report",  # lift, interval, verdict, pictures
)


def selected(from_stage: str | None, until: str | None) -> tuple[str, ...]:
    """Return the stages from one to the other, both included.

    Raises:
        UserError: an unknown stage, or an order that leaves none.
    """
    for option, stage in (("--from", from_stage), ("--until", until)):
        if stage is not None and stage not in STAGES:
            raise UserError(f"{option} {stage}", "no such stage", choose(stage, STAGES))
    first = STAGES.index(from_stage) if from_stage else 0
    last = STAGES.index(until) if until else len(STAGES) - 1
    if first > last:
        raise UserError(
            f"--from {from_stage} --until {until}",
            f"{until} comes before {from_stage}",
            f"The order is {', '.join(STAGES)}",
        )
    return STAGES[first : last + 1]


def laid_out(root: Path, stages: Sequence[str], ingest: IngestParams) -> list[Visit]:
    """Return what a run visits, when its folds are written and another data set's reports moved.

    Args:
        root: the project's folder, in which we are.
        stages: consecutive ones, as `selected` has them.
        ingest: its settings.

    Raises:
        UserError: there is a ``folds/dvc.yaml`` that ganlift did not write.
    """
    if ingest.folds is not None:
        write_folds(root, ingest.folds)
    if stages[0] == "ingest":
        make_room(root, ingest.source)
    return visits(stages, ingest.folds)


def is_all_done(root: Path, line: Sequence[Visit]) -> bool:
    """Tell, before Prefect is even imported, that a run would do nothing; unsure counts as no.

    Where a run was killed there is something to do on Prefect's page.
    """
    if any((root / NOTES).glob("*")):
        return False
    return is_up_to_date(root, *(visit.target for visit in line))
