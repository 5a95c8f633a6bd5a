"""`dvc repro` in a shell of its own, as somebody types it who knows DVC and no more of ganlift."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.edit_params import edit_params, source_setting

BIN = Path(sys.executable).parent
HOSTILE = """it's; touch ran; $(touch ran) `touch ran` "${HOME}" \\${HOME} &\ntouch ran \\ #"""


def _repro(project: Path, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell's bare environment: no virtual environment is activated."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=project, env=bare | more, capture_output=True, text=True, check=False
    )


@pytest.fixture
def stamped(project: Path) -> Path:
    """Return a project whose one stage writes by which Python it was run."""
    (project / "dvc.yaml").write_text(
        "stages: {a: {cmd: exec sh tasks/python.sh stamp.py 'two words', outs: [made]}}"
    )
    (project / "stamp.py").write_text(
        "import sys; open('made', 'w').write(repr([sys.prefix, *sys.argv[1:]]))"
    )
    return project


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    "command", [[str(BIN / "dvc")], [sys.executable, "-m", "dvc"]], ids=["script", "module"]
)
def test_a_stage_runs_with_the_python_that_runs_dvc(
    command: list[str], shell: str, stamped: Path
) -> None:
    done = _repro(stamped, [*command, "repro"], SHELL=shell)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (stamped / "made").read_text() == repr([sys.prefix, "two words"])


@pytest.mark.parametrize(("own", "threads"), [({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")])
def test_a_stage_has_one_thread_unless_more_are_asked_for(
    own: dict[str, str], threads: str, stamped: Path
) -> None:
    """Sums split over threads round differently: cores are used by processes."""
    (stamped / "stamp.py").write_text(
        "import os, sys; open('made', 'w').write(os.environ['OMP_NUM_THREADS'])"
    )
    done = _repro(stamped, [str(BIN / "dvc"), "repro"], **own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (stamped / "made").read_text() == threads


def test_a_path_of_python_typed_relative_is_found_from_below(stamped: Path) -> None:
    (stamped / "below").mkdir()
    (stamped / "env").symlink_to(BIN.parent)
    done = _repro(stamped / "below", ["../env/bin/python", "-m", "dvc", "repro", "../dvc.yaml"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "two words" in (stamped / "made").read_text()


def test_no_name_of_a_source_is_ever_run(project: Path) -> None:
    source = project / "data" / HOSTILE
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (24, 8, 8))):
        folder = source / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    edit_params(project / "params.yaml", [source_setting(source, project)])
    done = _repro(project, [str(BIN / "dvc"), "repro", "ingest"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(project.rglob("ran"))
    summary = json.loads((project / "reports" / "ingest.json").read_text())
    assert summary["dataset"] == HOSTILE


def test_no_section_of_params_takes_the_place_of_a_path(project: Path) -> None:
    with (project / "params.yaml").open("a") as file:
        file.write('path: {train: "$(touch ran)"}\n')
    done = _repro(project, [str(BIN / "dvc"), "repro", "ingest"])
    assert "cannot redefine 'path.train'" in done.stderr
    assert not (project / "ran").exists()
