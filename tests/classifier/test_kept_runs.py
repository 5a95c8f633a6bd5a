from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks import retrain
from tasks.classifier import runs as runs_module
from tasks.contracts.arms import (
    AFTER_OTHER_DOMAIN,
    ARMS,
    COMPARED,
    REAL,
    SYNTHETIC,
)
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate, image_id
from tests.classifier.tiny_retrain import afresh, copied, run, same, told
from tests.data.fake_sets import synthetic_set

SETTLED = {"learning_rate": [0.002, 0.01]}
ALL_ARMS = len(ARMS) + 2  # two fractions beside


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name of the arm and seed of every classifier that is trained."""
    calls: list[tuple[str, int]] = []
    trained = runs_module._trained

    def watched(conditions, judged, one):
        calls.append((one.name, one.seed))
        return trained(conditions, judged, one)

    monkeypatch.setattr(runs_module, "_trained", watched)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # in this process, where they are counted
    return calls


@pytest.fixture(scope="module")
def finished(
    inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, int]]:
    """Put a run that found nothing kept, and what it kept, into the working directory.

    Each is run once; returns a copy of its outputs and how many classifiers it trained.
    """
    made: dict[str, Path] = {}

    def found(**overrides: object) -> tuple[Path, int]:
        key = repr(sorted(overrides.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("finished")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(made[key])
                run(inputs, made[key] / "finished", **overrides)
        shutil.copytree(made[key], Path.cwd(), dirs_exist_ok=True)
        return Path.cwd() / "finished", len(kept_folders())

    return found


def kept_folders() -> list[Path]:
    return sorted(path for path in Path(".ganlift/kept/retrain").iterdir() if path.is_dir())


def test_more_seeds_train_the_new_runs_alone_and_end_as_a_fresh_run_of_all(
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    few, more_of_them = [0, 5, 6, 7], [0, 5, 6, 7, 9]  # four try each of two rates
    run(inputs, tmp_path / "few", seeds=few, **SETTLED)
    assert len(trained) == 4 * ALL_ARMS + 8
    trained.clear()
    capsys.readouterr()
    more = run(inputs, tmp_path / "more", seeds=more_of_them, **SETTLED)
    assert len(trained) == ALL_ARMS
    assert {seed for _, seed in trained} == {9}
    assert f"{4 * ALL_ARMS} of {5 * ALL_ARMS} runs kept" in capsys.readouterr().out
    trained.clear()
    again = run(inputs, tmp_path / "again", seeds=more_of_them, **SETTLED)
    assert trained == []
    fresh = afresh(inputs, tmp_path / "fresh", seeds=more_of_them, **SETTLED)
    same(more, fresh)
    same(again, fresh)


def test_another_gan_trains_anew_what_sees_its_images_alone(
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    finished: Callable[..., tuple[Path, int]],
) -> None:
    """Three seeds over two GANs, then over three: with the last seed it is another GAN's turn."""
    finished()
    wider, pool = tmp_path / "wider", synthetic_set(4, 9)
    copied(inputs, wider, but=("merged", "control"))
    added = {"merged": pool.take([0, 1, 4, 5]), "control": pool}
    for name, images in added.items():
        both = concatenate([ImageSet.load(inputs / name), images])
        seeds = both.manifest.astype({"gan_seed": "Int64"})
        ImageSet(both.images, seeds).save(wider / name)
    trained.clear()
    more = run(wider, tmp_path / "three")
    assert {seed for _, seed in trained} == {6}
    assert {arm for arm, _ in trained} == set(SYNTHETIC)
    same(more, afresh(wider, tmp_path / "fresh"))


@pytest.mark.parametrize(
    "change", ["train image", "test image", "label", "flip", "steps", "code", "processor"]
)
def test_what_decides_a_run_decides_whether_it_is_kept(
    change: str,
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    finished: Callable[..., tuple[Path, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few: dict[str, object] = {"seeds": [0, 5], "fractions": []}
    _, every = finished(**few)
    trained.clear()
    changed = tmp_path / "changed"
    copied(inputs, changed)
    if change in ("train image", "test image", "label"):
        name = "test" if change == "test image" else "merged"
        one = ImageSet.load(changed / name)
        images, manifest = np.array(one.images), one.manifest.copy()
        if change == "label":
            manifest.loc[0, ["label", "class_name"]] = [1, "dog"]
            manifest.loc[8, ["label", "class_name"]] = [0, "cat"]  # as many of each as before
        else:
            images[0] += 1
            manifest.loc[0, "image_id"] = image_id(images[0])
        ImageSet(images, manifest).save(changed / name)
    elif change == "code":
        monkeypatch.setattr(runs_module, "code_of", lambda stage: b"other code")
    elif change == "processor":
        monkeypatch.setattr(runs_module, "processor", lambda: "another")
    else:
        few |= {"flip": {"flip": True}, "steps": {"steps": 3, "most_steps": 3}}[change]
    run(changed, tmp_path / "after", **few)
    # the arm without real images knows of them the classes and the border colour alone
    assert len(trained) == every


@pytest.mark.parametrize(
    ("change", "as_ever"),
    [
        ({"schedule": "pretrain"}, {REAL, AFTER_OTHER_DOMAIN}),
        ({"batch_norm": "separate"}, {REAL}),
    ],
)
def test_another_exposure_trains_anew_what_it_shows_otherwise(
    change: dict[str, str],
    as_ever: set[str],
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
) -> None:
    """Arms of one kind of images, and what settles the recipe, do not hang on it."""
    several = {"seeds": [0, 5], "recipes": ["plain", "classical"]}
    run(inputs, tmp_path / "mixed", **several)
    trained.clear()
    after = run(inputs, tmp_path / "after", **several, **change)
    assert {arm for arm, _ in trained} == {*COMPARED} - as_ever
    same(after, afresh(inputs, tmp_path / "fresh", **several, **change))


@pytest.mark.parametrize(("precision", "again"), [("float32", False), ("bfloat16", True)])
def test_other_instructions_for_bfloat16_count_where_it_is_used(
    precision: str,
    again: bool,
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {"seeds": [0, 5], "recipes": ["plain"], "precision": precision}
    run(inputs, tmp_path / "before", **few)
    every = len(trained)
    trained.clear()
    monkeypatch.setattr(runs_module, "reduced_by", lambda: "another")
    run(inputs, tmp_path / "after", **few)
    assert len(trained) == (every if again else 0)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_run_is_noticed_and_trained_again(
    damage: str,
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    finished: Callable[..., tuple[Path, int]],
) -> None:
    before, _ = finished(seeds=[0, 5])
    trained.clear()
    folder = kept_folders()[3]
    file = next(path for path in folder.iterdir() if path.name == "test.npz")
    file.write_bytes(file.read_bytes()[:-9]) if damage == "cut" else file.unlink()
    after = run(inputs, tmp_path / "after", seeds=[0, 5])
    assert len(trained) == 1
    same(before, after)


def test_what_a_killed_run_had_finished_is_not_trained_again(
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    finished: Callable[..., tuple[Path, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = runs_module._trained

    def killed(*given):
        if len(trained) == 7:
            raise KeyboardInterrupt
        return watched(*given)

    with monkeypatch.context() as patch:
        patch.setattr(runs_module, "_trained", killed)
        with pytest.raises(KeyboardInterrupt):
            run(inputs, tmp_path / "killed", seeds=[0, 5])
    assert len(trained) == len(kept_folders()) == 7
    whole = run(inputs, tmp_path / "whole", seeds=[0, 5])
    assert len(trained) == 2 * ALL_ARMS
    same(whole, finished(seeds=[0, 5])[0])


def test_where_there_is_room_for_few_runs_the_answer_is_the_same(
    inputs: Path,
    tmp_path: Path,
    finished: Callable[..., tuple[Path, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = finished()[0].rename(tmp_path / "fresh")
    shutil.rmtree(".ganlift")
    monkeypatch.setattr(retrain, "_KEPT_BYTES", 20_000)
    run(inputs, tmp_path / "few", seeds=[0, 5])
    assert sum(f.stat().st_size for folder in kept_folders() for f in folder.iterdir()) < 20_000
    more = run(inputs, tmp_path / "more", seeds=[0, 5, 6])
    same(more, fresh)


def test_a_rate_whose_training_diverges_is_out_and_not_tried_twice(
    inputs: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    rates = {"learning_rate": [1e30, 0.002], "seeds": [0, 1], "fractions": []}
    rates |= {"steps": 20, "most_steps": 20}
    one = run(inputs, tmp_path / "one", **rates)
    settling = told(one)["settling"]
    assert [row["val_balanced_accuracy"] is None for row in settling] == [True, False]
    assert told(one)["learning_rate"] == 0.002
    trained.clear()
    same(one, run(inputs, tmp_path / "two", **rates))
    assert trained == []
    with pytest.raises(UserError, match="diverges with each of them"):
        run(inputs, tmp_path / "out", **rates | {"learning_rate": [1e30, 1e31]})
    with pytest.raises(UserError, match="no longer finite numbers after 20 steps"):
        run(inputs, tmp_path / "out", **rates | {"learning_rate": 1e30})
