from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flows.edit_params import check_source, edit_params, edited, source_setting
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params, parse_params

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
SEEDS = st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True)
VALUES = {
    "seed": st.integers(0, 2**31),
    "ingest.source": st.text("abyZé 01:#-_[]{}'\"!&*?|>%@,~./", min_size=1),
    "ingest.per_class": st.none() | st.integers(2, 10**6),
    "ingest.channels": st.sampled_from(["auto", 1, 3]),
    "train_gan.seeds": SEEDS,
    "train_gan.total_kimg": st.floats(1e-6, 1e6),
    "train_gan.penalties.r1": st.floats(0, 10),
    "train_gan.penalties.feature_matching": st.sampled_from([0.0, 1e-7, 3, 10.0]),
    "train_gan.evaluation.keep": st.sampled_from(["fid", "last", "coverage"]),
    "train_gan.health.max_logit": st.floats(1, 1e9),
    "train_gan.ada_target": st.none() | st.floats(0.01, 0.99),
    "train_gan.diffaug": st.lists(st.sampled_from(["translation", "cutout", "color"]), max_size=4),
    "retrain.flip": st.booleans(),
    "retrain.seeds": SEEDS,
    "report.treatment": st.just("synthetic only"),
}


def _value(text: str, key: str) -> Any:
    values: Any = yaml.safe_load(text)
    for part in key.split("."):
        values = values[part]
    return values


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k])))
def test_only_the_value_changes(setting: tuple[str, Any]) -> None:
    key, value = setting
    written = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).split("\n...")[0]
    after = edited(TEXT, [f"{key}={written.strip()}"])
    assert _value(after, key) == value
    old, new = TEXT.splitlines(keepends=True), after.splitlines(keepends=True)
    changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(changed) <= 1
    for before, line in changed:
        name = key.rpartition(".")[2]
        assert before.strip().startswith(f"{name}:")
        assert line.strip().startswith(f"{name}:")
        comment = before.partition(" #")[1:]
        assert line.endswith("".join(comment)) or not comment[0]
    # And back again: not one byte is lost.
    back = yaml.safe_dump(_value(TEXT, key), default_flow_style=True).split("\n...")[0].strip()
    assert edited(after, [f"{key}={back}"]) == TEXT


def test_a_number_is_a_number_to_both_readers() -> None:
    after = edited(TEXT, ["train_gan.learning_rate=1e-3", "generate.per_class=7"])
    assert parse_params(yaml.safe_load(after)).train_gan.learning_rate == 0.001
    assert "learning_rate: 0.001\n" in after


def test_block_lists_and_empty_values_are_replaced_whole() -> None:
    text = TEXT.replace("seeds: [0, 1, 2, 3] # one", "seeds: # many\n    - 0\n    - 7 # last, one")
    text = text.replace("per_class: 20 # keep", "per_class: # keep")
    assert text.count("# many") == text.count("per_class: # keep") == 1
    after = edited(text, ["train_gan.seeds=[4, 5]", "ingest.per_class=9"])
    assert _value(after, "train_gan.seeds") == [4, 5]
    assert _value(after, "ingest.per_class") == 9
    assert _value(after, "train_gan.network") == "conv"


@pytest.mark.parametrize("key", ["train_gan.seeds", "train_gan.diffaug", "retrain.fractions"])
def test_a_list_as_dvc_writes_it_is_edited(key: str) -> None:
    written = StringIO()
    round_trip = YAML()  # `dvc exp run -S` leaves each list as a block, no deeper than its key
    values = round_trip.load(TEXT)
    section, name = key.split(".")
    values[section][name] = list(values[section][name])
    round_trip.dump(values, written)
    text = written.getvalue()
    assert f"  {name}:" in text
    assert "\n  - " in text
    new = ["color"] if name == "diffaug" else [4, 5]
    after = edited(text, [f"{key}={new}", "seed=3"])
    assert f"  {name}: {new}".replace("'", "") in after
    assert yaml.safe_load(after) == {
        **(old := yaml.safe_load(text)),
        "seed": 3,
        section: {**old[section], name: new},
    }
    assert after.count("#") == text.count("#")


def test_a_nested_section_on_one_line_is_edited_inside() -> None:
    block = TEXT[TEXT.index("  penalties:") : TEXT.index("  penalty_share: ")]
    text = TEXT.replace(block, "  penalties: {r1: 0.1, r2: 0.1 } # short\n")
    after = edited(text, ["train_gan.penalties.r2=0.5", "train_gan.penalties.r1=0.25"])
    assert after == text.replace("{r1: 0.1, r2: 0.1 }", "{r1: 0.25, r2: 0.5 }")


def test_keys_of_one_name_in_two_sections_stay_apart() -> None:
    text = TEXT.replace("    r1: 0.1\n", "    r1: 0.1 # seed: 0\n")
    after = edited(text, ["train_gan.penalties.r1=0", "train_gan.learning_rate=0.1", "seed=1"])
    assert _value(after, "retrain.learning_rate") == _value(TEXT, "retrain.learning_rate")
    assert _value(after, "train_gan.learning_rate") == 0.1
    assert "    r1: 0 # seed: 0\n" in after


def test_of_two_settings_of_one_key_the_last_wins() -> None:
    assert edited(TEXT, ["seed=3", "merge.synthetic_per_real=2", "seed=4"]) == edited(
        TEXT, ["merge.synthetic_per_real=2", "seed=4"]
    )


def test_two_settings_that_need_each_other_pass_together() -> None:
    settings = ["train_gan.total_minutes=2", "train_gan.total_kimg=null"]
    for order in (settings, settings[::-1]):
        values = parse_params(yaml.safe_load(edited(TEXT, order)))
        assert (values.train_gan.total_minutes, values.train_gan.total_kimg) == (2, None)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("train_gan.total_kmig=40", "train_gan.total_kimg"),
        ("total_kimg=40", "train_gan.total_kimg"),
        ("trian_gan.total_kimg=40", "train_gan.total_kimg"),
        ("train_gan=40", "It is a section: set one of its keys, such as train_gan.seeds"),
        ("r1=1", "train_gan.penalties.r1"),
        ("penalties.r1=1", "train_gan.penalties.r1"),
        ("train_gan.penalties.r3=1", r"train_gan.penalties.r\d"),
        ("train_gan.penalties.r1.x=1", "train_gan.penalties.r1"),
        ("train_gan.penalties=1", "unknown key"),
        ("train_gan.penalties.r1=-1", "train_gan.penalties.r1"),
        ("train_gan.total_minutes=2", "one of total_kimg and total_minutes"),
        ("foo=1", r"unknown key\. params\.yaml lists every key"),
        ("train_gan.foo=1", r"unknown key\. params\.yaml lists every key"),
        ("train_gan.seeds=0,1", r"Write it as \[0, 1\]"),
        ("train_gan.total_kimg", "SECTION.KEY=VALUE"),
        ("train_gan.total_kimg=much", "a number above 0, or null"),
        ("train_gan.total_kimg=-1", "a number above 0, or null"),
        ("train_gan.seeds=[0, 1", "YAML"),
        ("ingest.image_size=12", "power of two"),
        ("report.baseline=real+filtered", "baseline and treatment"),
    ],
)
def test_nothing_is_written_when_one_setting_is_wrong(
    setting: str, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(TEXT, encoding="utf-8")
    with pytest.raises(UserError, match=named):
        edit_params(file, ["seed=3", setting])
    assert file.read_text(encoding="utf-8") == TEXT
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_windows_line_ends_and_the_mode_stay(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    edit_params(file, ["seed=3"])
    assert file.read_bytes() == TEXT.replace("seed: 0", "seed: 3", 1).replace("\n", "\r\n").encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert load_params(file).seed == 3


def test_source_inside_the_project_is_written_relative(tmp_path: Path) -> None:
    root, outside = tmp_path / "project", tmp_path / "my images"
    for folder in (root / "data" / "raw" / "cat", outside / "dog"):
        folder.mkdir(parents=True)
    (root / "dvc.yaml").write_text("vars: [{path: {train: data/real/train}}]")
    assert source_setting(root / "data" / "raw", root) == "ingest.source=data/raw"
    assert source_setting(root / "x" / ".." / "data" / "raw", root) == "ingest.source=data/raw"
    assert _value(edited(TEXT, [source_setting(outside, root)]), "ingest.source") == str(outside)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_source_that_cannot_work_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"absent|empty"):
        check_source(tmp_path / name, tmp_path)


def test_a_source_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    (tmp_path / "$(it's) \"`a\\\n" / "cat").mkdir(parents=True)
    check_source(tmp_path / "$(it's) \"`a\\\n", tmp_path)
