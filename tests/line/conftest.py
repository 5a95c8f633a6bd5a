"""Two copies of the project on a tiny configuration: one run by the flow, one by `dvc repro`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TINY = (
    "ingest.per_class=12",
    "ingest.test_share=0.2",
    "train_gan.seeds=[0,1]",
    "train_gan.width=12",
    "train_gan.total_kimg=6",
    "train_gan.grid_kimg=3",
    "generate.per_class=40",
    "quality_filter.folds=2",
    "quality_filter.classifier_steps=20",
    "quality_filter.p_real_quantile=0.0",
    "quality_filter.confidence_quantile=0.0",
    "quality_filter.copy_quantile=0.0",
    "retrain.seeds=[0,1]",
    "retrain.recipes=[plain,classical]",
    "retrain.steps=10",
    "retrain.most_steps=20",
    "retrain.learning_rate=0.004",
    "retrain.batch_size=32",
    "retrain.fractions=[2]",
    "report.resamples=2000",
)


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which the copy's code runs and no outer setting leaks in."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLFLOW_", "PREFECT_", "DVC_"))
    }
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "COLUMNS": "160",
    }


def call(root: Path, *command: str, prefect: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the venv in a project, its output as text.

    ``prefect`` is the address of a server that runs already: `ganlift run` takes seconds to start
    one of its own.
    """
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=root,
        env=environment(root) | ({"PREFECT_API_URL": prefect} if prefect else {}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def copy_project(to: Path) -> Path:
    """Copy what git tracks or would track, and make it a git repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "reports/", "dvc.lock")):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    subprocess.run(["git", "init", "-q"], cwd=to, check=True)
    return to


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Return the copy run by the flow, the one run by `dvc repro`, and what the flow printed."""
    by_flow = copy_project(tmp_path_factory.mktemp("flow"))
    by_dvc = copy_project(tmp_path_factory.mktemp("dvc"))
    settings = [part for setting in TINY for part in ("--set", setting)]
    flow = subprocess.Popen(
        [str(BIN / "ganlift"), "run", *settings],
        cwd=by_flow,
        env=environment(by_flow) | {"LOKY_MAX_CPU_COUNT": "2"},  # 1 beside it, in `make test`
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # params.yaml as the flow's door writes it: the other door has no --set of its own
        edit = "from flows.edit_params import edit_params; from pathlib import Path; import sys; "
        call(by_dvc, "python", "-c", edit + "edit_params(Path('params.yaml'), sys.argv[1:])", *TINY)
        repro = call(by_dvc, "dvc", "repro")
        printed, _ = flow.communicate(timeout=600)
    finally:
        flow.kill()
    assert flow.returncode == 0, printed
    assert repro.returncode == 0, repro.stdout + repro.stderr
    return by_flow, by_dvc, printed
