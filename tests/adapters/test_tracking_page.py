"""MLflow's page in a real browser: the answer comes first, pictures and report open."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.adapters.fake_results import REPOSITORY, make_results, make_store
from tests.adapters.logged import log_results

CHROMIUM = shutil.which("chromium")
SERVE = "import sys; from tasks.adapters.tracking.server import serve; serve(int(sys.argv[1]))"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `serve` prints, while it serves."""
    root = tmp_path_factory.mktemp("project")
    make_store(root)
    shutil.copy(REPOSITORY / "mlflow" / "server.env", root / "mlflow")
    paths = make_results(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        log_results(paths)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command = [sys.executable, "-c", SERVE, port]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert (
            server.stdout.readline() == f"MLflow is at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        )
        worker = below(below(server.pid))  # MLflow's own process, and the one that answers
        settings = Path(f"/proc/{worker}/environ").read_text().split("\0")
        assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in settings  # of mlflow/server.env
        assert "DO_NOT_TRACK=true" in settings
        yield server.stdout.readline().rpartition(" ")[2].strip()
    finally:
        server.kill()  # the hardest way: MLflow's own processes must go all the same
        server.wait()
        expect_closed(int(port))


def below(parent: int) -> int:
    """Return the one process that another has started."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], stdout=subprocess.PIPE)
    return int(done.stdout)


def expect_closed(port: int) -> None:
    for _ in range(100):
        with socket.socket() as caller:
            caller.settimeout(0.1)
            if caller.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    pytest.fail("the server outlived the command that started it")


@pytest.fixture
def page(answer: str) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1700, "height": 1000})
        opened.set_default_timeout(30_000)
        opened.goto(answer)
        yield opened
        browser.close()


def test_the_answer_is_on_the_first_screen(page: Page) -> None:
    heading = page.get_by_text("GAN images make the classifier better: +1.3 points [+0.4, +2.2]")
    expect(heading).to_be_in_viewport(timeout=30_000)
    expect(page.get_by_text("95 % confidence interval").first).to_be_in_viewport()
    page.get_by_text("Show more").click()
    picture = page.locator("img[src*='lift_by_arm']")
    expect(picture).to_be_in_viewport()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 640
    table = page.get_by_test_id("note-editor-preview-content").get_by_role("table").first
    expect(table).to_contain_text("real+filtered")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="The whole report").click()
    report = opened.value.frame_locator("iframe").get_by_role("heading", name="It helps")
    expect(report).to_be_visible(timeout=30_000)
    assert re.search(r"/artifacts/00_lift_report\.html", opened.value.url)
