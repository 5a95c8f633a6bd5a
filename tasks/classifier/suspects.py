"""Images that may carry a wrong label: those that look far more like another class.

A probe judges each image without having seen it or its group, as in confident learning (Northcutt
et al., 2021, arXiv:1911.00068), and an image is suspect by the margin between another class and
its own. The paper's thresholds by class found fewer of the planted wrong labels and were right
less often, so they are not used. The probe is a kernel machine on a few principal components of
the pixels: seconds, where the cross-fitted networks of the filter take minutes. Suspects are for
a person to look at; nothing is dropped for being one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.contracts.image_set import Images, Labels

_FOLDS = 5
_EDGE = 16  # pixels; larger images are shrunk to it by the mean of blocks
_COMPONENTS = 40
_KERNELS, _GAMMA, _PENALTY = 500, 0.5, 10.0  # the best of four on digits with 5 % planted
MOST_FITTED = 10_000
"""Images that a probe is fitted on, of more a part."""
_LEAST_IMAGES = 50  # below which no probe says anything
_MARGIN = 0.5  # of 5 % planted in digits 8 in 10 are found, and 9 in 10 found are planted
LEAST_RECALL = 0.7
"""Mean recall of the probe below which its suspects would mostly be its own mistakes."""

_LITTLE_LEFT = 0.02  # to gain, for a classifier better than the probe

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelSuspects:
    """What a probe says of the labels.

    Attributes:
        rows: a row for each suspect, the clearest first: ``row`` (its number among the images
            judged), ``suggested`` (the label it looks like), ``p_given`` and ``p_suggested``
            (probabilities of its own label and of that one).
        recall: mean over the classes of the share of images that the probe names as labelled,
            None where there were too few images to ask.
    """

    rows: pd.DataFrame
    recall: float | None

    @property
    def judged(self) -> bool:
        """Whether the probe is good enough for its word to count."""
        return self.recall is not None and self.recall >= LEAST_RECALL

    @property
    def little_left(self) -> str | None:
        """What a person should know before GANs train, where hardly anything is left to gain."""
        if self.recall is None or self.recall < 1.0 - _LITTLE_LEFT:
            return None
        return (
            f"A quick classifier that sees pixels alone finds {100 * self.recall:.1f} % of the "
            "images of a class on average, without having been trained on them: hardly more than "
            f"{100 * (1 - self.recall):.1f} points are left for GAN images to add."
        )


def probe(features: Floats, labels: Labels, groups: Sequence[str], seed: int) -> Floats:
    """Return the probabilities ``[N, K]`` of each image by probes that saw nothing of its group.

    Args:
        features: ``[N, D]``, of `shrunk`.
        labels: ``[N]``, 0 to K-1, each at least once.
        groups: of each image.
        seed: of the folds and the kernel.
    """
    said = np.zeros((len(labels), int(labels.max()) + 1))
    fold_of = _folds(labels, groups, seed)
    rng, every = np.random.default_rng([seed, 11]), []
    for fold in range(_FOLDS):
        rows, judged = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        if len(judged) and len(np.unique(labels[rows])) > 1:
            every.append((np.sort(rng.permutation(rows)[:MOST_FITTED]), judged))

    def fitted(rows: Labels) -> Pipeline:
        model = _model(len(rows), features.shape[1], seed)
        return model.fit(features[rows], labels[rows])

    # for most of its time a fit lets other threads go on
    threads = joblib.Parallel(joblib.cpu_count(), prefer="threads")
    models = threads(joblib.delayed(fitted)(rows) for rows, _ in every)
    for model, (_, judged) in zip(models, every, strict=True):
        said[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
    return said


def other_class(said: Floats, labels: Labels) -> Labels:
    """Return the class that each image looks like instead of its own, -1 where its label stands.

    Args:
        said: out-of-fold probabilities ``[N, K]``.
        labels: ``[N]``, 0 to K-1.
    """
    best = said.argmax(axis=1)
    margin = said.max(axis=1) - said[np.arange(len(labels)), labels]
    return np.where(margin >= _MARGIN, best, -1).astype(np.int64)


def mean_recall(said: Floats, labels: Labels) -> float:
    """Return the mean over the classes of the share of their images that the probe names so."""
    right = said.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def suspects(images: Sequence[Images], manifest: pd.DataFrame, seed: int) -> LabelSuspects:
    """Find images whose label looks wrong; none where the probe is not good enough to say.

    Args:
        images: parts of ``[N, H, W, C]`` uint8, in the order of the manifest.
        manifest: N rows with ``label`` and ``group``.
        seed: of the folds and the kernel.
    """
    labels = manifest["label"].to_numpy(np.int64, copy=True)
    rows = np.array([], dtype=np.int64)
    other, said, recall = rows, np.zeros((0, 0)), None
    if len(labels) >= _LEAST_IMAGES and len(np.unique(labels)) > 1 and labels.min() >= 0:
        features = np.concatenate([shrunk(part) for part in images])
        said = probe(features, labels, manifest["group"].astype("str").tolist(), seed)
        recall = round(mean_recall(said, labels), 4)
        if recall >= LEAST_RECALL:
            other = other_class(said, labels)
            rows = np.flatnonzero(other >= 0)
    found = pd.DataFrame(
        {
            "row": rows,
            "suggested": other[rows],
            "p_given": said[rows, labels[rows]].round(3) if len(rows) else np.zeros(0),
            "p_suggested": said[rows, other[rows]].round(3) if len(rows) else np.zeros(0),
        }
    )
    clearest = (found["p_given"] - found["p_suggested"]).sort_values(kind="stable").index
    return LabelSuspects(found.loc[clearest].reset_index(drop=True), recall)


def shrunk(images: Images) -> Floats:
    """Return ``[N, D]`` pixels in 0 to 1 of the images, by the mean of blocks at most 16 x 16."""
    count, height, width, channels = images.shape
    block = (max(1, height // _EDGE), max(1, width // _EDGE))
    rows, columns = height // block[0], width // block[1]
    parts = []
    for start in range(0, count, 256):
        part = np.asarray(images[start : start + 256, : rows * block[0], : columns * block[1]])
        cut = part.reshape(len(part), rows, block[0], columns, block[1], channels)
        parts.append(cut.mean(axis=(2, 4)).reshape(len(part), -1) / 255)
    return np.concatenate(parts) if parts else np.zeros((0, rows * columns * channels))


def _folds(labels: Labels, groups: Sequence[str], seed: int) -> Labels:
    """Give each image a fold, ``[N]``: whole groups, each class spread evenly by its groups."""
    frame = pd.DataFrame({"label": labels, "group": groups})
    first = frame.drop_duplicates("group")
    order = np.random.default_rng([seed, 10]).permutation(len(first))
    dealt = first.iloc[order].sort_values("label", kind="stable")["group"]
    fold_of = dict(zip(dealt, np.arange(len(dealt)) % _FOLDS, strict=True))
    return frame["group"].map(fold_of).to_numpy(np.int64)


def _model(count: int, width: int, seed: int) -> Pipeline:
    components = min(_COMPONENTS, width, count - 1)
    return make_pipeline(
        PCA(components, random_state=seed, svd_solver="full", whiten=False),
        StandardScaler(),
        Nystroem(gamma=_GAMMA / components, n_components=min(_KERNELS, count), random_state=seed),
        LogisticRegression(C=_PENALTY, max_iter=300),
    )
