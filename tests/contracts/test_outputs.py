from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.outputs import (
    ASIDE,
    LOCKS,
    MOVING,
    published,
    restore_locks,
    restored,
    shown,
    take_places,
)

FOLDER, FILE, PAGE = Path("data/merged"), Path("reports/merge.json"), Path("reports/why.html")
OUTPUTS = {"folder": FOLDER, "file": FILE, "page": PAGE}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(text: str, *names: str, error: BaseException | None = None) -> None:
    with published("merge", OUTPUTS, ["page"]) as aside:
        for name in names or OUTPUTS:
            if name == "folder":
                aside[name].mkdir()
                (aside[name] / "a").mkdir()
                (aside[name] / "a" / "images.npy").write_text(text)
            else:
                aside[name].write_text(text)
        if error is not None:
            raise error


def found() -> dict[str, str]:
    files = [*Path("data").rglob("*"), *Path("reports").rglob("*")]
    return {str(file): file.read_text() for file in files if file.is_file()}


ALL = [str(FOLDER / "a" / "images.npy"), str(FILE), str(PAGE)]


def test_outputs_take_their_places_together_and_replace_their_own() -> None:
    make("first")
    assert found() == dict.fromkeys(ALL, "first")
    make("second")
    assert found() == dict.fromkeys(ALL, "second")
    assert not (ASIDE / "merge").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SystemExit(143)])
def test_whatever_ends_a_stage_leaves_the_results_before_it(error: BaseException) -> None:
    make("first")
    with pytest.raises(type(error)):
        make("second", error=error)
    assert found() == dict.fromkeys(ALL, "first")
    make("third")  # what was left aside is in nobody's way
    assert found() == dict.fromkeys(ALL, "third")


def test_a_failed_stage_leaves_the_results_but_says_why() -> None:
    make("first")
    error = UserError("merge", f"see {ASIDE / 'merge' / PAGE}", "Mend it")
    with pytest.raises(UserError, match=r"see reports/why\.html"):
        make("second", error=error)
    assert found() == dict.fromkeys(ALL[:2], "first") | {str(PAGE): "second"}


def plant_file() -> None:
    (FOLDER / "a" / "photo.png").write_text("somebody's own")


def plant_instead() -> None:
    shutil.rmtree(FOLDER)
    FOLDER.mkdir()
    (FOLDER / "photo.png").write_text("somebody's own")


def change_file() -> None:
    (FOLDER / "a" / "images.npy").write_text("mended by hand")


def link_folder() -> None:
    shutil.rmtree(FOLDER)
    Path("photos").mkdir()
    Path("photos/photo.png").write_text("somebody's own")
    FOLDER.symlink_to(Path("photos").resolve())


def link_inside() -> None:
    Path("photo.png").write_text("somebody's own")
    (FOLDER / "link.png").symlink_to(Path("photo.png").resolve())


def file_for_folder() -> None:
    shutil.rmtree(FOLDER)
    FOLDER.write_text("somebody's own")


@pytest.mark.parametrize(
    "plant", [plant_file, plant_instead, change_file, link_folder, link_inside, file_for_folder]
)
@pytest.mark.parametrize("when", ["before", "during"])
def test_what_the_pipeline_did_not_write_stays(plant: Callable[[], None], when: str) -> None:
    make("first")
    mine = {}

    def run() -> None:
        if when == "before":
            plant()
            mine.update(found())
        with published("merge", {"folder": FOLDER}) as aside:
            aside["folder"].mkdir()
            if when == "during":
                plant()
                mine.update(found())

    with pytest.raises(UserError, match=r"data/merged.*did not write it"):
        run()
    assert found() == mine


def test_a_folder_that_no_run_recorded_is_an_error_and_no_rubbish() -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "photo.png").write_text("somebody's own")
    with pytest.raises(UserError, match=r"photo\.png: it stands where the pipeline writes"):
        make("first")
    assert found() == {str(FOLDER / "photo.png"): "somebody's own"}


def test_an_empty_folder_has_nothing_to_lose() -> None:
    FOLDER.mkdir(parents=True)
    make("first")
    assert found() == dict.fromkeys(ALL, "first")


@pytest.mark.parametrize("touched", [False, True])
def test_what_dvc_brought_back_is_known_by_its_lock(touched: bool) -> None:
    """In a clone there is no ledger, and a checkout writes files anew."""
    call = ["-m", "dvc", "--quiet"]
    subprocess.run([sys.executable, *call, "init", "--no-scm"], check=True)
    Path("stage.py").write_text("from tests.contracts.test_outputs import make; make('first')")
    outs = [{str(path): {"persist": True}} for path in OUTPUTS.values()]
    stage = {"cmd": f"{sys.executable} stage.py", "deps": ["stage.py"], "outs": outs}
    Path("dvc.yaml").write_text(json.dumps({"stages": {"merge": stage}}))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, *call, "repro"], check=True, env=environment)
    shutil.rmtree(".ganlift")
    for path in (FOLDER, FILE):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    subprocess.run([sys.executable, *call, "checkout"], check=True)
    if not touched:
        make("second")
        assert found() == dict.fromkeys(ALL, "second")
        return
    (FOLDER / "a" / "images.npy").write_text("mended by hand")
    with pytest.raises(UserError, match="it was changed since"):
        make("second")


STEPS = ("rename", "replace", "unlink", "rmdir", "mkdir", "open")


def elsewhere(source: str, target: str) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link", source, target)


def kills(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> Iterator[None]:
    """Do the work again and again, killed at each of its steps in turn, until one try succeeds."""
    for last in itertools.count(1):
        steps = itertools.count(1)

        def step(call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*arguments: Any, **named: Any) -> Any:
                if next(steps) >= last:  # noqa: B023  after a kill nothing is done any more
                    raise KeyboardInterrupt
                return call(*arguments, **named)

            return counted

        with monkeypatch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, step(getattr(os, name)))
            patch.setattr(shutil, "copyfile", step(shutil.copyfile))
            try:
                work()
            except KeyboardInterrupt:
                pass
            else:
                return
        take_places()
        assert not list(Path().rglob(f"*/{MOVING}"))
        assert not [*Path("data").glob(".*"), *Path("reports").glob(".*")]
        yield


@pytest.mark.parametrize("another_disk", [False, True])
def test_a_kill_at_any_step_costs_no_output(
    monkeypatch: pytest.MonkeyPatch, another_disk: bool
) -> None:
    """The previous outputs are there, or the new ones once the next command has looked."""
    if another_disk:
        monkeypatch.setattr(os, "rename", elsewhere)
    make("first")
    endings = []
    for _ in kills(monkeypatch, lambda: make("second")):
        assert found() in (dict.fromkeys(ALL, "first"), dict.fromkeys(ALL, "second"))
        endings.append(found()[ALL[0]])
        make("first")
    assert {*endings} == {"first", "second"}
    make("third")
    assert found() == dict.fromkeys(ALL, "third")


SETTINGS = Path("params.yaml")


def restore(text: str) -> None:
    owners = {FOLDER: "merge", FILE: "merge", Path("reports/other.json"): "other"}
    with restored(owners, [SETTINGS]) as aside:
        for path in (*owners, SETTINGS):
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            if path == FOLDER:
                (aside / path / "a").mkdir(parents=True)
                (aside / path / "a" / "images.npy").write_text(text)
            else:
                (aside / path).write_text(text)


def test_a_kill_at_any_step_mixes_no_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of several stages and the settings come back together, or none of them."""
    SETTINGS.write_text("first")
    make("first", "folder", "file", "page")
    restore("first")

    def texts() -> set[str]:
        return {SETTINGS.read_text(), *(text for name, text in found().items() if name != ALL[2])}

    endings = []
    for _ in kills(monkeypatch, lambda: restore("second")):
        (text,) = texts()
        endings.append(text)
        restore("first")
    assert {*endings} == {"first", "second"}
    assert texts() == {"second"}


def test_settings_that_change_while_a_run_comes_back_stay() -> None:
    SETTINGS.write_text("first")

    def change() -> None:
        with restored({}, [SETTINGS]) as aside:
            (aside / SETTINGS).write_text("second")
            SETTINGS.write_text("mine")

    with pytest.raises(UserError, match="or it was changed since"):
        change()
    assert SETTINGS.read_text() == "mine"


@pytest.mark.parametrize("told", [{str(FILE): "merge"}, [str(FILE)]], ids=["now", "before"])
def test_a_stage_at_work_moves_its_outputs_itself(told: dict[str, str] | list[str]) -> None:
    make("first")
    moving = ASIDE / "merge" / MOVING
    moving.parent.mkdir()
    (moving.parent / FILE).parent.mkdir()
    (moving.parent / FILE).write_text("second")
    moving.write_text(json.dumps(told))
    with moving.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        take_places()
        assert FILE.read_text() == "first"
    take_places()
    assert FILE.read_text() == "second"


def test_what_came_into_a_place_after_a_kill_stays() -> None:
    make("first")
    change_file()
    moving = ASIDE / "merge" / MOVING
    (moving.parent / FOLDER).mkdir(parents=True)
    moving.write_text(json.dumps({str(FOLDER): "merge"}))
    take_places()
    assert (FOLDER / "a" / "images.npy").read_text() == "mended by hand"


COMPLETE = "schema: '2.0'\nstages:\n  ingest:\n    cmd: one\n  merge:\n    cmd: two\n"


@pytest.mark.parametrize(
    ("left", "restored"),
    [
        ("", True),
        (COMPLETE[:-1], True),
        (COMPLETE[:-20], True),
        (COMPLETE.replace("one", "another"), False),
        ("<<<<<<< HEAD\n" + COMPLETE, False),
    ],
)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_dvc_was_killed_in_writing_is_put_back(
    lock: Path, left: str, restored: bool
) -> None:
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(COMPLETE)
    make("first")
    lock.write_text(left)
    restore_locks()
    assert lock.read_text() == (COMPLETE if restored else left)


def test_outputs_may_lie_on_another_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    make("first")
    monkeypatch.setattr(os, "rename", elsewhere)
    make("second")
    assert found() == dict.fromkeys(ALL, "second")
    make("third")  # what was copied is known
    assert found() == dict.fromkeys(ALL, "third")


def test_an_output_that_was_not_written_is_a_bug_and_changes_nothing() -> None:
    make("first")
    with pytest.raises(FileNotFoundError):
        make("second", "file", "page")
    assert found() == dict.fromkeys(ALL, "first")


def test_a_path_aside_is_shown_as_where_it_belongs() -> None:
    assert shown(ASIDE / "merge" / FILE) == FILE
    assert shown(FILE) == FILE
