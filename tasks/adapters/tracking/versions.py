"""What a pipeline's run keeps so that its line can be brought back: settings, lock, small reports.

DVC's cache holds data, models and pages by their hashes, and the lock says which belong together.
It is whole when the line has ended, after the run of MLflow has; so it is added to the run then,
with what DVC's cache does not hold: params.yaml, and the reports that are left to Git.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.tracking.lineage import COMMIT, DVC_LOCK, LINE, NOTE
from tasks.adapters.tracking.past_runs import named
from tasks.adapters.tracking.pipeline_note import UNRECORDED, way_back
from tasks.adapters.tracking.results import DIGEST
from tasks.adapters.tracking.store import Store, asked
from tasks.contracts.errors import UserError
from tasks.contracts.params.reading import FILE

_PARAMS = "ganlift.params_sha256"  # tag
_COMMANDS = "ganlift.dvc_yaml"  # tag: sha256
FOLDER = "line"  # of the run's artifacts


@dataclass(frozen=True)
class Line:
    """A finished line, apart from what DVC's cache holds.

    Attributes:
        dataset: the source as in ``params.yaml``.
        digest: sha256 of its ``lift.json``.
        lock: name of DVC's lock.
        files: content of params.yaml, the lock and each report that DVC does not cache, by its
            path relative to the project.
        commands: content of the ``dvc.yaml`` of this lock.
    """

    dataset: str
    digest: str
    lock: str
    files: Mapping[str, bytes]
    commands: bytes


@dataclass(frozen=True)
class Kept:
    """Which run holds a line, and whether it was logged just now."""

    run_id: str
    lock: str
    new: bool


@dataclass(frozen=True)
class KeptLine:
    """The line of a logged run.

    Attributes:
        run_id: in MLflow.
        commit: of the code, ``-dirty`` behind it where files had been edited; empty if unknown.
        lock: name of DVC's lock.
        folder: holds `Line.files`.
    """

    run_id: str
    commit: str
    lock: Path
    folder: Path

    @property
    def short_id(self) -> str:
        """The id's beginning."""
        return self.run_id[:8]


def keep_line(store: Store, line: Line) -> Kept | None:
    """Add a line to the run that holds its result, once. Raises what MLflow does.

    Returns:
        That run; None where no run holds the result.
    """
    run = store.finished(store.experiment(line.dataset), DIGEST, line.digest)
    if run is None:
        return None
    run_id, client = run.info.run_id, store.client()
    if LINE in run.data.tags:
        return Kept(run_id, line.lock, new=False)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in line.files.items():
            place = Path(scratch) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        client.log_artifacts(run_id, scratch, FOLDER)
    tags = {
        DVC_LOCK: _sha256(line.files[line.lock]),
        _PARAMS: _sha256(line.files[FILE.name]),
        _COMMANDS: _sha256(line.commands),
        LINE: line.lock,  # last, so that a line which has it is whole
    }
    note = run.data.tags.get(NOTE, "")
    told = note.replace(UNRECORDED, way_back(run_id, run.data.tags | tags))
    for name, value in ({NOTE: told} | tags).items():
        client.set_tag(run_id, name, value)
    return Kept(run_id, line.lock, new=True)


def kept_line(name: str, folder: Path) -> KeptLine:
    """Fetch the line of a run.

    Args:
        name: of the run, as `past_runs.named` takes it.
        folder: where its files go.

    Raises:
        UserError: an unknown run, one that holds no line, or the store cannot be reached.
    """
    with asked("try again") as store:
        run = named(name, list(store.pipelines()))
        lock = run.data.tags.get(LINE)
        if lock is None:
            raise UserError(
                f"run {run.info.run_id[:8]} ({run.info.run_name})",
                "it does not hold what brings it back: its line never ended, it is one fold of "
                "several, or an earlier ganlift logged it",
                "Choose another run (`ganlift history`); `ganlift track` adds it to the newest",
            )
        found = store.client().download_artifacts(run.info.run_id, FOLDER, str(folder))
    commit = run.data.tags.get(COMMIT, "")
    return KeptLine(run.info.run_id, commit, Path(lock), Path(found))


def is_params_logged(text: bytes) -> bool:
    """Tell whether a run holds this very params.yaml.

    Raises:
        UserError: the store cannot be reached.
    """
    with asked("try again") as store:
        return any(
            run.data.tags.get(_PARAMS) == _sha256(text)
            for run in store.pipelines()
            if LINE in run.data.tags
        )


def is_result_logged(digest: str) -> bool:
    """Tell whether a run holds a result, by the sha256 of its ``lift.json``, with its line.

    Raises:
        UserError: the store cannot be reached.
    """
    with asked("try again") as store:
        return any(
            run.data.tags.get(DIGEST) == digest
            for run in store.pipelines()
            if LINE in run.data.tags
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
