from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.clusters import dask_cluster
from tasks.classifier.examples import Examples
from tasks.classifier.training import Schedule, probabilities, untrained
from tasks.contracts import cluster
from tasks.contracts.cluster import ADDRESS, BACKEND, Asked, facts
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.workers import spread
from tests.data.fake_sets import noise_set


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=3) as address:
        yield address


@pytest.fixture
def there(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(BACKEND, "dask")
    monkeypatch.setenv(ADDRESS, address)


def judged(images: Examples, seed: int) -> tuple[int, bytes, list[str], int]:
    network = untrained(Schedule("small_cnn", 1, 1, 1e-3, 0.0), (8, 8, 1), classes=2, seed=seed)
    said = probabilities(network.eval(), images).tobytes()
    files = [str(one.filename) for one in images.sources if isinstance(one, np.memmap)]
    return os.getpid(), said, files, torch.get_num_threads()


def test_a_cluster_gives_the_same_bytes_and_is_sent_names_of_files(
    there: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise_set(12).save(Path("images"))
    images = Examples.of(ImageSet.load(Path("images")))
    jobs = [(images, seed) for seed in range(5)]
    far = list(spread(judged, jobs))
    monkeypatch.setenv(BACKEND, "local")
    near = list(spread(judged, jobs))
    assert [said for _, said, _, _ in far] == [said for _, said, _, _ in near]
    assert len({said for _, said, _, _ in far}) == 5
    assert not {pid for pid, *_ in far} & {pid for pid, *_ in near}
    for _, _, files, threads in far:
        assert (files, threads) == ([str(tmp_path / "images/images.npy")], 1)
    assert not list((tmp_path / ".ganlift").iterdir())  # the token is gone


def dies_once(number: int) -> tuple[int, str]:
    mark = Path("died")
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number, str(Path.cwd())


def test_a_worker_that_is_killed_costs_nothing_but_time(there: None, tmp_path: Path) -> None:
    told = list(spread(dies_once, [(number,) for number in range(8)]))
    assert told == [(number, str(tmp_path)) for number in range(8)]
    assert Path("died").exists()


def fails(number: int) -> int:
    raise UserError("a", "wrong", "mend")


def test_a_job_of_a_cluster_that_fails_says_why(there: None) -> None:
    with pytest.raises(UserError, match=r"a: wrong\. mend\."):
        list(spread(fails, [(0,), (1,)]))


def test_a_cluster_without_the_code_is_told_in_one_line(
    there: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def job(number): return number")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"cannot read jobs: .*only_here.*same ganlift"):
        list(spread(importlib.import_module("only_here").job, [(0,)]))


def dies(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_job_that_ends_every_worker_is_told_in_one_line(there: None) -> None:
    with pytest.raises(UserError, match="ended every worker that was given it; was their memory"):
        list(spread(dies, [(0,)]))


def test_two_jobs_at_once_in_one_process_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".ganlift").mkdir()
    (tmp_path / ".ganlift/token").write_text("token")
    asked, begun, end = Asked(tmp_path, "token", facts()), threading.Event(), threading.Event()

    def first() -> bool:
        begun.set()
        return end.wait(60)

    with ThreadPoolExecutor(1) as other:
        busy = other.submit(cluster._there, asked, first, ())
        begun.wait(60)
        with pytest.raises(UserError, match=r"two jobs at once in one process.*--nthreads 1"):
            cluster._there(asked, os.getpid, ())
        end.set()
        assert busy.result()
    assert cluster._there(asked, os.getpid, ()) == os.getpid()


def test_the_token_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".ganlift"
    home.mkdir()
    for name, content in (("cluster-dead", "cluster-dead"), ("cluster-mine", "my notes")):
        (home / name).write_text(content)
    with cluster._asked() as outer, cluster._asked() as inner:
        there = {path.name for path in home.iterdir()}
    assert there == {"cluster-mine", outer.token, inner.token}
    assert [path.name for path in home.iterdir()] == ["cluster-mine"]


def test_a_worker_that_differs_is_refused_with_the_difference(tmp_path: Path) -> None:
    (tmp_path / ".ganlift").mkdir()
    (tmp_path / ".ganlift/token").write_text("token")
    Asked(tmp_path, "token", facts()).check()
    for name in facts():
        with pytest.raises(UserError, match=f"{name} is .* there and another here"):
            Asked(tmp_path, "token", facts() | {name: "another"}).check()
    with pytest.raises(UserError, match=f"does not see the project's folder {tmp_path}/far"):
        Asked(tmp_path / "far", "token", facts()).check()


@pytest.mark.parametrize(
    ("backend", "address", "words"),
    [
        ("dsk", "", "GANLIFT_BACKEND=dsk: no such backend. Use local or dask"),
        ("dask", "", "GANLIFT_CLUSTER does not say where the cluster is. .*tcp://"),
        ("dask", "tcp://127.0.0.1:1", "GANLIFT_CLUSTER=tcp://127.0.0.1:1: no cluster answers"),
        ("dask", "nonsense", "GANLIFT_CLUSTER=nonsense: no cluster answers"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_in_one_line(
    backend: str, address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_SECONDS", 1)
    monkeypatch.setenv(BACKEND, backend)
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(UserError, match=words):
        list(spread(dies_once, [(0,)]))


def test_a_missing_package_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(BACKEND, "dask")
    monkeypatch.setenv(ADDRESS, "somewhere:1")
    with pytest.raises(UserError, match=r"distributed is not installed.*'ganlift\[dask\]'"):
        list(spread(dies_once, [(0,)]))
