"""Related classes: classifiers are trained on them first, where real/val says that it pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tasks.classifier import pretraining
from tasks.classifier.pretraining import pretrained
from tasks.classifier.saved import load_classifier, load_weights
from tasks.classifier.settling import Settling
from tasks.classifier.training import Schedule, fit, untrained
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.kept import Kept
from tests.classifier.tiny_retrain import afresh, copied, run, same, told
from tests.data.fake_sets import image_set, noise_set, related

SCHEDULE = Schedule("small_cnn", steps=3, batch_size=8, learning_rate=0.002, weight_decay=0.01)
OTHERS = ("fox", "owl")


def files(folder: Path, images: ImageSet, seeds: tuple[int, ...] = (3,), asked: int = 2) -> list:
    kept = Kept(folder, 10**9)
    return pretrained(
        images, asked, SCHEDULE, flip=False, seeds=seeds, kept=kept, watch=lambda *_: None
    )


def test_it_is_a_plain_training_with_outputs_for_the_classes_asked_about_too(
    tmp_path: Path,
) -> None:
    beside = noise_set(6, OTHERS, seed=9)
    (file,) = files(tmp_path, beside)
    behind = ImageSet(beside.images, beside.manifest.assign(label=beside.labels + 2))
    network = fit(behind, SCHEDULE, classes=4, augment=True, flip=False, seed=3)
    held = load_file(file)
    for name, value in network.state_dict().items():
        assert torch.equal(held[name], value), name


@pytest.mark.parametrize("asked", [2, 3])
def test_an_arm_starts_from_all_of_it_but_the_last_layer(tmp_path: Path, asked: int) -> None:
    """Also where as many classes are related as are asked about: their layers must not be mixed."""
    (file,) = files(tmp_path, noise_set(6, OTHERS, seed=9), asked=asked)
    network = untrained(SCHEDULE, (8, 8, 1), classes=asked, seed=0)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = load_weights(network, file, "small_cnn", classes=asked, shape=(8, 8, 1))
    assert fresh
    held = load_file(file)
    for name, value in network.state_dict().items():
        assert torch.equal(value, first[name] if name in fresh else held[name]), name
        assert name not in fresh or len(value) == asked


def test_a_finished_one_is_not_trained_again_and_other_images_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    trained = pretraining._train_and_keep

    def watched(*arguments: object) -> None:
        calls.append(int(arguments[4]))
        trained(*arguments)

    monkeypatch.setattr(pretraining, "_train_and_keep", watched)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    beside = noise_set(6, OTHERS, seed=9)
    first = files(tmp_path, beside, (3, 4))
    assert files(tmp_path, beside, (3, 4, 5))[:2] == first
    assert calls == [3, 4, 5]
    assert len({file.read_bytes() for file in first}) == 2
    other = files(tmp_path, beside.take(range(11)), (3,))
    assert calls == [3, 4, 5, 3]
    assert other[0].read_bytes() != first[0].read_bytes()


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> dict[bool, float]:
    """What real/val says of either start."""
    scores = {False: 0.5, True: 0.6}

    def score(self: Settling, _: object) -> float:
        return scores[self._conditions.pretrained is not None]

    monkeypatch.setattr(Settling, "score", score)
    return scores


FEW = {
    "seeds": [0, 5], "fractions": [], "recipes": ["plain", "classical"], "steps": 3, "most_steps": 3
}  # fmt: skip


def with_related(inputs: Path, to: Path) -> Path:
    copied(inputs, to, but=("related",))
    noise_set(6, OTHERS, seed=60).save(to / "related")
    return to


def test_every_arm_starts_from_it_where_it_is_better_and_none_where_it_is_not(
    inputs: Path, tmp_path: Path, better: dict[bool, float]
) -> None:
    given = with_related(inputs, tmp_path / "given")
    without = run(inputs, tmp_path / "without", **FEW)
    assert told(without)["pretraining"] is None
    used = run(given, tmp_path / "used", **FEW)
    assert told(used)["pretraining"] == {
        "images": 12,
        "classes": 2,
        "steps": told(used)["pretraining"]["steps"],
        "from_scratch": 0.5,
        "pretrained": 0.6,
        "used": True,
    }
    better[True] = 0.5  # of equals, the simpler
    unused = run(given, tmp_path / "unused", **FEW)
    assert told(unused)["pretraining"]["used"] is False
    plain, after, again = (
        pd.read_parquet(of / "a/runs.parquet").set_index(["arm", "seed"])
        for of in (without, used, unused)
    )
    pd.testing.assert_frame_equal(plain, again)
    assert (plain["log_loss"] != after["log_loss"]).all()
    shown = ["steps", "real", "added", "real_seen", "added_seen"]
    pd.testing.assert_frame_equal(plain[shown], after[shown])
    network, _ = load_classifier(used / "c/classifier")
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_what_is_kept_is_what_would_be_made_anew(inputs: Path, tmp_path: Path) -> None:
    given = with_related(inputs, tmp_path / "given")
    first = run(given, tmp_path / "first", **FEW)
    same(run(given, tmp_path / "again", **FEW), first)
    same(first, afresh(given, tmp_path / "fresh", **FEW))


def test_weights_that_were_given_are_started_from_instead(inputs: Path, tmp_path: Path) -> None:
    given = with_related(inputs, tmp_path / "given")
    (file,) = files(tmp_path / "kept", noise_set(6, OTHERS, seed=9))
    out = run(given, tmp_path / "out", **FEW, weights=str(file))
    assert told(out)["pretraining"] is None


def test_a_leak_from_related_classes_stops_it(inputs: Path, tmp_path: Path) -> None:
    leaky = copied(inputs, tmp_path / "leaky", but=("related",))
    related(ImageSet.load(inputs / "test").take([3])).save(leaky / "related")
    with pytest.raises(UserError, match=r"related: a leak: 1 of its 1 images.* in real/test"):
        run(leaky, tmp_path / "out")


def test_labels_of_related_classes_that_are_wrong_change_nothing_where_the_start_is_not_used(
    inputs: Path, tmp_path: Path, better: dict[bool, float]
) -> None:
    """Nothing but what they start from comes of them."""
    better[True] = 0.4
    given = with_related(inputs, tmp_path / "given")
    wrong = copied(given, tmp_path / "wrong", but=("related",))
    beside = ImageSet.load(given / "related")
    labels = 1 - beside.labels
    image_set(np.array(beside.images), labels.tolist(), OTHERS).save(wrong / "related")
    one, two = run(given, tmp_path / "one", **FEW), run(wrong, tmp_path / "two", **FEW)
    assert (one / "a/runs.parquet").read_bytes() == (two / "a/runs.parquet").read_bytes()
