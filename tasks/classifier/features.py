"""Networks that describe images to the evaluation of a GAN: in-domain, or Inception's."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.classifier.networks import SMALL_CNN, SmallCnn
from tasks.classifier.training import BATCH, Outputs, Probabilities, Schedule, fit, outputs
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet

_INCEPTION_BATCH = 32
_INCEPTION_FILE = "inception_v3_google-0cc3c7bd.pth"
_INCEPTION_SIZE = 299


@dataclass(frozen=True)
class FeatureJudge:
    """A classifier of real/train: its features and what it takes an image for.

    Works on one thread, so that its numbers are the same in every process; pickles.
    """

    network: SmallCnn

    def features(self, images: Images) -> Outputs:
        """Outputs of the last layer but one, ``[N, 128]``, of uint8 ``[N, H, W, C]``."""
        return _outputs(self.network.features, images, BATCH)

    def probabilities(self, images: Images) -> Probabilities:
        """Softmax outputs ``[N, K]`` of uint8 ``[N, H, W, C]``."""
        return _outputs(lambda batch: self.network(batch).softmax(dim=1), images, BATCH)


@dataclass(frozen=True)
class InceptionJudge:
    """Inception v3 as trained on ImageNet (Szegedy et al. 2016, arXiv:1512.00567)."""

    network: nn.Module

    def features(self, images: Images) -> Outputs:
        """Pooled outputs ``[N, 2048]`` of uint8 ``[N, H, W, 1 or 3]``, scaled to 299 px."""
        return _outputs(self._pooled, images, _INCEPTION_BATCH)

    def _pooled(self, images: Tensor) -> Tensor:
        scaled = F.interpolate(
            images.expand(-1, 3, -1, -1), _INCEPTION_SIZE, mode="bilinear", antialias=True
        )
        pooled: Tensor = self.network(scaled)
        return pooled


def train_judge(train: ImageSet, steps: int, seed: int) -> FeatureJudge:
    """Train a small CNN on real/train with classical augmentation; same seed, same weights.

    Sets torch's global random state, as `fit` does.

    Raises:
        UserError: the training diverged.
    """
    schedule = Schedule(SMALL_CNN, steps, batch_size=64, learning_rate=0.002, weight_decay=0.01)
    with _one_thread():
        network = fit(
            train, schedule, classes=len(train.class_names), augment=True, flip=False, seed=seed
        )
    return FeatureJudge(cast(SmallCnn, network))


def inception_judge(weights_path: Path | None = None) -> InceptionJudge:
    """Load torchvision's Inception v3 from disk; nothing is ever downloaded.

    Args:
        weights_path: torchvision's file of weights; by default where torch.hub keeps it.

    Raises:
        UserError: the file is missing or holds something else.
    """
    path = weights_path or Path(torch.hub.get_dir()) / "checkpoints" / _INCEPTION_FILE
    if not path.is_file():
        raise _no_inception(path, "Inception's weights are not there")
    from torchvision import models  # seconds, and the default does without

    # pooled features want no auxiliary head; its weights are in the file all the same
    network = models.inception_v3(weights=None, init_weights=False, transform_input=False)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, EOFError, AttributeError, pickle.UnpicklingError):
        raise _no_inception(
            path, "it does not hold the weights of torchvision's Inception v3"
        ) from None
    network.fc = nn.Identity()
    return InceptionJudge(network.eval())


def _no_inception(path: Path, reason: str) -> UserError:
    return UserError(
        f"train_gan.evaluation.features: {path}",
        reason,
        "Set train_gan.evaluation.features=in_domain, or put torchvision's file "
        f"{_INCEPTION_FILE} there",
    )


def _outputs(network: Callable[[Tensor], Tensor], images: Images, batch: int) -> Outputs:
    """Outputs ``[N, F]`` in the order of the images."""
    starts = range(0, len(images), batch)
    with _one_thread():
        return outputs(network, (images[start : start + batch] for start in starts), len(images))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums split over more threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
