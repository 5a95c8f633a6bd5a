"""Parameters and images of the smallest size that still means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tasks.contracts.image_set import Images, ImageSet
from tasks.contracts.params.line import Params, parse_params
from tests.data.fake_sets import image_set

SHAPES = ("circle", "square", "triangle")


def tiny_values() -> dict[str, Any]:
    """Plain values of every key, as YAML gives them."""
    return {
        "seed": 0,
        "ingest": {
            "source": "data/raw",
            "image_size": 8,
            "channels": "auto",
            "fit": "pad",
            "val_share": 0.2,
            "test_share": 0.3,
            "folds": None,
            "per_class": None,
            "imbalance": 1,
            "label_fraction": 1.0,
            "max_reject_share": 0.1,
            "group_pattern": None,
            "frames": "first",
            "twins": None,
            "on_leak": "drop",
        },
        "validate": {
            "min_train_per_class": 2,
            "min_val_per_class": 1,
            "min_test_per_class": 1,
            "min_pixel_std": 1.0,
            "useful_train_per_class": 1,
            "useful_val_per_class": 1,
            "useful_test_per_class": 1,
            "max_robust_z": 6.0,
            "max_drift": 0.1,
            "max_suspect_share": 0.05,
        },
        "train_gan": {
            "seeds": [0, 1],
            "network": "conv",
            "conditioning": "projection",
            "latent_dim": 4,
            "width": 4,
            "spectral_norm": False,
            "dropout": 0.0,
            "total_kimg": 0.064,
            "total_minutes": None,
            "batch_size": 8,
            "loss": "relativistic",
            "label_smoothing": 0.0,
            "weight_clip": None,
            "penalties": {"r1": 1.0, "r2": 1.0, "mode_seeking": 0.1},
            "penalty_share": 1.0,
            "slope": "exact",
            "optimizer": "adam",
            "learning_rate": 0.002,
            "discriminator_rate": 1.0,
            "discriminator_steps": 1,
            "beta1": 0.0,
            "beta2": 0.99,
            "rate_schedule": "cosine",
            "gamma_schedule": "constant",
            "diffaug": ["translation"],
            "ada_target": None,
            "instance_noise": 0.0,
            "top_k": 1.0,
            "balanced": True,
            "ema_halflife_kimg": 1,
            "unlabelled": "none",
            "related": "joint",
            "privacy": {"epsilon": None},
            "evaluation": {"every_kimg": 0.032, "features": "in_domain", "keep": "kid"},
            "health": {
                "max_rollbacks": 1,
                "max_logit": 1000.0,
                "max_gradient": 1e5,
                "max_burst": 1000.0,
                "collapse_below": 0.1,
                "collapse_patience": 3,
            },
            "device": "cpu",
            "precision": "float32",
            "processes": 1,
            "tick_kimg": 0.016,
            "grid_kimg": 0.032,
            "state_kimg": 0.016,
        },
        "generate": {"per_class": 5, "per_needed": 4},
        "quality_filter": {
            "folds": 2,
            "classifier_steps": 3,
            "calibration": "logistic",
            "select": "threshold",
            "p_real_quantile": 0.0,
            "top_share": 1.0,
            "confidence_quantile": 0.0,
            "margin_quantile": 0.0,
            "agreement": False,
            "realism_quantile": 0.0,
            "reject_copies": True,
            "copy_quantile": 0.0,
            "authentic": False,
            "labels": "hard",
            "per_class": None,
            "diversity": "none",
            "tune": False,
        },
        "merge": {"target_per_class": "ratio", "synthetic_per_real": 1.0},
        "retrain": {
            "classifier": "small_cnn",
            "weights": None,
            "seeds": [0, 1],
            "recipes": ["classical"],
            "steps": 2,
            "most_steps": 2,
            "batch_size": 8,
            "learning_rate": 0.002,
            "weight_decay": 0.01,
            "fractions": [0.5],
            "flip": False,
            "schedule": "mixed",
            "batch_norm": "shared",
            "precision": "float32",
        },
        "report": {
            "primary_metric": "balanced_accuracy",
            "baseline": "real",
            "treatment": "real+filtered",
            "level": 0.95,
            "smallest_lift_pp": 0.5,
            "resamples": 2000,
        },
    }


def tiny_params(**sections: dict[str, Any]) -> Params:
    """Frozen params; each argument overrides keys of one section."""
    values = tiny_values()
    for name, overrides in sections.items():
        values[name] |= overrides
    return parse_params(values)


def draw_shape(kind: str, rng: np.random.Generator, size: int = 8, channels: int = 1) -> Images:
    """One shape of random place, size and colour on a dark ground: uint8 ``[H, W, C]``."""
    picture = Image.new("RGB", (size, size), (10, 10, 10))
    half = rng.uniform(0.22, 0.32) * size
    x, y = rng.uniform(0.4, 0.6, 2) * size
    colour = tuple(int(value) for value in rng.integers(120, 256, 3))
    draw = ImageDraw.Draw(picture)
    if kind == "circle":
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    elif kind == "square":
        draw.rectangle((x - half, y - half, x + half, y + half), fill=colour)
    else:
        draw.polygon([(x - half, y + half), (x + half, y + half), (x, y - half)], fill=colour)
    pixels = np.asarray(picture if channels == 3 else picture.convert("L")).copy()
    noise = rng.integers(0, 9, pixels.shape)  # so that no two are alike
    return (
        (pixels.reshape(size, size, channels) // 2 * 2 + noise.reshape(size, size, -1))
        .clip(0, 255)
        .astype(np.uint8)
    )


def shape_set(
    per_class: int,
    names: Sequence[str] = SHAPES,
    *,
    size: int = 8,
    channels: int = 1,
    seed: int = 0,
    **columns: Any,
) -> ImageSet:
    """A learnable real set: rows sorted by class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(names)), per_class)
    images = np.stack([draw_shape(SHAPES[label], rng, size, channels) for label in labels])
    return image_set(images, labels, names, **columns)
