from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models

from tasks.classifier.features import FeatureJudge, inception_judge, train_judge
from tasks.contracts.errors import UserError
from tests.contracts.tiny import shape_set

TRAIN, OTHERS = shape_set(6), shape_set(4, seed=5)


@pytest.fixture(scope="module")
def judge() -> FeatureJudge:
    return train_judge(TRAIN, steps=40, seed=0)


def test_features_are_what_the_last_layer_decides_by(judge: FeatureJudge) -> None:
    features = judge.features(OTHERS.images)
    assert (features.shape, features.dtype) == ((12, 128), np.float32)
    logits = judge.network.head(torch.from_numpy(features))
    np.testing.assert_allclose(
        judge.probabilities(OTHERS.images), logits.softmax(dim=1).detach().numpy(), rtol=1e-5
    )


def test_it_learns_the_classes(judge: FeatureJudge) -> None:
    right = judge.probabilities(OTHERS.images).argmax(axis=1) == OTHERS.labels
    assert right.mean() > 0.8


def test_the_same_seed_gives_the_same_judge_on_any_number_of_threads() -> None:
    first = train_judge(TRAIN, steps=3, seed=4)
    torch.set_num_threads(2)
    again, other = train_judge(TRAIN, steps=3, seed=4), train_judge(TRAIN, steps=3, seed=5)
    np.testing.assert_array_equal(first.features(OTHERS.images), again.features(OTHERS.images))
    assert not np.array_equal(first.features(OTHERS.images), other.features(OTHERS.images))
    assert torch.get_num_threads() == 2


def test_it_survives_the_way_to_another_process(judge: FeatureJudge) -> None:
    back = pickle.loads(pickle.dumps(judge))
    np.testing.assert_array_equal(back.features(OTHERS.images), judge.features(OTHERS.images))
    np.testing.assert_array_equal(
        back.probabilities(OTHERS.images), judge.probabilities(OTHERS.images)
    )


def test_an_image_is_described_alike_whatever_stands_beside_it(judge: FeatureJudge) -> None:
    whole = judge.features(OTHERS.images)
    np.testing.assert_allclose(judge.features(OTHERS.images[3:4]), whole[3:4], rtol=1e-4, atol=1e-5)


def test_missing_inception_weights_name_the_file_and_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"checkpoints/inception_v3_google.*features=in_domain"):
        inception_judge()


@pytest.mark.parametrize("content", ["text", "other weights"])
def test_a_file_that_is_no_inception_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("not weights")
    else:
        torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="does not hold the weights") as caught:
        inception_judge(path)
    assert len(str(caught.value)) < 400


def test_inception_gives_pooled_features_of_grey_and_colour(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = models.inception_v3(weights=None, init_weights=False).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    judge = inception_judge(tmp_path / "weights.pth")
    grey = shape_set(1).images[:2]
    features = judge.features(grey)
    assert features.shape == (2, 2048)
    np.testing.assert_array_equal(judge.features(grey.repeat(3, axis=3)), features)
    with torch.no_grad():  # the whole network, on what it was trained on: 299 px in -1..1
        tensor = torch.from_numpy(grey.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        scaled = torch.nn.functional.interpolate(
            tensor.repeat(1, 3, 1, 1), size=299, mode="bilinear", antialias=True
        )
        expected = network(scaled)
    logits = network.fc(torch.from_numpy(features))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
