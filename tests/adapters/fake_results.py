"""Results as the line would leave them, made in milliseconds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from sqlalchemy import Engine, event

from tasks.adapters.tracking.store import Store
from tasks.answer.words import told
from tasks.classifier.networks import build_classifier
from tasks.contracts.arms import ARMS, FILTERED, SYNTHETIC, UNFILTERED, fraction_arm
from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.image_set import ImageSet, image_id
from tests.answer.fake_report import altered, fake_lift

REPOSITORY = Path(__file__).resolve().parents[2]
DATASET = "data/embedded/digits.yaml"
TRAIN_MD5 = "0123456789abcdef0123456789abcdef.dir"
HALF = fraction_arm(0.5)
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "recall_0", "recall_1")
CLASSES = ("class 0", "class 1")
_ENDS = {"ci_low": 0.42, "ci_high": 2.18}
LIFT = told(  # a result whose verdict is "helps"
    altered(
        fake_lift(CLASSES, gans=2, seeds=3, train=(100, 100)),
        lift_pp={"mean": 1.31, **_ENDS, "p_value": 0.012},
        mde_pp=1.2,
        worth={"real_images": 241, "low": 215, "high": 290},
        comparisons=[
            {
                "arm": FILTERED,
                "over": UNFILTERED,
                "lift_pp": {"mean": 0.53, **_ENDS, "p_value": 0.02},
                "p_holm": 0.04,
            }
        ],
        gans={"1": {"collapsed": ["class 1", "<i>"]}},
        digests={"merged": "ab" * 32, "test": "cd" * 32},
    )
)


def make_results(root: Path, gan_seeds: tuple[int, ...] = (0, 1), rows: int = 4) -> dict[str, Path]:
    """Fill ``root`` and return the paths by their names in ``dvc.yaml``, relative to it."""
    (root / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    variables = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["vars"][0]["path"]
    paths = {name: Path(path) for name, path in variables.items()}
    make_images(root / paths["train"])
    make_lock(root, paths)
    make_gans(root, paths, gan_seeds, rows)
    make_report(root, paths)
    return paths


@event.listens_for(Engine, "connect")
def _trust_the_disk(connection: object, _: object) -> None:
    """Do not wait at each commit until the disk has it: no store of a test outlives its test."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def make_store(root: Path) -> None:
    """Put an empty store where a project has its own."""
    (root / "mlflow").mkdir(parents=True, exist_ok=True)
    (root / "mlflow" / "mlflow.db").write_bytes(_empty_store())


@cache
def _empty_store() -> bytes:
    """Return the bytes of an empty store: making one takes MLflow seconds."""
    with tempfile.TemporaryDirectory() as folder:
        Store(f"sqlite:///{folder}/mlflow.db").client()
        return Path(folder, "mlflow.db").read_bytes()


def make_images(folder: Path, count: int = 6) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    ids = [image_id(image) for image in images]
    manifest = pd.DataFrame(
        {
            "image_id": ids,
            "label": labels.astype(np.int64),
            "class_name": [f"class {label}" for label in labels],
            "origin": "real",
            "source": [f"{n}.png" for n in range(count)],
            "group": ids,
        }
    )
    ImageSet(images, manifest).save(folder)


def make_lock(root: Path, paths: dict[str, Path]) -> None:
    outs = [{"path": str(paths["train"]), "hash": "md5", "md5": TRAIN_MD5}]
    written = yaml.safe_load((root / "params.yaml").read_text())
    # What the results were made with, which is not what the file says now.
    params = {"seed": 0, "train_gan": written["train_gan"] | {"total_kimg": 123}}
    stages = {
        "ingest": {"cmd": "python -m tasks.ingest", "outs": outs},
        "train_gan": {"cmd": "python -m tasks.train_gan", "params": {"params.yaml": params}},
    }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def make_gans(root: Path, paths: dict[str, Path], seeds: tuple[int, ...], rows: int) -> None:
    metrics, curves, evaluations = {}, [], []
    for seed in seeds:
        folder = root / paths["gan"] / str(seed)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"fill": 40 + seed}))
        (folder / "generator.safetensors").write_bytes(bytes([seed]))
        grids = root / paths["gan_grids"] / str(seed)
        grids.mkdir(parents=True)
        for n in range(1, rows + 1):
            curves.append({"gan_seed": seed, "kimg": 2.0 * n, **curve(seed, n)})
            if n % 2 == 0:
                grid(seed, n).save(grids / f"{2 * n:06d}.png")
        for kind in ("truncation", "walk"):
            Image.new("RGB", (16, 8), (40 + seed, 0, 0)).save(grids / f"{kind}.png")
        metrics[str(seed)] = {
            "checkpoint": hashlib.sha256(b"weights %d" % seed).hexdigest(),
            "kimg": 2.0 * rows,
            "loss_g": 0.5,
            "evaluation": {"kid": 0.01 * (1 + seed), "coverage": 0.75},
            "collapsed": ["class 1"] if seed else [],
            "rollbacks": 2 * seed,
            "stopped_early": False,
        }
        for n in (2, 4):
            said = evaluation(seed, n)
            for name, numbers in {"": said.overall, **said.by_class}.items():
                evaluations += [(seed, 2.0 * n, name, *item) for item in numbers.items()]
    write_json(root / paths["gan_metrics"], metrics)
    pd.DataFrame(curves).to_csv(root / paths["gan_curves"], index=False)
    columns = ["gan_seed", "kimg", "class_name", "metric", "value"]
    table = pd.DataFrame(evaluations, columns=columns)
    table.to_csv(root / paths["gan_evaluations"], index=False)


def evaluation(seed: int, n: int) -> GanEvaluation:
    by_class = {f"class {k}": {"coverage": 1 / (n + k), "diversity": 0.5} for k in (0, 1)}
    return GanEvaluation({"kid": 0.1 / n + seed, "coverage": 0.75}, by_class)


def curve(seed: int, n: int) -> dict[str, float]:
    names = ("loss_g", "loss_d", "logit_real", "logit_fake", "grad_norm_g", "grad_norm_d")
    return {name: 1.0 / n + 0.1 * k + 0.01 * seed for k, name in enumerate(names)}


def grid(seed: int, n: int) -> Image.Image:
    pixels = np.random.default_rng([seed, n]).integers(0, 256, (80, 64), dtype=np.uint8)
    return Image.fromarray(pixels)


def make_report(root: Path, paths: dict[str, Path]) -> None:
    make_runs().to_parquet(root / paths["runs"], index=False)
    make_classifier(root / paths["classifier"])
    write_json(root / paths["retrain"], make_retrained(root / paths["classifier"]))
    (root / paths["lift"]).write_text(LIFT.dumps())
    (root / paths["page"]).write_text("<html><body><h1>It helps</h1></body></html>")
    (root / paths["pictures"]).mkdir()
    for name in ("lift_by_arm.png", "confusion.png", "flipped.png", "settling.png"):
        picture = Image.new("RGB", (1300, 600), "white")
        ImageDraw.Draw(picture).text((40, 40), name, fill="black")
        ImageDraw.Draw(picture).rectangle((60, 120, 700, 300), fill="#2a7")
        picture.save(root / paths["pictures"] / name)


def make_runs() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "gan_seed": seed % 2 if arm in SYNTHETIC else None,
            "recipe": "mixup",
            "steps": 300,
            "real": 200,
            "added": 150 if arm in SYNTHETIC else 0,
            "real_seen": 19200,
            "added_seen": 9600 if arm in SYNTHETIC else 0,
            **{name: 0.9 + 0.01 * k + 0.01 * rng.random() for name in (*METRICS, "ece")},
        }
        for k, arm in enumerate((*ARMS, HALF))
        for seed in range(3)
    ]
    return pd.DataFrame(rows).astype({"gan_seed": "Int64"})


def make_classifier(folder: Path, seed: int = 0) -> None:
    """Write a small CNN for 8 px grey images of two classes, as the stage retrain keeps it."""
    torch.manual_seed(seed)
    network = build_classifier("small_cnn", channels=1, classes=2, image_size=8)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {
        "schema": "ganlift/classifier/1",
        "classifier": "small_cnn",
        "channels": 1,
        "image_size": 8,
        "class_names": ["class 0", "class 1"],
        "arm": FILTERED,
        "seed": 2,
        "gan_seed": 0,
    }
    write_json(folder / "config.json", config)


def make_retrained(classifier: Path, test: str = "cd" * 32, **scores: float) -> dict[str, Any]:
    """Content of the ``retrain.json`` that goes with a classifier."""
    weights = (classifier / "model.safetensors").read_bytes()
    return {
        "schema": "ganlift/retrain/2",
        "schedule": "mixed",
        "classifier": "small_cnn",
        "test": {"images": 800, "digest": test},
        "kept": {
            "arm": FILTERED,
            "seed": 2,
            "gan_seed": 0,
            "sha256": hashlib.sha256(weights).hexdigest(),
            "test": dict.fromkeys(METRICS, 0.9) | scores,
            "val": dict.fromkeys(METRICS, 0.9),
        },
    }


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")
