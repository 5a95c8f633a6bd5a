from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params, parse_params
from tests.contracts.tiny import tiny_values

REPOSITORY = Path(__file__).parents[2]
MISSING = object()


def _placed(path: str, value: Any) -> dict[str, Any]:
    """Return a tiny project's values with another at a dotted key."""
    values = tiny_values()
    *sections, key = path.split(".")
    place: Any = values
    for name in sections:
        place = place[name]
    if value is MISSING:
        del place[key]
    else:
        place[key] = value
    return values


def refusal(path: str, value: Any) -> UserError:
    values = _placed(path, value)
    with pytest.raises(UserError) as caught:
        parse_params(values)
    return caught.value


def test_the_repositorys_own_params_load() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert params.seed == 0
    assert params.ingest.source == "data/embedded/digits.yaml"


def test_params_are_frozen() -> None:
    params = parse_params(tiny_values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.seed = 1  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        params.ingest.image_size = 16


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("ingest.image_sise", "ingest.image_size"),
        ("retrain.learningrate", "retrain.learning_rate"),
        ("train_gan.total_images", "train_gan.total_kimg"),
        ("quality_filtr", "quality_filter"),
        ("sed", "seed"),
        ("7", "There are seed, ingest, validate, train_gan,"),  # nothing is near
        ("merge.7", "merge takes target_per_class, synthetic_per_real"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(path: str, nearest: str) -> None:
    error = refusal(path, 1)
    assert error.thing == f"params.yaml: {path}"
    assert error.reason == "unknown key"
    assert nearest in f"{error}".rstrip(".")


def test_a_missing_key_says_where_to_find_it_again() -> None:
    assert "git diff params.yaml" in refusal("train_gan.network", MISSING).mend


def test_a_mistyped_key_is_called_unknown_rather_than_missing() -> None:
    values = tiny_values()
    values["ingest"]["image_sise"] = values["ingest"].pop("image_size")
    with pytest.raises(UserError, match=r"image_sise: unknown key.*ingest\.image_size"):
        parse_params(values)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("ingest.image_size", "big", "a whole number from 8 to 1024 (given: big)"),
        ("ingest.image_size", 8.5, "a whole number from 8 to 1024 (given: 8.5)"),
        ("ingest.image_size", 4, "a whole number from 8 to 1024 (given: 4)"),
        ("ingest.channels", 2, "one of auto, 1, 3"),
        ("ingest.fit", "squash", "one of pad, crop, stretch"),
        ("ingest.val_share", 0, "a number above 0 and below 1"),
        ("ingest.per_class", 1, "a whole number of at least 2, or null"),
        ("ingest.max_reject_share", 1.5, "a number from 0 to 1"),
        ("ingest", 5, "a section of its own keys"),
        ("ingest", None, "a section of its own keys"),
        ("ingest", MISSING, "missing"),
        ("ingest.image_size", MISSING, "missing"),
        ("seed", -1, "a whole number of at least 0"),
        ("train_gan.seeds", [], "a list of one or more whole numbers of at least 0"),
        ("train_gan.seeds", 3, "a list of one or more whole numbers of at least 0 (given: 3)"),
        ("train_gan.seeds", [0, 0], "must differ"),
        ("train_gan.total_kimg", float("inf"), "finite"),
        ("train_gan.learning_rate", float("nan"), "finite"),
        ("train_gan.diffaug", ["blur"], "a list of names out of translation, cutout, color"),
        ("quality_filter.folds", 1, "a whole number of at least 2"),
        ("quality_filter.p_real_quantile", -0.1, "a number from 0 to 1"),
        ("merge.synthetic_per_real", 0, "a number above 0"),
        ("retrain.seeds", [3], "one gives no interval"),
        ("retrain.seeds", [3, 3], "must differ"),
        ("retrain.flip", "perhaps", "true or false"),
        ("retrain.recipes", [], "a list of at least one recipe"),
        ("retrain.recipes", ["mixed"], "all, or a list of names out of plain, classical"),
        ("retrain.most_steps", 1, "where doubling starts"),
        ("report.baseline", "imaginary", "real+repeated"),
        ("report.treatment", "real", "both"),
        ("report.level", 1.0, "a number of at least 0.5 and below 1"),
        ("report.resamples", 100, "a whole number of at least 2000"),
    ],
)
def test_a_wrong_value_is_one_line_of_thing_reason_and_mend(
    path: str, value: Any, words: str
) -> None:
    error = refusal(path, value)
    assert error.thing.startswith(f"params.yaml: {path.split('.')[0]}")
    assert words in error.reason
    assert error.mend
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "value", "form"),
    [
        ("train_gan.seeds", "0,1", "[0, 1]"),
        ("train_gan.seeds", 3, "[3]"),
        ("train_gan.diffaug", "colour, cutout", "[color, cutout]"),
        ("train_gan.network", "DCGAN", "dcgan"),
        ("train_gan.penalties.r1", "0,5", "0.5"),
        ("train_gan.total_minutes", "None", "null"),
        ("train_gan.evaluation.keep", "coverge", "coverage"),
        ("ingest.source", 2024, "'2024'"),
        ("ingest.fit", "padd", "pad"),
        ("retrain.recipes", "plain,mixup", "[plain, mixup]"),
        ("retrain.recipes", ["plain", "mixupp"], "[plain, mixup]"),
        ("retrain.learning_rate", "0.1, 0.2", "[0.1, 0.2]"),
        ("retrain.fractions", 0.5, "[0.5]"),
    ],
)
def test_the_form_that_was_meant_is_shown(path: str, value: Any, form: str) -> None:
    assert refusal(path, value).mend == f"Write it as {form}"


def _leaves(section: Any, prefix: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize("wrong", [{"a": 1}, [[1]], "such", -1, True, float("inf"), None, "0,1"])
def test_whatever_stands_in_any_key_is_used_or_refused_in_plain_english(wrong: object) -> None:
    foreign = ("input", "tuple", "dictionary", "boolean", "integer", "parse", "string", "Literal")
    for path in _leaves(tiny_values()):
        values = _placed(path, wrong)
        refused = _refusal(values)
        assert not [word for word in foreign if refused and word in str(refused)], str(refused)


def _refusal(values: dict[str, Any]) -> UserError | None:
    try:
        parse_params(values)
    except UserError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("size", "nearest"), [(9, 8), (12, 16), (20, 16), (28, 32), (33, 32), (50, 64), (1000, 1024)]
)
def test_an_image_size_that_is_no_power_of_two_gets_the_nearest(size: int, nearest: int) -> None:
    assert f"try {nearest}" in refusal("ingest.image_size", size).reason


def test_shares_must_leave_something_to_train() -> None:
    values = tiny_values()
    values["ingest"] |= {"val_share": 0.5, "test_share": 0.5}
    with pytest.raises(UserError, match="nothing is left to train"):
        parse_params(values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: [1, 2", "not readable as YAML"),
        (b"seed: \xff\xfe", "not readable as YAML"),
        (b"", "holds no sections"),
        (b"- 1\n- 2\n", "holds no sections"),
        (b"1: 2\n", "missing"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load_params(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in caught.value.thing


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file.*root folder"):
        load_params(tmp_path / "params.yaml")


def test_a_file_is_read_as_its_values(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_values()))
    assert load_params(path) == parse_params(tiny_values())
