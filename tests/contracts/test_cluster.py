from __future__ import annotations

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

from tasks.classifier.examples import Examples
from tasks.classifier.training import Schedule, fit
from tasks.contracts import cluster
from tasks.contracts.cluster import ADDRESS, BACKEND, Asked, facts
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.workers import spread
from tests.contracts.clusters import dask_cluster
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


def fitted(images: Examples, seed: int) -> tuple[int, dict[str, bytes], list[str], int]:
    schedule = Schedule("small_cnn", 3, 8, 1e-3, 0.0)
    network = fit(images, schedule, classes=2, augment=True, flip=False, seed=seed)
    state = {name: one.numpy().tobytes() for name, one in network.state_dict().items()}
    files = [str(one.filename) for one in images.sources if isinstance(one, np.memmap)]
    return os.getpid(), state, files, torch.get_num_threads()


def test_a_cluster_gives_the_same_bytes_and_is_sent_names_of_files(
    there: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise_set(12).save(Path("images"))
    images = Examples.of(ImageSet.load(Path("images")))
    jobs = [(images, seed) for seed in range(5)]
    far = list(spread(fitted, jobs))
    monkeypatch.setenv(BACKEND, "local")
    near = list(spread(fitted, jobs))
    assert [state for _, state, _, _ in far] == [state for _, state, _, _ in near]
    assert len({str(state) for _, state, _, _ in far}) == 5
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
        ("dsk", "", "GANLIFT_BACKEND=dsk: no such backend. Use one of local, dask, ray"),
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


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    backend: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv(BACKEND, backend)
    monkeypatch.setenv(ADDRESS, "somewhere:1")
    with pytest.raises(UserError, match=rf"{package} is not installed.*'ganlift\[{backend}\]'"):
        list(spread(dies_once, [(0,)]))
