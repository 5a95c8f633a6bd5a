from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from flows.child import environment
from flows.new_project import make_project
from tests.answer.fake_report import fake_lift

REPOSITORY = Path(__file__).parents[2]
ORDER = [
    "ingest",
    "validate",
    "train_gan",
    "generate",
    "quality_filter",
    "merge",
    "retrain",
    "report",
]
# Stands in for a stage: progress, a line, a cached output and a metric, or a failure on demand.
STAND_IN = """
import subprocess, sys, time
from pathlib import Path

from tasks.contracts.errors import UserError
from tasks.contracts.outputs import published
from tasks.contracts.parent import die_with_parent

die_with_parent()
name, source = sys.argv[1:]
print("progress 0.500 half way", flush=True)
print(f"{name} at work", flush=True)
orders = Path(source).read_text()


def work(out, page, report):
    page.write_text("why it failed")
    if f"fail {name}" in orders:
        raise UserError("thing 7", "it is broken", "Mend it")
    if f"crash {name}" in orders:
        raise RuntimeError("a bug")
    if f"hang {name}" in orders:
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("pids").write_text(str(grandchild.pid))
        time.sleep(600)
    out.mkdir()
    (out / "data").write_text(orders)
    page.write_text(f"all is well: {orders}")
    report.write_text(Path("result.json").read_text())


metric = "lift" if name == "report" else name
outputs = {"out": Path(f"out/{name}"), "page": Path(f"page/{name}.html"),
           "report": Path(f"reports/{metric}.json")}
try:
    with published(name, outputs, ["page"]) as aside:
        work(**aside)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
"""


def _dvc(root: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def dvc() -> Callable[..., str]:
    """Run a dvc command in a folder."""
    return _dvc


def _stage(name: str) -> dict[str, object]:
    above = ORDER[: ORDER.index(name)][-1:]
    metric = "lift" if name == "report" else name
    return {
        "cmd": f"python stand_in.py {name} orders/{name}",
        "deps": [f"orders/{name}", *(f"out/{stage}/data" for stage in above)],
        "outs": [{path: {"persist": True}} for path in (f"out/{name}", f"page/{name}.html")],
        "metrics": [{f"reports/{metric}.json": {"cache": False, "persist": True}}],
    }


@pytest.fixture(scope="session")
def _ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("line")
    _dvc(root, "init", "--quiet", "--no-scm")
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config.local")
    (root / "stand_in.py").write_text(STAND_IN)
    (root / "result.json").write_text(fake_lift(mean=1.2, half=0.8).dumps())
    (root / "orders").mkdir()
    for name in ORDER:
        (root / "orders" / name).write_text("first")
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {name: _stage(name) for name in ORDER}}, sort_keys=False)
    )
    params = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(
        params.replace("source: data/embedded/digits.yaml", "source: orders")
    )
    _dvc(root, "repro")
    return root


@pytest.fixture
def line(_ran_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of eight stand-in stages that has run once, and enter it.

    Writing ``fail``, ``crash`` or ``hang STAGE`` into ``orders/STAGE`` makes the stage do so.
    """
    root = tmp_path / "line"
    shutil.copytree(_ran_once, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def _new_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "my tiles"
    make_project(folder)
    return folder


@pytest.fixture
def project(_new_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in which nothing has run, and enter it."""
    folder = tmp_path / "my tiles"
    shutil.copytree(_new_project, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


HOLDER = """
import sys, time
from pathlib import Path
from flows.project import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def _held_elsewhere(root: Path) -> Iterator[int]:
    command = [sys.executable, "-c", HOLDER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.kill()


@pytest.fixture(scope="session")
def held_elsewhere() -> Callable[[Path], AbstractContextManager[int]]:
    """Hold a project's lock in another process; yields its number."""
    return _held_elsewhere


@pytest.fixture(scope="session")
def _versions(tmp_path_factory: pytest.TempPathFactory, dvc: Callable[..., str]) -> Path:
    from tests.flows.versioned import make_versions

    root = tmp_path_factory.mktemp("versions") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        make_versions(root, dvc)
    return root


@pytest.fixture
def versioned(_versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with two logged runs, whose second stands there, and enter it."""
    from tasks.adapters.tracking.store import store_at

    root = tmp_path / "project"
    shutil.copytree(_versions, root, symlinks=True)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    store_at.cache_clear()
    return root
