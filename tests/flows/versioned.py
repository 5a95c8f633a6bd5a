"""A project of two stages that has run twice, and whose runs and lines stand in MLflow."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.edit_params import edit_params
from flows.versions import log_line
from tasks.adapters.tracking.lineage import NOTE
from tasks.adapters.tracking.pipeline_note import UNRECORDED
from tasks.adapters.tracking.results import DIGEST
from tasks.adapters.tracking.store import Store, store_at, tracking_uri
from tests.adapters.fake_results import REPOSITORY, make_store
from tests.adapters.logged import client

LIFT, DATA, PARAMS = Path("reports/lift.json"), Path("data/real"), Path("params.yaml")
CODE = """
import sys
from pathlib import Path

import yaml

from tasks.contracts.outputs import published

seed = str(yaml.safe_load(Path("params.yaml").read_text())["seed"])
images, summary = Path("data/real"), Path("reports/ingest.json")
lift, page = Path("reports/lift.json"), Path("reports/lift.html")
if sys.argv[1] == "ingest":
    with published("ingest", {"images": images, "summary": summary}) as aside:
        (aside["images"] / "a").mkdir(parents=True)
        (aside["images"] / "a" / "x").write_text(f"pixels of {seed}")
        (aside["images"] / "same").write_text("in both")
        aside["summary"].write_text(seed)
else:
    with published("report", {"lift": lift, "page": page}) as aside:
        text = (images / "a" / "x").read_text()
        aside["lift"].write_text(f'{{"found": "{text}"}}')
        aside["page"].write_text(f"report on {text}")
"""
LEFT = {"persist": True, "cache": False}
STAGES = {
    "ingest": {
        "cmd": "exec sh tasks/python.sh stage.py ingest",
        "deps": ["images", "tasks/of_ingest.py"],
        "params": ["seed", "ingest.source"],
        "outs": [{str(DATA): {"persist": True}}],
        "metrics": [{"reports/ingest.json": LEFT}],
    },
    "report": {
        "cmd": "exec sh tasks/python.sh stage.py report",
        "deps": [str(DATA)],
        "outs": [{"reports/lift.html": {"persist": True}}],
        "metrics": [{str(LIFT): LEFT}],
    },
}


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder; return what it says."""
    named = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", *named, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_versions(root: Path, dvc: Callable[..., str]) -> None:
    """Fill a folder with a project in Git that has run with seed 0, then with seed 1."""
    make_store(root)
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config")
    for name in (".gitignore", "params.yaml", "tasks/python.sh"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / "tasks" / "of_ingest.py").write_text("# code")
    (root / "images").mkdir()
    (root / "images" / "1").write_text("a person's own")
    edit_params(root / PARAMS, ["ingest.source=images", "seed=0"])
    (root / "stage.py").write_text(CODE)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "The project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for seed in (0, 1):
            edit_params(PARAMS, [f"seed={seed}"])
            dvc(root, "repro")
            log_run()
            store_at.cache_clear()
            log_line(root)


def log_run() -> str:
    """Log the run of the result that stands here, as the stage report does; return its id."""
    store = Store(tracking_uri(), forgiving=False)
    digest = hashlib.sha256(LIFT.read_bytes()).hexdigest()
    tags = {"ganlift.kind": "pipeline", "ganlift.dataset": "images", "ganlift.git": "c0ffee"}
    tags |= {DIGEST: digest, NOTE: f"above\n{UNRECORDED}\nbelow"}
    tags |= store.own_process()
    run = store.client().create_run(
        store.experiment("images"), tags=tags, run_name=f"of {LIFT.read_text()}"
    )
    store.end(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def runs() -> list[str]:
    """Return the ids of the runs, newest first."""
    found = client().search_runs(["1"], order_by=["attributes.start_time DESC"])
    return [run.info.run_id for run in found]


def state(root: Path) -> dict[str, bytes]:
    """Return every file that a run brings back, by its path."""
    names = ("data", "reports", "dvc.lock", "params.yaml")
    files = [file for name in names for file in (root / name, *(root / name).rglob("*"))]
    return {str(file.relative_to(root)): file.read_bytes() for file in files if file.is_file()}
