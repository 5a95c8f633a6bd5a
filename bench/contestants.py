"""What is compared with the default: the plain DCGAN, and each technique switched on or off."""

from __future__ import annotations

import json
from typing import Any

from flows.presets import preset_settings
from tasks.contracts.params.train_gan import TrainGanParams

Overrides = dict[str, Any]
DEFAULT, PLAIN = "default", "plain"
_EVERY_STEP = 1e-6  # kimg of EMA half-life at which the average is the generator itself

_NO_GRADIENT_PENALTY = {"penalties.r1": 0.0, "penalties.r2": 0.0}

TECHNIQUES: dict[str, Overrides] = {
    "no r1": {"penalties.r1": 0.0},
    "no r2": {"penalties.r2": 0.0},
    "neither r1 nor r2": _NO_GRADIENT_PENALTY,
    "r1 and r2 at 0.3": {"penalties.r1": 0.3, "penalties.r2": 0.3},
    "slopes exact, whole": {"penalty_share": 1.0},
    "slopes sampled, whole": {"penalty_share": 1.0, "slope": "sampled"},
    "slopes sampled, quarter": {"slope": "sampled"},
    "gamma falls": {"gamma_schedule": "cosine"},
    "no mode seeking": {"penalties.mode_seeking": 0.0},
    "feature matching": {"penalties.feature_matching": 0.1},
    "lecam": {"penalties.lecam": 0.3},
    "consistency": {"penalties.consistency": 1.0},
    "saturating": {"loss": "saturating"},
    "nonsaturating": {"loss": "nonsaturating"},
    "nonsaturating, smoothed labels": {"loss": "nonsaturating", "label_smoothing": 0.1},
    "least squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "hinge, spectral norm, ttur": {
        "loss": "hinge",
        **_NO_GRADIENT_PENALTY,
        "spectral_norm": True,
        "learning_rate": 0.0005,
        "discriminator_rate": 4.0,
    },
    "wgan-gp": {
        "loss": "wasserstein",
        **_NO_GRADIENT_PENALTY,
        "penalties.gradient_penalty": 10.0,
        "learning_rate": 0.0005,
        "discriminator_steps": 3,
    },
    "wgan, clipped": {
        "loss": "wasserstein",
        **_NO_GRADIENT_PENALTY,
        "weight_clip": 0.01,
        "learning_rate": 0.0005,
        "discriminator_steps": 3,
    },
    "no augmentation": {"diffaug": []},
    "translation, cutout": {"diffaug": ["translation", "cutout"]},
    "ada": {"ada_target": 0.6},
    "instance noise": {"instance_noise": 0.1},
    "top-k": {"top_k": 0.5},
    "classes as they come": {"balanced": False},
    "no ema": {"ema_halflife_kimg": _EVERY_STEP},
    "constant rate": {"rate_schedule": "constant"},
    "linear rate": {"rate_schedule": "linear"},
    "half the rate": {"learning_rate": 0.001},
    "ttur": {"discriminator_rate": 2.0},
    "two discriminator steps": {"discriminator_steps": 2},
    "beta1 0.5": {"beta1": 0.5},
    "spectral norm": {"spectral_norm": True},
    "dropout": {"dropout": 0.25},
    "concat": {"conditioning": "concat"},
    "auxiliary": {"conditioning": "auxiliary"},
    "unconditional": {"conditioning": "none"},
    "resnet": {"network": "resnet"},
    "resnet, no augmentation": {"network": "resnet", "diffaug": []},
    "resnet, constant rate": {"network": "resnet", "rate_schedule": "constant"},
    "stylegan": {"network": "stylegan"},
    "progressive": {"network": "progressive"},
    "dcgan": {"network": "dcgan", **_NO_GRADIENT_PENALTY},
    "vae": {
        "network": "vae",
        "loss": "elbo",
        "conditioning": "concat",
        "penalties": {},
        "diffaug": [],
        "learning_rate": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
    },
    "width 24": {"width": 24},
}
"""Each differs from the default in what it names alone; rates that fit a loss come with it."""


_VARIANTS: dict[str, tuple[str, Overrides]] = {
    # the usual rate is for far longer runs: without this, the comparison would flatter us
    "plain-10x": (PLAIN, {"learning_rate": 0.002}),
}


def contestant(name: str) -> Overrides:
    """Return what a contestant changes: nothing for ``default``, else a recipe.

    Recipes are the presets and ``plain-10x``.

    Raises:
        UserError: no preset of that name.
    """
    if name == DEFAULT:
        return {}
    preset, own = _VARIANTS.get(name, (name, {}))
    recipe = (setting.split("=", 1) for setting in preset_settings(preset))
    return {key.removeprefix("train_gan."): json.loads(value) for key, value in recipe} | own


def settings(default: TrainGanParams, overrides: Overrides, *, kimg: float) -> TrainGanParams:
    """Return the default with `overrides` on top, on the CPU, for a budget of images.

    The batch is the default's for all: contestants share it and the budget.

    Args:
        default: ``train_gan`` of ``params.yaml``.
        overrides: keys of ``train_gan``, a dot before one inside ``penalties`` and the like.
        kimg: thousands of real images shown, whatever the default's budget.
    """
    values = default.model_dump()
    for key, value in overrides.items():
        section, _, inner = key.partition(".")
        values[section] = values[section] | {inner: value} if inner else value
    shared = {"total_kimg": kimg, "total_minutes": None, "batch_size": default.batch_size}
    machine = {"device": "cpu", "precision": "float32", "processes": 1}
    return TrainGanParams(**values | shared | machine)
