from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import joblib
import pandas as pd
import pytest
from PIL import Image

from bench.clusters import dask_cluster
from tasks import train_gan
from tasks.contracts.errors import UserError
from tasks.contracts.gate import write_gate
from tasks.contracts.image_set import ImageSet
from tasks.contracts.privacy import Guarantee
from tasks.gan.board import GAP
from tasks.gan.checkpoint import checkpoint_hash
from tasks.gan.history import History
from tasks.gan.state import Tick
from tasks.gan.telling import Listener, Teller
from tasks.gan.worker import GanJob
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.fake_train_gan import Told, run

ROOT = Path(__file__).parents[1]

METRICS = {"kid", "fid", "precision", "recall", "density", "coverage", "diversity"}


def test_a_translator_keeps_the_images_that_it_turns_and_is_made_anew_with_others(
    told: Told,
) -> None:
    own = {"network": "translator", "penalties": {"reconstruction": 1.0}, "seeds": [0]}
    first = run("first", **own)
    turned = ImageSet.load(first / "gan/0/contents")
    assert turned.manifest.equals(ImageSet.load(Path("other_domain")).manifest)
    plain = run("plain", seeds=[0])
    assert not (plain / "gan/0/contents").exists()
    shape_set(5, seed=4).save(Path("other_domain"))
    assert checkpoint_hash(run("second", **own) / "gan/0") != checkpoint_hash(first / "gan/0")
    again = run("again", seeds=[0])  # a GAN that turns nothing is the same whatever is beside
    assert checkpoint_hash(again / "gan/0") == checkpoint_hash(plain / "gan/0")
    shape_set(5, seed=4).take([]).save(Path("other_domain"))
    with pytest.raises(UserError, match="class 'circle' has none"):
        run("third", **own)


def test_private_gans_tell_what_they_promise_and_keep_the_secret(told: Told) -> None:
    own = {
        "privacy": {"epsilon": 8.0, "delta": 1e-3},
        "loss": "nonsaturating",
        "penalties": {},
        "balanced": False,
        "evaluation": {"every_kimg": 0.032, "features": "in_domain", "keep": "last"},
    }
    root = run(**own)
    gans = json.loads((root / "gan.json").read_text())
    promised = [Guarantee(**gans[seed]["privacy"]) for seed in ("0", "1")]
    assert all(one.epsilon <= 8.0 < one.epsilon_together < 16.0 for one in promised)
    assert {(one.gans, one.units, one.unit) for one in promised} == {(2, 18, "image")}
    spent = pd.read_csv(root / "curves.csv").groupby("gan_seed")["epsilon"].max().tolist()
    assert spent == pytest.approx([one.epsilon for one in promised], rel=1e-4)
    assert max(said[0]["epsilon"] for name, said in told.calls if name == "tick") <= 8.0
    assert Path(".ganlift/noise_secret").stat().st_mode & 0o077 == 0
    known = Path(".ganlift/noise_secret").read_text().strip()
    written = [path for part in (root, Path(".ganlift/kept")) for path in part.rglob("*")]
    assert not any(known.encode() in path.read_bytes() for path in written if path.is_file())
    assert known not in repr(told.calls)
    shutil.rmtree(".ganlift/kept")
    assert files(run("again", seeds=[0], **own) / "gan/0") == files(root / "gan/0")
    shapes = ImageSet.load(Path("train"))  # in other groups they are promised something else
    pairs = shapes.manifest.assign(group=[f"pair {row // 2}" for row in range(18)])
    ImageSet(shapes.images.copy(), pairs).save(Path("train"))
    run("grouped", seeds=[0], **own)
    assert '"unit": "group"' in Path("grouped/gan.json").read_text()


def test_every_gan_is_trained_judged_drawn_and_told(told: Told) -> None:
    out = run()
    metrics = json.loads((out / "gan.json").read_text())
    evaluations = pd.read_csv(out / "evaluations.csv", keep_default_na=False)
    assert list(metrics) == ["0", "1"]
    for seed, gan in metrics.items():
        assert gan["checkpoint"] == checkpoint_hash(out / "gan" / seed)
        assert set(gan["evaluation"]) >= METRICS
        assert set(gan["by_class"]) == set(SHAPES)
        mine = evaluations[evaluations["gan_seed"] == int(seed)]
        assert sorted(mine["kimg"].unique()) == [0.032, 0.064]
        kids = mine[(mine["metric"] == "kid") & (mine["class_name"] == "")].set_index("kimg")
        assert gan["evaluation"]["kid"] == pytest.approx(kids["value"].min(), abs=1e-4)
        assert kids["value"].idxmin() == gan["kept_kimg"]
        for name in ("interpolation", "truncation"):
            with Image.open(out / "grids" / seed / f"{name}.png") as picture:
                assert picture.height == len(SHAPES) * (48 + GAP) + GAP
    assert told.count() == {"tick": 8, "evaluated": 4, "health": 2, "finish": 2}
    assert len(ImageSet.load(out / "pseudo")) == 0
    assert not list(Path(".ganlift/train_gan").rglob("*.safetensors"))


def test_hidden_labels_have_no_say_and_pseudo_labels_do(told: Told) -> None:
    settings = {"unlabelled": "pseudo_label+unconditional", "seeds": [0]}
    first = run("first", **settings)
    loose = ImageSet.load(Path("unlabelled"))
    wrong = loose.manifest.assign(truth="square")  # a column nobody asked for
    ImageSet(loose.images.copy(), wrong).save(Path("unlabelled"))  # no map of its own file
    shutil.rmtree(".ganlift")  # what is kept would be taken
    second = run("second", **settings)
    names = ("gan.json", "curves.csv", "gan/0/generator.safetensors")
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    sure = ImageSet.load(first / "pseudo")
    metrics = json.loads((first / "gan.json").read_text())
    assert metrics["0"]["pseudo_labelled"] == len(sure) <= len(loose)
    assert set(sure.manifest["class_name"]) <= set(SHAPES)


def test_behind_a_closed_gate_nothing_is_trained(told: Told) -> None:
    write_gate(Path("gate"), False)
    with pytest.raises(UserError, match="validation refused the images"):
        run()
    assert not Path("out").exists()


def files(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def test_one_more_seed_trains_one_more_gan_and_gives_the_bytes_of_all_anew(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"unlabelled": "pseudo_label"}
    run("one", **settings, seeds=[0])
    capsys.readouterr()
    more = files(run("more", **settings, seeds=[0, 1]))
    said = capsys.readouterr().out
    assert "GAN 0: kept\n" in said
    assert "pseudo-labels: kept\n" in said
    assert "GAN 1: kept" not in said
    assert re.search(r"progress 1\.000 GAN 1: .*, samples \.ganlift/samples\.png\n", said)
    with Image.open(".ganlift/samples.png") as newest:
        assert newest.width > newest.height > 0
    assert told.count()["finish"] == 2  # the kept one was logged already
    live = told.calls.copy()
    shutil.rmtree(".ganlift")
    assert files(run("anew", **settings, seeds=[0, 1])) == more

    def never(*_: object, **__: object) -> None:
        raise AssertionError("every GAN is kept")

    for name in ("train_judge", "pseudo_label", "_train_all"):
        monkeypatch.setattr(train_gan, name, never)
    told.calls.clear()  # as in another store
    again = {"seeds": [1, 0], "state_kimg": 1.0, "device": "auto"}
    assert files(run("again", **settings, **again)) == more
    assert sorted(repr(call[1][0]) for call in told.calls if call[0] == "evaluated") == sorted(
        repr(call[1][0]) for call in live if call[0] == "evaluated"
    )
    assert told.count() == {"tick": 8, "evaluated": 4, "health": 2, "finish": 2}


def test_what_decides_a_gan_trains_it_anew_and_nothing_else_does(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that is handed to the workers, nothing but its key is looked at."""
    keys: list[str] = []

    class Noting(train_gan.Kept):
        def find(self, key: str) -> None:
            keys.append(key)

    def stop(*_: object) -> None:
        raise UserError("a", "b", "c")

    monkeypatch.setattr(train_gan, "Kept", Noting)
    monkeypatch.setattr(train_gan, "_jobs", stop)
    code = [b"one"]
    monkeypatch.setattr("tasks.gan.worker.code_of", lambda stage: code[0])

    def key(**settings: object) -> str:
        keys.clear()
        with pytest.raises(UserError, match="a: b"):
            run(**{"seeds": [0], **settings})
        return keys[-1]

    same = key()
    assert key(seeds=[1, 0]) == key(state_kimg=9.0) == key(device="auto") == same
    told_apart = {same, key(seeds=[1]), key(learning_rate=0.1), key(tick_kimg=0.008)}
    told_apart |= {key(grid_kimg=0.008), key(total_kimg=0.08)}
    code[0] = b"two"
    told_apart.add(key())
    code[0] = b"one"
    train = ImageSet.load(Path("train"))
    changed = train.manifest.assign(label=train.manifest["label"].to_numpy()[::-1])
    for number, other in enumerate(
        (
            train.take(range(len(train) - 1)),
            ImageSet(train.images.copy(), changed),
            ImageSet(train.images.copy(), train.manifest.replace({"circle": "disc"})),
        )
    ):
        other.save(Path("train"))
        told_apart.add(key())
        assert len(told_apart) == 8 + number
    shape_set(10, seed=3).save(Path("unlabelled"))  # which are not asked for
    assert key() in told_apart


def test_a_kept_gan_that_is_damaged_is_trained_anew(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    first = files(run("first", seeds=[0]))
    (weights,) = Path(".ganlift/kept/train_gan").rglob("generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert files(run("second", seeds=[0])) == first
    assert "kept" not in capsys.readouterr().out
    (folder,) = Path(".ganlift/kept/train_gan").iterdir()
    assert History.load(folder) is not None


def test_a_job_is_small_however_many_images_there_are(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def weigh(jobs: list[GanJob]) -> Iterator[tuple[int, Tick]]:
        sizes.extend(len(pickle.dumps(job)) for job in jobs)
        raise UserError("a", "b", "c")

    monkeypatch.setattr(train_gan, "_train_all", weigh)
    for per_class in (6, 60):
        shape_set(per_class, seed=0).save(Path("train"))
        with pytest.raises(UserError, match="a: b"):
            run(unlabelled="pseudo_label+unconditional")
    assert len(sizes) == 4
    assert max(sizes) < 4000
    assert max(sizes) == min(sizes)


def test_a_gan_that_cannot_be_trained_is_the_stages_error(told: Told) -> None:
    limits = tiny_params().train_gan.health.model_dump() | {"max_logit": 1e-9, "max_rollbacks": 0}
    with pytest.raises(UserError, match=r"diverged within .*logit_.* past 1e-09"):
        run(health=limits)


def wait_to_be_stopped(job: GanJob) -> None:
    if job.gan_seed == 1:
        raise UserError("GAN 1", "failed", "Mend it")
    end = time.monotonic() + 60
    while Teller(job.told).heard:
        assert time.monotonic() < end, "nobody told the others to stop"
        time.sleep(0.05)


def die(job: GanJob) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        (wait_to_be_stopped, "GAN 1: failed"),
        (die, "training process: killed; was the memory"),
    ],
)
def test_when_one_fails_the_others_stop(
    worker: object, words: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_gan, "train_one", worker)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)  # or the failing one waits for its turn
    with pytest.raises(UserError, match=words):
        run()


def hold(job: GanJob) -> None:
    (job.folder / f"{os.getpid()} {os.getppid()}").touch()
    time.sleep(120)


def hold_two(folder: Path) -> None:
    """Train two GANs that never end, as the stage does."""
    train_gan.train_one = hold
    joblib.cpu_count = lambda: 2
    params = tiny_params().train_gan
    told = folder / "told" / "asked"
    jobs = [GanJob(folder, None, params, seed, 0, folder, told, cast(Any, None)) for seed in (0, 1)]
    list(train_gan._train_all(jobs))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stage_killed_with_minus_nine_leaves_no_process(
    gone: Callable[[int], bool], tmp_path: Path
) -> None:
    code = f"from tests.test_train_gan_stage import *; hold_two(Path({str(tmp_path)!r}))"
    stage = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    try:
        end = time.monotonic() + 90
        while len(held := list(tmp_path.glob("* *"))) < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        stage.kill()
        stage.wait()
        of_both = {int(pid) for file in held for pid in file.name.split()}
        assert len(of_both) == 3  # two GANs and their fork server
        assert all(gone(pid) for pid in of_both)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(stage.pid, signal.SIGKILL)


def test_a_cluster_trains_the_same_gans(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = files(run("near", seeds=[0]))
    shutil.rmtree(".ganlift")
    with dask_cluster(tmp_path, workers=1) as address:
        monkeypatch.setenv("GANLIFT_BACKEND", "dask")
        monkeypatch.setenv("GANLIFT_CLUSTER", address)
        monkeypatch.setattr(train_gan, "ProcessPoolExecutor", None)
        assert files(run("far", seeds=[0])) == near


def test_a_failure_is_raised_before_the_rest_is_waited_for(tmp_path: Path) -> None:
    unfinished: Future[int] = Future()
    failed: Future[int] = Future()
    failed.set_exception(UserError("a", "b", "c"))
    listeners = {seed: Listener(tmp_path / str(seed) / "asked") for seed in (0, 1)}
    with pytest.raises(UserError):
        next(train_gan._until_done(listeners, {0: unfinished, 1: failed}))
