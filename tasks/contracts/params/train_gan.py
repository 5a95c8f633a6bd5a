"""The section ``train_gan`` of ``params.yaml``: every technique by name, wrong pairs refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.contracts.params.sections import NonNegative, Positive, Section, Seeds, Share

NetworkName = Literal["conv", "dcgan", "resnet", "stylegan", "progressive", "translator", "vae"]
Conditioning = Literal["none", "concat", "projection", "auxiliary"]
LossName = Literal[
    "saturating",
    "nonsaturating",
    "least_squares",
    "wasserstein",
    "hinge",
    "relativistic",
    "elbo",
]
OptimizerName = Literal["adam", "rmsprop"]
ScheduleName = Literal["constant", "linear", "cosine"]
Policy = Literal["translation", "cutout", "color"]
Slope = Literal["exact", "sampled"]
Rule = Literal["kid", "fid", "precision", "recall", "density", "coverage", "conditioning", "last"]

_NEARLY = 1e-3  # 0.3333 stands for a third
_CROSS_ENTROPY = ("saturating", "nonsaturating")
BATCH_NORM = ("dcgan",)  # networks whose logits depend on the batch
_BY_IMAGE = ("r1", "r2", "gradient_penalty", "consistency")  # terms of one image's logit

_NOT_PRIVATE = {
    "dcgan": "its batch norm mixes the images of a batch",
    "progressive": "its layers come one after the other, and those to come have no gradient yet",
    "translator": "it makes images of images, and its checkpoint holds them",
    "vae": "it has no discriminator, whose gradients would be made noisy",
}


class Penalties(Section):
    """Weights of the terms added to the adversarial loss; 0 leaves a term out."""

    r1: NonNegative = 0.0
    r2: NonNegative = 0.0
    gradient_penalty: NonNegative = 0.0
    lecam: NonNegative = 0.0
    consistency: NonNegative = 0.0
    mode_seeking: NonNegative = 0.0
    feature_matching: NonNegative = 0.0
    reconstruction: NonNegative = 0.0


class Privacy(Section):
    """Differential privacy of each GAN; without an ``epsilon`` it is trained without."""

    epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-5
    max_grad_norm: Positive = 1.0
    class_counts: Literal["public", "noised"] = "public"


class Evaluation(Section):
    """How the GAN is judged on real/val while it trains, and which checkpoint is kept."""

    every_kimg: Positive
    features: Literal["in_domain", "inception"]
    keep: Rule


class Health(Section):
    """When a run is rolled back, and when it is given up."""

    max_rollbacks: int = Field(ge=0)
    max_logit: Positive
    max_gradient: Positive
    max_burst: float = Field(gt=1.0, allow_inf_nan=False)
    collapse_below: Share
    collapse_patience: int = Field(ge=1)


class TrainGanParams(Section):
    """The conditional GAN. Durations are counted in thousands of real images shown (kimg)."""

    seeds: Seeds
    network: NetworkName
    conditioning: Conditioning
    latent_dim: int = Field(ge=2)
    width: int = Field(ge=4)
    spectral_norm: bool
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    total_kimg: Positive | None
    total_minutes: Positive | None
    batch_size: int = Field(ge=4)
    loss: LossName
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)]
    weight_clip: Positive | None
    penalties: Penalties
    penalty_share: Annotated[float, Field(gt=0.0, le=1.0)]
    slope: Slope
    optimizer: OptimizerName
    learning_rate: Positive
    discriminator_rate: Positive
    discriminator_steps: int = Field(ge=1)
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)]
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)]
    rate_schedule: ScheduleName
    gamma_schedule: ScheduleName
    diffaug: tuple[Policy, ...]
    ada_target: Annotated[float, Field(gt=0.0, lt=1.0)] | None
    instance_noise: NonNegative
    top_k: Annotated[float, Field(gt=0.0, le=1.0)]
    balanced: bool
    ema_halflife_kimg: Positive
    unlabelled: Literal["none", "pseudo_label", "pseudo_label+unconditional"]
    related: Literal["none", "joint"]
    privacy: Privacy
    evaluation: Evaluation
    health: Health
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    processes: int = Field(ge=1)
    tick_kimg: Positive
    grid_kimg: Positive
    state_kimg: Positive

    @property
    def penalty_block(self) -> int:
        """How many consecutive images of a batch share one whose slope R1 and R2 take."""
        return round(1 / self.penalty_share)

    @property
    def private(self) -> bool:
        """Whether it is trained with differential privacy."""
        return self.privacy.epsilon is not None

    @model_validator(mode="after")
    def _check(self) -> TrainGanParams:
        private = self._privacy() if self.private else ()
        for reason in (*self._budget(), *self._adversary(), *self._practice(), *private):
            raise ValueError(reason)
        return self

    def _budget(self) -> Iterator[str]:
        if (self.total_kimg is None) == (self.total_minutes is None):
            yield "give one of total_kimg and total_minutes, and set the other to null"
        if self.batch_size % 2 == 1:
            yield (
                f"batch_size {self.batch_size} is odd, but the mode-seeking term and two "
                f"processes halve it; use {self.batch_size + 1}"
            )
        if self.batch_size % (2 * self.processes) != 0:
            yield (
                f"batch_size {self.batch_size} does not split into pairs over {self.processes} "
                "processes"
            )
        own, block = self.batch_size // self.processes, self.penalty_block
        if abs(1 / self.penalty_share - block) > _NEARLY or own % block != 0:
            yield (
                f"penalty_share {self.penalty_share:g} takes one image of so many, which has to "
                f"be a whole number that divides the {own} images of a batch in each process; "
                "use 1, 0.5 or 0.25"
            )
        whole_batch = {
            "top_k": self.top_k < 1,
            "penalties.feature_matching": self.penalties.feature_matching > 0,
            "unlabelled": self.unlabelled == "pseudo_label+unconditional",
        }
        if self.processes > 1 and any(whole_batch.values()):
            yield (
                f"{_used(whole_batch)} looks at a whole batch, of which each of {self.processes} "
                "processes sees a part"
            )
        if self.processes > 1 and self.network in BATCH_NORM:
            yield (
                f"processes {self.processes} would each have batch statistics of their own; "
                f"network {self.network} takes 1"
            )

    def _adversary(self) -> Iterator[str]:
        p, critic = self.penalties, self.loss == "wasserstein"
        if (self.network == "vae") != (self.loss == "elbo"):
            yield "network vae and loss elbo belong together: an autoencoder has no adversary"
        if self.network == "vae" and (
            any(p.model_dump().values()) or self.conditioning != "concat"
        ):
            yield "network vae takes conditioning concat and no penalties: it has no discriminator"
        adversarial = {
            "spectral_norm": self.spectral_norm,
            "dropout": self.dropout > 0,
            "diffaug": bool(self.diffaug),
            "instance_noise": self.instance_noise > 0,
            "top_k": self.top_k < 1,
        }
        if self.network == "vae" and any(adversarial.values()):
            yield (
                f"{_used(adversarial)} would do nothing: network vae has no discriminator; "
                "`ganlift run --preset vae` sets all that it needs"
            )
        if critic and (self.weight_clip is None) == (p.gradient_penalty == 0):
            yield (
                "loss wasserstein needs a bounded critic, by one of weight_clip (0.01) and "
                "penalties.gradient_penalty (10)"
            )
        if not critic and self.weight_clip is not None:
            yield (
                f"weight_clip bounds a wasserstein critic; loss {self.loss} has none, so set it "
                "to null"
            )
        by_image = [name for name in _BY_IMAGE if getattr(p, name)]
        if self.network in BATCH_NORM and by_image:
            yield (
                f"penalties.{by_image[0]} needs a logit that is one image's own, but network "
                f"{self.network} mixes a batch by its batch norm; set it to 0 or choose another "
                "network"
            )
        if p.feature_matching > 0 and self.unlabelled == "pseudo_label+unconditional":
            yield (
                "penalties.feature_matching compares features by class, and images without a "
                "label have none; set it to 0 or unlabelled to pseudo_label"
            )
        if p.reconstruction > 0 and self.network != "translator":
            yield (
                "penalties.reconstruction holds an image that was turned there and back against "
                f"itself, and network {self.network} turns none; set it to 0"
            )
        if self.label_smoothing > 0 and self.loss not in _CROSS_ENTROPY:
            yield (
                f"label_smoothing is for cross-entropy ({', '.join(_CROSS_ENTROPY)}); "
                f"loss {self.loss} has no labels to smooth, set it to 0"
            )

    def _practice(self) -> Iterator[str]:
        if self.optimizer == "rmsprop" and self.beta1 > 0:
            yield "optimizer rmsprop averages no gradients, so beta1 would do nothing; set it to 0"
        if self.ada_target is not None and not self.diffaug:
            yield "ada_target adapts how often diffaug is applied, and diffaug is empty"
        if self.penalties.consistency > 0 and not self.diffaug:
            yield (
                "penalties.consistency compares an image with its augmented self, and diffaug is "
                "empty"
            )
        if self.unlabelled == "pseudo_label+unconditional" and self.conditioning == "concat":
            yield (
                "an unconditional head for unlabelled images needs conditioning projection, "
                "auxiliary or none: concat puts the label into the image"
            )

    def _privacy(self) -> Iterator[str]:
        """Say what would let real images pass by the noise, or what the noise cannot reach."""
        p = self.penalties.model_dump()
        terms = [name for name, weight in p.items() if weight and name != "mode_seeking"]
        within = "with privacy.epsilon a number, "
        if self.network in _NOT_PRIVATE:
            yield f"{within}network {self.network} cannot be: {_NOT_PRIVATE[self.network]}"
        if self.spectral_norm:
            yield (
                f"{within}spectral_norm cannot be true: a weight that is divided by its norm has "
                "no gradient of each image's own"
            )
        if self.loss == "relativistic":
            yield (
                f"{within}loss relativistic cannot be: it compares images with each other, so "
                "that no gradient is one image's own, and shows the generator real ones; use "
                "nonsaturating"
            )
        if terms:
            yield (
                f"{within}penalties.{terms[0]} has to be 0: nothing but the adversarial loss, "
                "image by image, is clipped and made noisy"
            )
        if self.balanced:
            yield (
                f"{within}balanced has to be false: the guarantee counts on every image being "
                "drawn with the same probability"
            )
        if self.ada_target is not None:
            yield f"{within}ada_target has to be null: it follows the logits of real images"
        if self.unlabelled != "none":
            yield (
                f"{within}unlabelled has to be none: the classifiers that label them are trained "
                "without a guarantee"
            )
        if self.evaluation.keep != "last":
            yield (
                f"{within}evaluation.keep has to be last: choosing a checkpoint by comparing it "
                "with real/val tells of those images"
            )
        if self.total_kimg is None:
            yield f"{within}total_minutes has to be null: the noise follows from the steps"
        if self.processes > 1:
            yield f"{within}processes has to be 1"
        if self.precision == "bfloat16":
            yield f"{within}precision has to be float32 or auto, so that norms are exact"


def _used(settings: Mapping[str, bool]) -> str:
    return ", ".join(name for name, used in settings.items() if used)
