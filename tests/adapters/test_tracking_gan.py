"""The model that is logged, with a real generator and in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import numpy as np
import pandas as pd
import pytest

from tasks.adapters.tracking.gan import _REQUIREMENTS, save_generator
from tasks.contracts.image_set import ImageSet
from tasks.gan.checkpoint import load_generator, save_checkpoint
from tasks.gan.model import build_gan
from tasks.gan.sampling import sample
from tests.adapters.fake_results import REPOSITORY, make_images
from tests.contracts.tiny import tiny_params

PREDICT = """
import sys, mlflow, numpy, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
import tasks
assert tasks.__file__.startswith(sys.argv[1]), tasks.__file__
numpy.save(sys.argv[3], model.predict(pandas.read_parquet(sys.argv[2])))
"""


def test_the_model_makes_the_same_images_without_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_images(tmp_path / "train")
    train = ImageSet.load(tmp_path / "train")
    params = tiny_params().train_gan
    gan = build_gan(train, params, 3)
    save_checkpoint(tmp_path / "gan", gan, train.class_names, params, 3)
    save_generator(tmp_path / "model", tmp_path / "gan", train.image_shape)

    manifest = pd.DataFrame({"label": [0, 1, 1], "latent_seed": [5, 7, 11], "other": 0})
    rows = manifest[["label", "latent_seed"]]
    rows.to_parquet(tmp_path / "rows.parquet")
    arguments = [tmp_path / "model", tmp_path / "rows.parquet", tmp_path / "images.npy"]
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", PREDICT, *map(str, arguments)], check=True)

    expected = sample(
        load_generator(tmp_path / "gan"), rows["label"].to_numpy(), rows["latent_seed"].to_numpy()
    )
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), expected)


def test_the_models_requirements_cover_what_its_code_imports() -> None:
    check = "import sys, tasks.gan.checkpoint, tasks.gan.sampling; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    owners = packages_distributions()
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    loaded = {owner.lower() for module in modules for owner in owners.get(module, [])}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    ours = {re.split(r"[<>=]", dependency)[0] for dependency in project["dependencies"]}
    ours.remove("pyarrow")  # pandas looks for it, the model does without
    assert "torch" in loaded & ours <= set(_REQUIREMENTS)


def test_logging_of_gans_and_of_results_know_nothing_of_each_other() -> None:
    graph = grimp.build_graph("flows", "tasks", cache_dir=None)
    room = "tasks.adapters.tracking"
    gan, report = (graph.find_upstream_modules(f"tasks.{s}") for s in ("train_gan", "report"))
    assert f"{room}.gan" in gan - report
    assert f"{room}.pipeline" in report - gan
    assert {one for one in gan & report if one.startswith(room)} == {
        f"{room}.{shared}"
        for shared in ("failures", "lineage", "moved", "run_list", "saved_model", "store")
    }
    sections = {one for one in gan if one.startswith("tasks.contracts.params.")}
    own = ("forms", "reading", "sections", "train_gan")  # and no other stage's
    assert sections == {f"tasks.contracts.params.{n}" for n in own}
