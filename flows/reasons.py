"""Why a stage ended as it did, in the line that a person reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flows.dvc_words import dvc_error
from tasks.contracts.errors import UserError
from tasks.contracts.killed import killed


class StageError(UserError):
    """A stage failed, and this is the line in which it said why."""

    def __init__(self, line: str) -> None:
        Exception.__init__(self, line)


CHATTER = (  # of DVC, of no use to someone who did not type `dvc`
    "Running stage '",
    "> ",
    "Generating lock file",
    "Updating lock file",
    "To track the changes with git",
    "\tgit add",
    "To enable auto staging",
    "\tdvc config",
    "Use `dvc push`",
    "ERROR: failed to reproduce",
    "WARNING: Process '",  # had been killed, and what it held is free
)
_FEWER = "set LOKY_MAX_CPU_COUNT to fewer processes at once"
LESS = {  # memory, by stage
    "ingest": "Lower ingest.image_size or per_class",
    "validate": "Lower ingest.image_size or per_class",
    "train_gan": f"Lower train_gan.batch_size or width, or {_FEWER}",
    "generate": "Lower generate.per_class",
    "quality_filter": f"Lower generate.per_class, or {_FEWER}",
    "merge": "Lower generate.per_class",
    "retrain": f"Lower retrain.batch_size, or {_FEWER}",
    "report": "Lower report.resamples",
    "report_folds": "Lower report.resamples",
}
_EXIT = re.compile(r"exited with (-?\d+)$")
_SHELL = range(129, 129 + 64)  # how a shell that waited tells of a signal


def reason(stage: str, heard: Sequence[str], status: int, held: int) -> str:
    """Return the stage's own ``error:``, what killed it, DVC's error, or where to look.

    Args:
        stage: what it is called for people, of a fold ``fold 2 retrain``.
        heard: the lines that DVC and the stage printed.
        status: with which DVC ended, not 0.
        held: the most bytes of memory that both were seen to hold.
    """
    for line in reversed(heard):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    errors = [number for number, line in enumerate(heard) if line.startswith("ERROR: ")]
    dvc = heard[errors[-1] :] if errors else []
    by = _signal(dvc[0] if dvc else "", status)
    if by is not None:
        less = f"{LESS[stage.split()[-1]]}, then run again"
        return str(killed(f"stage {stage}", by, less, held))
    if dvc and "failed to run:" not in dvc[0]:
        return str(dvc_error(f"stage {stage}", dvc))
    said = [line for line in heard if line and not line.startswith((*CHATTER, "ERROR: "))]
    ending = f"its command broke off ({said[-1].strip()})" if said else "it broke off"
    what = ending if said else f"{ending} (exit status {status})"
    more = "The newest file in .ganlift/logs tells more"
    return f"stage {stage}: {what}. {more}; mend that, then run again."


def _signal(dvc: str, status: int) -> int | None:
    """Return what ended DVC, or the stage under it by what DVC says; None if no signal did."""
    if status < 0:
        return -status
    told = _EXIT.search(dvc)
    code = int(told[1]) if told else 0
    if code in _SHELL:
        return code - 128
    return -code if code < 0 else None
