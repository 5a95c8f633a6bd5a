"""The stage `train_gan` as a test runs it: small sets, and nothing goes to MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks import train_gan
from tasks.contracts.gate import write_gate
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import shape_set, tiny_params


class Told:
    """What the stage says to MLflow."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *said: self.calls.append((name, said))

    def logged(self, _: str, checkpoint: str) -> bool:
        return any(name == "finish" and said[1] == checkpoint for name, said in self.calls)

    def count(self) -> dict[str, int]:
        said = [name for name, _ in self.calls]
        return {name: said.count(name) for name in set(said)}


def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Go into a project with images; return what will have gone to MLflow."""
    monkeypatch.chdir(tmp_path)
    shape_set(6, seed=0).save(tmp_path / "train")
    shape_set(4, seed=1).save(tmp_path / "val")
    loose = shape_set(10, seed=2)
    hidden = ImageSet(loose.images, loose.manifest.assign(label=-1, class_name=""))
    hidden.save(tmp_path / "unlabelled")
    shape_set(5, seed=3).save(tmp_path / "other_domain")
    shape_set(1).take([]).save(tmp_path / "related")
    write_gate(tmp_path / "gate", True)
    record = Told()

    @contextmanager
    def fake_run(**_: object) -> Iterator[Told]:
        yield record

    monkeypatch.setattr(train_gan, "gan_run", fake_run)
    monkeypatch.setattr(train_gan, "is_logged", record.logged)
    monkeypatch.setattr(train_gan, "_JUDGE_STEPS", 30)
    return record


def run(out: str = "out", **overrides: object) -> Path:
    root = Path(out)
    train_gan.run(
        train=Path("train"),
        val=Path("val"),
        unlabelled=Path("unlabelled"),
        other_domain=Path("other_domain"),
        related=Path("related"),
        gate=Path("gate"),
        dataset="shapes",
        out=root / "gan",
        pseudo=root / "pseudo",
        metrics=root / "gan.json",
        curves=root / "curves.csv",
        evaluations=root / "evaluations.csv",
        grids=root / "grids",
        params=tiny_params(train_gan=overrides).train_gan,
        seed=0,
    )
    return root
