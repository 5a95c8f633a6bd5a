"""What a person opens, opened in a real browser: lift.html and the run's page in MLflow."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, sync_playwright

from tests.line.conftest import BIN, environment

Doors = tuple[Path, Path, str]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.line,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt-get install chromium)"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        yield page
        browser.close()


@pytest.fixture(scope="module")
def mlflow_url(doors: Doors) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = doors[0]
    server = subprocess.Popen(
        [str(BIN / "ganlift"), "ui", "--port", str(port)],
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{port}"
    said = ""
    for line in server.stdout:
        said += line
        if url in line:
            break
    else:
        pytest.fail(f"the MLflow server did not start: {said}")
    yield url
    server.terminate()
    server.communicate(timeout=30)


def test_the_report_shows_verdict_interval_and_pictures(doors: Doors, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((doors[0] / "reports/lift.html").as_uri())
    text = page.inner_text("body")
    lift = json.loads((doors[0] / "reports/lift.json").read_text())
    assert lift["verdict"] in text.lower()
    for key in ("mean", "ci_low", "ci_high"):
        assert f"{abs(lift['lift_pp'][key]):.1f}" in text
    loaded = page.evaluate(
        "[...document.querySelectorAll('.pan img')].map(i => i.complete && i.naturalWidth > 100)"
    )
    assert len(loaded) >= 4
    assert all(loaded)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wide, "the page scrolls sideways"


def test_mlflow_shows_the_answer_first(doors: Doors, page: Page, mlflow_url: str) -> None:
    client = MlflowClient(f"sqlite:///{doors[0]}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`ganlift.kind` = 'pipeline'")
    page.goto(f"{mlflow_url}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}")
    lift = json.loads((doors[0] / "reports/lift.json").read_text())
    verdict = str(lift["verdict"])
    page.get_by_text(verdict).first.wait_for(timeout=30_000)
    page.wait_for_timeout(1500)
    text = page.inner_text("body")
    assert verdict in text
    for key in ("mean", "ci_low", "ci_high"):
        assert f"{abs(lift['lift_pp'][key]):.1f}" in text
    picture = "[...document.images].some(i => i.complete && i.naturalWidth > 300)"
    assert page.evaluate(picture), "the lift picture is not on the run's page"
