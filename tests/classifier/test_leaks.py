from __future__ import annotations

import pytest

from tasks.classifier.training_data import refuse_absent_classes, refuse_leaks
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tests.data.fake_sets import noise_set

TRAIN, VAL, TEST = (noise_set(6, seed=seed) for seed in range(3))


def grouped(images: ImageSet, groups: list[str]) -> ImageSet:
    return ImageSet(images.images, images.manifest.assign(group=groups))


def test_sets_that_share_nothing_pass() -> None:
    refuse_leaks({"merged": TRAIN, "spare": TRAIN.take([])}, {"real/test": TEST, "real/val": VAL})


@pytest.mark.parametrize("held", ["real/test", "real/val"])
@pytest.mark.parametrize("name", ["merged", "spare"])
def test_a_planted_leak_is_refused_with_its_number_and_an_image(held: str, name: str) -> None:
    held_out = {"real/test": TEST, "real/val": VAL}
    planted = concatenate([TRAIN, held_out[held].take([3, 8])])
    trained = {"merged": TRAIN, "spare": noise_set(2, seed=9)} | {name: planted}
    with pytest.raises(UserError, match=rf"a leak: 2 of its 14 .* are in {held}") as caught:
        refuse_leaks(trained, held_out)
    assert caught.value.thing == name
    assert held_out[held].manifest["image_id"][3][:12] in caught.value.reason


def test_another_image_of_a_held_out_group_is_a_leak_too() -> None:
    patients = [f"patient {number}" for number in range(12)]
    trained = grouped(TRAIN, [f"other {one}" for one in patients])
    refuse_leaks({"merged": trained}, {"real/test": grouped(TEST, patients)})
    shared = grouped(TRAIN, [*patients[:1], *[f"other {one}" for one in patients[1:]]])
    with pytest.raises(UserError, match="a leak: 1 of its 12"):
        refuse_leaks({"merged": shared}, {"real/test": grouped(TEST, patients)})


def test_every_class_has_to_be_there_to_judge_on() -> None:
    refuse_absent_classes(("cat", "dog"), {"real/test": TEST})
    with pytest.raises(UserError, match=r"class 'dog': has no image in real/test"):
        refuse_absent_classes(("cat", "dog"), {"real/test": TEST.take(range(6))})
    with pytest.raises(UserError, match=r"real/val: its classes are not those"):
        refuse_absent_classes(("cat", "dog"), {"real/val": noise_set(2, ("cat", "dog", "owl"))})
