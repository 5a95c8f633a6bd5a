"""What a run came from: the code, the lock file, the parameters and the training set."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tasks.contracts.params.line import load_params

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_LOCK = Path("dvc.lock")


def lineage_tags(kind: str, dataset: str) -> dict[str, str]:
    """Return the tags every run of ours has; what is not known is left out.

    ``ganlift.dvc_lock`` is the sha256 of ``dvc.lock`` when the run began: the state of all
    that the stage started from.
    """
    tags = {"ganlift.kind": kind, "ganlift.dataset": dataset}
    if _LOCK.is_file():
        tags["ganlift.dvc_lock"] = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if commit := _commit():
        tags["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
        tags["ganlift.git"] = commit
    return tags


def dataset_input(dataset: str, train: Path) -> DatasetInput:
    """Return the training set as MLflow knows it: a name, a digest, where it came from.

    The digest is DVC's own (``<md5>.dir``), so it leads back to the bytes in the DVC cache.
    """
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    source = CodeDatasetSource(
        tags={"dataset": dataset, "path": train.as_posix(), "made_by": "python -m tasks.ingest"}
    )
    name = f"{train.parent.name}/{train.name}"
    meta = MetaDataset(source, name=name, digest=digest_of(train))  # type: ignore[abstract]
    return DatasetInput(meta._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])


def digest_of(folder: Path) -> str:
    """Return DVC's md5 of a folder from ``dvc.lock``, else one of its files (36 chars at most)."""
    for stage in _stages().values():
        for out in stage.get("outs", []):
            if Path(out["path"]).resolve() == folder.resolve() and "md5" in out:
                return str(out["md5"])
    digest = hashlib.md5(usedforsecurity=False)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(hashlib.md5(file.read_bytes(), usedforsecurity=False).digest())
    return digest.hexdigest()


def recorded_params() -> dict[str, Any]:
    """Return the params the results on disk were made with: ``dvc.lock``'s over the file's."""
    params: dict[str, Any] = written_params()
    for stage in _stages().values():
        for section, values in stage.get("params", {}).get("params.yaml", {}).items():
            params[section] = values
    return params


def written_params() -> dict[str, Any]:
    """Return ``params.yaml``, checked, as plain values."""
    sections = asdict(load_params())
    return {
        name: section.model_dump(mode="json") if hasattr(section, "model_dump") else section
        for name, section in sections.items()
    }


def _stages() -> dict[str, Any]:
    """Return the stages of ``dvc.lock``, none where there is no such file."""
    if not _LOCK.is_file():
        return {}
    lock = yaml.safe_load(_LOCK.read_text(encoding="utf-8")) or {}
    stages: dict[str, Any] = lock.get("stages", {})
    return stages


def _commit() -> str | None:
    """Return the commit of the code, with ``-dirty`` behind it where files were edited."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
