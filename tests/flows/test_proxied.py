from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_line_runs_where_proxies_are_set_that_know_nothing_of_this_machine(
    project: Path,
) -> None:
    nobody = "127.0.0.1:9"  # the port of `discard`, which nobody serves
    proxies = {
        "http_proxy": f"http://{nobody}",
        "HTTPS_PROXY": f"http://{nobody}",
        "ALL_PROXY": f"socks://{nobody}",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("MLFLOW_", "PREFECT_", "DVC_"))
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ganlift"), "run", "--until", "ingest"],
        cwd=project,
        env=kept | proxies | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "reports" / "ingest.json").is_file()
