"""What every run says of itself: names that MLflow accepts, and what the run came from."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from ruamel.yaml import YAML

from tasks.contracts.machine import processor
from tasks.contracts.outputs import lock_of

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

NOTE = "mlflow.note.content"
PROCESSOR = "ganlift.processor"
COMMIT = "ganlift.git"  # tag: with -dirty behind it where files had been edited
DVC_LOCK = "ganlift.dvc_lock"  # tag: sha256
LINE = "ganlift.line"  # tag: name of the run's lock, once all that brings the run back is logged
_LOCK = Path("dvc.lock")
_CONTEXTS = {"train": "training", "val": "validation"}  # MLflow's words, beside "test"
_PARAM_LENGTH = 6000  # MLflow's limit
_PART_LENGTH = 200  # MLflow's limit is 250, of the whole name


def experiment_name(dataset: str) -> str:
    """Return the experiment of a data set: ``data/embedded/digits.yaml`` → ``digits``."""
    path = Path(dataset).resolve()
    return path.stem if path.suffix in (".yaml", ".yml") else path.name


def run_page(experiment: str, run_id: str, part: str = "") -> str:
    """Return a run's page on the server, in the half of MLflow for training models."""
    return f"#/experiments/{experiment}/runs/{run_id}{part}?workflowType=machine_learning"


def safe_name(name: str) -> str:
    """Return a metric or param name that MLflow accepts and searches take unquoted."""
    return re.sub(r"[^\w.\-/]", "_", name)


def safe_part(name: str) -> str:
    """Return text from the data as one part of a metric's name, between its slashes."""
    part = re.sub(r"[^\w.\-]", "_", name)[:_PART_LENGTH]
    return part if part.strip(".") else "_" * max(1, len(part))


def plain(text: str) -> str:
    """Return text from the data with nothing in it that markdown or HTML would take as its own."""
    return "".join(c if c.isalnum() or c in " .,+-_/" else f"&#{ord(c)};" for c in text)


def flatten(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values as ``section.key`` → text; what is too long is cut, with a mark."""
    (flat,) = pd.json_normalize(dict(values)).astype(object).to_dict("records") or [{}]
    texts = {
        safe_name(str(key)): value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in flat.items()
    }
    return {
        name: text if len(text) <= _PARAM_LENGTH else f"{text[: _PARAM_LENGTH - 7]}… [cut]"
        for name, text in texts.items()
    }


def lineage_tags(kind: str, dataset: str) -> dict[str, str]:
    """Return the tags every run of ours has; what is not known is left out.

    ``ganlift.dvc_lock`` is the sha256 of ``dvc.lock`` when the run began: the state of all
    that the stage started from; a pipeline's run gets that of its finished line (`versions`).
    ``ganlift.processor`` and ``ganlift.git`` are those of the process that logs.
    """
    tags = {"ganlift.kind": kind, "ganlift.dataset": dataset, PROCESSOR: processor()}
    if _LOCK.is_file():
        tags[DVC_LOCK] = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if commit := commit_now():
        tags["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
        tags[COMMIT] = commit
    return tags


def commit_now() -> str | None:
    """Return the commit of the code, with ``-dirty`` behind it where files were edited."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def dataset_input(dataset: str, images: Path) -> DatasetInput:
    """Return a set of images as MLflow knows it: a name, a digest, where it came from.

    The digest is DVC's own (``<md5>.dir``), so it leads back to the bytes in the DVC cache.

    Args:
        dataset: the source as in ``params.yaml``.
        images: an ImageSet's folder, whose name tells what it is for.
    """
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    source = CodeDatasetSource(tags={"dataset": dataset, "path": images.as_posix()})
    name = f"{experiment_name(dataset)} {images.name}"
    meta = MetaDataset(source, name=name, digest=digest_of(images))  # type: ignore[abstract]
    context = InputTag("mlflow.data.context", _CONTEXTS.get(images.name, images.name))
    return DatasetInput(meta._to_mlflow_entity(), [context])


def digest_of(folder: Path) -> str:
    """Return DVC's md5 of a folder from its lock, else one of its files (36 chars at most)."""
    for stage in locked_stages(lock_of(folder)).values():
        for out in stage.get("outs", []):
            if Path(out["path"]).resolve() == folder.resolve() and "md5" in out:
                return str(out["md5"])
    digest = hashlib.md5(usedforsecurity=False)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "md5").digest())
    return digest.hexdigest()


def locked_stages(lock: Path = _LOCK) -> dict[str, Any]:
    """Return the stages of a lock of DVC, none where there is no such file.

    It is read as DVC writes it, by YAML 1.2: 1e-05 is a number.
    """
    if not lock.is_file():
        return {}
    content = YAML(typ="safe").load(lock.read_text(encoding="utf-8")) or {}
    stages: dict[str, Any] = content.get("stages", {})
    return stages
