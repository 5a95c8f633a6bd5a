"""The image sets that the benches train on, and the real images that they judge by.

No test split comes in here: it is dropped as soon as the split is made.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.line import Params
from tasks.data.collection import distinct, split
from tasks.data.reading import decode
from tasks.data.sources import items_of

ROOT = Path(__file__).parents[1]
_PARTS = ("train", "cut", "val")


@dataclass(frozen=True)
class BenchTask:
    """An image set to be good on.

    Attributes:
        source: a file under the repository, or a folder under ``--images``.
        ingest: what differs from ``ingest`` in ``params.yaml``.
        flip: whether classical augmentation may mirror its images.
        large: left out unless it is asked for by name.
    """

    source: str
    ingest: dict[str, Any]
    flip: bool = False
    large: bool = False


_DIGITS = "data/embedded/digits.yaml"
TASKS = {
    "digits-5": BenchTask(_DIGITS, {"image_size": 8, "per_class": 5}),
    "digits-20": BenchTask(_DIGITS, {"image_size": 8, "per_class": 20}),
    "digits-80": BenchTask(_DIGITS, {"image_size": 8, "per_class": 80}),
    "digits-tail": BenchTask(_DIGITS, {"image_size": 8, "per_class": 80, "imbalance": 20}),
    "mnist-20": BenchTask("mnist-png", {"image_size": 16, "per_class": 20}),
    "mnist-100": BenchTask("mnist-png", {"image_size": 16, "per_class": 100}),
    "mnist-1000": BenchTask("mnist-png", {"image_size": 16, "per_class": 1000}, large=True),
    "mnist-1000-8px": BenchTask("mnist-png", {"image_size": 8, "per_class": 1000}, large=True),
    "digits-all": BenchTask(_DIGITS, {"image_size": 8, "per_class": None}, large=True),
    "cifar10-1000": BenchTask(
        "cifar10-jpg", {"image_size": 16, "per_class": None}, flip=True, large=True
    ),
    "cifar10-32px": BenchTask(
        "cifar10-jpg", {"image_size": 32, "per_class": None}, flip=True, large=True
    ),
}


@dataclass(frozen=True)
class Cut:
    """One task's real images.

    Attributes:
        train: what a GAN or a classifier is trained on.
        cut: training images that `per_class` took away.
        val: real/val.
    """

    train: ImageSet
    cut: ImageSet
    val: ImageSet

    @property
    def dev(self) -> ImageSet:
        """Real images that no GAN saw, to judge classifiers on: val and what was cut away."""
        return concatenate([self.val, self.cut])

    @property
    def judge(self) -> ImageSet:
        """What the feature network learns from: every image but val (and test)."""
        return concatenate([self.train, self.cut])


def ingest_params(name: str, params: Params) -> IngestParams:
    """Return the task's ``ingest`` section: that of ``params.yaml`` with its own on top."""
    values = params.ingest.model_dump() | TASKS[name].ingest | {"source": TASKS[name].source}
    return IngestParams(**values)


def load_cut(name: str, params: Params, images: Path, scratch: Path) -> Cut:
    """Return the task's images, decoded and split as ``ingest`` does it, kept under `scratch`.

    Args:
        name: of `TASKS`.
        params: whose ``ingest`` and ``seed`` hold but for what the task overrides.
        images: the folder that holds mnist-png and cifar10-jpg.
        scratch: a folder of this bench.

    Raises:
        UserError: the source is not there.
    """
    task, ingest = TASKS[name], ingest_params(name, params)
    source = ROOT / task.source if (ROOT / task.source).is_file() else images / task.source
    if not source.exists():
        raise UserError(str(source), "no such images", "Give the folder that holds them: --images")
    digest = hashlib.sha256(f"{ingest.model_dump_json()} {params.seed}".encode()).hexdigest()[:12]
    folder = scratch / "sets" / f"{name}-{digest}"
    if not folder.is_dir():
        decoded, read = decode(items_of(source).items, ingest, lambda done, text: None)
        whole = distinct(decoded, read.given, read.digest)
        made = split(whole.images, whole.given, ingest, params.seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        for part in _PARTS:
            made[part].save(unfinished / part)
        try:
            unfinished.rename(folder)
        except OSError:
            shutil.rmtree(unfinished)
            if not folder.is_dir():  # else another process made the same set meanwhile
                raise
    return Cut(*(ImageSet.load(folder / part) for part in _PARTS))
