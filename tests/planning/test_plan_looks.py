from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.presets import preset_settings
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import parse_params
from tasks.data.collection import split
from tasks.data.reading import decode
from tasks.planning import clock
from tasks.planning.choices import image_choices, training_choices
from tasks.planning.looks import Look, look
from tasks.planning.mirror import Mirror, mirrored
from tasks.planning.reach import reach
from tests.contracts.tiny import shape_set, tiny_values
from tests.data.fake_sets import image_set

INGEST = parse_params(tiny_values()).ingest
SAFE = Mirror(0.5, 0.01, 400)


def folder(at: Path, counts: dict[str, int], size: tuple[int, int] = (64, 64)) -> Path:
    """Class folders of noise."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (at / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8)
            Image.fromarray(pixels).save(at / name / f"{number}.png")
    return at


def settings(seen: Look, *, gpu: bool = False, gain: float = 1.0) -> dict[str, object]:
    first = image_choices(seen, gpu=gpu)
    found = {choice.key: choice.value for choice in first}
    update = {key.partition(".")[2]: value for key, value in found.items()}
    params = INGEST.model_copy(update=update)
    second = training_choices(seen, seen.expected(params), params.image_size, SAFE, gain)
    assert all(choice.why for choice in (*first, *second))
    return found | {choice.key: choice.value for choice in second}


def test_a_look_counts_and_skips_what_cannot_be_read(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {"cup": 6, "fork": 30}, size=(60, 20))
    (source / "cup" / "5.png").write_bytes(b"no image")
    seen = look(source)
    assert seen.counts == {"cup": 6, "fork": 30}
    assert seen.rarest == ("cup", 6)
    assert (seen.images, seen.unreadable, len(seen.sample)) == (36, 1, 35)
    assert seen.sizes.tolist() == [[60, 20]] * 35
    assert seen.grey
    assert seen.given == {}


def test_images_of_another_domain_are_told_and_turned_where_every_class_has_some(
    tmp_path: Path,
) -> None:
    source = folder(tmp_path / "data", {"cup": 20, "fork": 30})
    bare = settings(look(source))
    folder(source / "other_domain", {"cup": 9, "fork": 7})
    seen = look(source)
    assert seen.other_domain == {"cup": 9, "fork": 7}
    assert (seen.counts, seen.given) == ({"cup": 20, "fork": 30}, {})
    found = settings(seen)
    changed = {key: value for key, value in found.items() if bare.get(key) != value}
    assert changed == {
        "train_gan.network": "translator",
        "train_gan.penalties.mode_seeking": 0.3,
        "train_gan.penalties.reconstruction": 2.0,
        "merge.target_per_class": changed["merge.target_per_class"],
    }
    assert 7 + 10 < changed["merge.target_per_class"] < 7 + 30
    shutil.rmtree(source / "other_domain" / "cup")
    assert settings(look(source)) == bare


def test_related_classes_are_told_and_learned_beside(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {"cup": 20, "fork": 20})
    bare = settings(look(source))
    folder(source / "related", {"bowl": 9, "pan": 7, "pot": 90})
    seen = look(source)
    assert seen.related == {"bowl": 9, "pan": 7, "pot": 90}
    assert (seen.counts, seen.given) == ({"cup": 20, "fork": 20}, {})
    found = settings(seen)
    changed = {key: value for key, value in found.items() if bare.get(key) != value}
    assert changed == {
        "train_gan.related": "joint",
        "train_gan.penalties.mode_seeking": 1.0,
        "merge.target_per_class": 12 + 9,
    }
    folder(source / "other_domain", {"cup": 9, "fork": 7})
    both = settings(look(source))
    assert (both["train_gan.network"], both["train_gan.related"]) == ("translator", "none")
    assert both["train_gan.penalties.mode_seeking"] == 0.3


@pytest.mark.parametrize(("loose", "target"), [(20, "ratio"), (90, 12 + 45)])
def test_images_without_a_label_are_learned_from_and_what_they_tell_is_asked_for(
    tmp_path: Path, loose: int, target: object
) -> None:
    source = folder(tmp_path / "data", {"cup": 20, "fork": 20})
    bare = settings(look(source))
    folder(source, {"unlabelled": loose})
    seen = look(source)
    assert (seen.unlabelled, seen.counts) == (loose, {"cup": 20, "fork": 20})
    found = settings(seen)
    changed = {key: value for key, value in found.items() if bare.get(key) != value}
    told = {"train_gan.unlabelled": "pseudo_label+unconditional"}
    if target != "ratio":
        told["merge.target_per_class"] = target
    assert changed == told
    preset = preset_settings("unlabelled")
    assert f'train_gan.unlabelled="{told["train_gan.unlabelled"]}"' in preset


def test_few_images_to_turn_others_into_are_not_learned_by_heart_nor_judged_by_confidence(
    tmp_path: Path,
) -> None:
    source = folder(tmp_path / "data", {"cup": 9, "fork": 9}, size=(16, 16))
    bare = settings(look(source))
    assert "quality_filter.confidence_quantile" not in bare
    assert bare["train_gan.total_kimg"] == 88
    folder(source / "other_domain", {"cup": 9, "fork": 7}, size=(16, 16))
    found = settings(look(source))
    assert found["quality_filter.confidence_quantile"] == 0.0
    assert found["train_gan.total_kimg"] == 48


def test_given_test_images_are_not_looked_at(tmp_path: Path) -> None:
    for given, count in (("train", 8), ("test", 5)):
        folder(tmp_path / "data" / given, {"cup": count, "fork": count})
    seen = look(tmp_path / "data")
    assert {item.split for item in seen.sample} == {"train"}
    expected = seen.expected(INGEST)
    assert expected["test"] == {"cup": 5, "fork": 5}
    assert expected["val"] == {"cup": 2, "fork": 2}
    assert expected["train"] == {"cup": 6, "fork": 6}
    said = {choice.key: choice.why for choice in image_choices(seen, gpu=False)}
    assert said["ingest.folds"] == "test/ is given"
    assert said["ingest.test_share"] == "not used: test/ is given"


def test_what_the_plan_decodes_holds_no_image_that_ingest_puts_into_test(tmp_path: Path) -> None:
    seen = look(folder(tmp_path / "data", {"cup": 60, "fork": 60}))
    planned = set(seen.decoded(INGEST, seed=0).manifest["image_id"])
    items = [item for item in seen.sample if item.split is None]
    images, done = decode(items, INGEST, lambda share, text: None)
    parts = split(images, done.given, INGEST, seed=0)
    assert 0 < len(planned) < 120
    assert not planned & set(parts["test"].manifest["image_id"])


def test_unbalanced_classes_are_brought_up(tmp_path: Path) -> None:
    found = settings(look(folder(tmp_path / "data", {"cup": 40, "fork": 100})))
    assert (found["generate.per_class"], found["merge.target_per_class"]) == ("auto", "balance")
    preset = dict(setting.split("=", 1) for setting in preset_settings("rare"))
    for key in ("merge.target_per_class", "train_gan.penalties.mode_seeking"):
        assert str(found[key]) == preset[key].strip('"')
    even = settings(look(folder(tmp_path / "even", {"cup": 40, "fork": 60})))
    assert "train_gan.penalties.mode_seeking" not in even
    few = settings(look(folder(tmp_path / "few", {"cup": 12, "fork": 40}, size=(16, 16))))
    assert few["train_gan.total_kimg"] == 48
    assert few["quality_filter.confidence_quantile"] == 0.0
    assert "quality_filter.confidence_quantile" not in found


def test_nothing_readable_is_one_line(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {"cup": 1, "fork": 1})
    for file in source.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the 2 images"):
        look(source)


@pytest.mark.parametrize(
    ("side", "gpu", "size"),
    [(5, False, 8), (16, False, 16), (28, False, 32), (400, False, 32), (400, True, 64)],
)
def test_the_size_follows_the_originals_up_to_what_the_machine_can_do(
    tmp_path: Path, side: int, gpu: bool, size: int
) -> None:
    seen = look(folder(tmp_path / "data", {"cup": 3, "fork": 3}, size=(side, side)))
    assert settings(seen, gpu=gpu)["ingest.image_size"] == size


def test_a_small_set_takes_the_preset_few_and_gates_that_it_can_pass(tmp_path: Path) -> None:
    found = settings(look(folder(tmp_path / "data", {"cup": 12, "fork": 40})))
    assert found["train_gan.penalties.r1"] == 0.3
    assert (found["ingest.val_share"], found["ingest.folds"]) == (0.2, 5)
    assert found["validate.min_test_per_class"] == 1  # of about 2 in each fold
    assert found["ingest.per_class"] is None


@pytest.mark.parametrize(("rarest", "folds"), [(9, None), (10, 5), (40, 5), (41, None)])
def test_folds_are_chosen_where_the_rarest_class_is_too_small_for_shares(
    tmp_path: Path, rarest: int, folds: int | None
) -> None:
    seen = look(folder(tmp_path / "data", {"cup": rarest, "fork": 60}, size=(8, 8)))
    assert settings(seen)["ingest.folds"] == folds
    params = INGEST.model_copy(update={"folds": folds, "test_share": 0.3})
    expected, tested = seen.expected(params), seen.tested(params)
    if folds:
        assert tested == {"cup": rarest, "fork": 60}
        assert expected["test"]["fork"] == 12
    else:
        assert tested == expected["test"]


def test_folds_are_not_chosen_where_the_source_says_what_is_tested_on(tmp_path: Path) -> None:
    for name in ("train", "test"):
        folder(tmp_path / "data" / name, {"cup": 12, "fork": 40}, size=(8, 8))
    assert settings(look(tmp_path / "data"))["ingest.folds"] is None


def test_a_larger_set_keeps_the_default_recipe_and_generates_more(tmp_path: Path) -> None:
    seen = look(folder(tmp_path / "data", {"cup": 300, "fork": 300}, size=(8, 8)))
    found = settings(seen)
    assert "train_gan.penalties.r1" not in found
    assert found["ingest.test_share"] == 0.2
    assert (found["generate.per_class"], found["merge.target_per_class"]) == ("auto", "ratio")
    assert found["validate.min_test_per_class"] == 10


@pytest.mark.parametrize(
    ("gain", "precision"), [(0.2, "float32"), (1.1, "float32"), (1.8, "bfloat16")]
)
def test_fewer_bits_are_taken_only_where_they_save_time(
    tmp_path: Path, gain: float, precision: str
) -> None:
    seen = look(folder(tmp_path / "data", {"cup": 12, "fork": 12}, size=(8, 8)))
    assert settings(seen, gain=gain)["retrain.precision"] == precision


def test_the_gain_of_fewer_bits_is_that_of_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"float32": 0.06, "bfloat16": 0.03}
    monkeypatch.setattr(
        clock, "_step", lambda name, arm, params, classes: seconds[params.precision]
    )
    params = parse_params(tiny_values()).retrain
    assert clock._gain(shape_set(5), params) == pytest.approx(2.0)


def test_round_shapes_may_be_mirrored_and_a_mark_at_the_left_may_not() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (200, 16, 16, 1), dtype=np.uint8)
    labels = [0] * 100 + [1] * 100
    round_ones = image_set(images, labels, ("a", "b"))
    assert mirrored(round_ones).plausible
    left = images.copy()
    left[:100, 4:12, 2:5] += 80
    left[100:, 4:12, -5:-2] += 80  # the other class is the mirror image of the first: b and d
    found = mirrored(image_set(left, labels, ("b", "d")))
    assert found.told_apart > 0.9
    assert not found.plausible


def test_few_images_are_never_mirrored() -> None:
    assert not mirrored(shape_set(3)).plausible


def test_the_reach_grows_with_test_images_and_says_what_is_missing() -> None:
    built_in = reach({str(digit): 81 for digit in range(10)}, 0.95)
    assert built_in.easy == pytest.approx(0.7, abs=0.1)  # as its report says
    assert built_in.answers
    small = reach({"a": 6, "b": 40}, 0.95)
    assert not small.answers
    assert small.times > 1
    assert reach({"a": 60, "b": 400}, 0.95).hard < small.hard


def test_what_the_plan_sets_for_a_translator_is_its_preset(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {"cup": 20, "fork": 30})
    folder(source / "other_domain", {"cup": 9, "fork": 7})
    found = settings(look(source))
    preset = dict(setting.split("=", 1) for setting in preset_settings("translator"))
    own = {key: value for key, value in preset.items() if key in found}
    assert {"train_gan.network", "train_gan.penalties.mode_seeking"} <= set(own)
    for key, value in own.items():
        if key != "train_gan.total_kimg":
            assert str(found[key]) == value.strip('"'), key
