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
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tasks.adapters.tracking import gan
from tasks.adapters.tracking.lineage import run_page
from tests.adapters.fake_results import DATASET, REPOSITORY, make_results, make_store
from tests.adapters.logged import log_results, runs_of

CHROMIUM = shutil.which("chromium")
SERVE = "import sys; from tasks.adapters.tracking.server import serve; serve(int(sys.argv[1]))"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """While `serve` serves: the answer's address, that of a GAN's run, and of every answer."""
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
        patch.setattr(gan, "_FLUSH_SECONDS", 0.0)  # as if the pictures came minutes apart
        gan_page = log_samples(root, paths)
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
        assert {"DO_NOT_TRACK=true", "DO_NOT_TRACK=1"} & {*settings}  # whoever set it first
        answer, every = (server.stdout.readline().rpartition(" ")[2].strip() for _ in range(2))
        yield answer, f"http://127.0.0.1:{port}/{gan_page}", every
    finally:
        with server:
            server.kill()  # the hardest way: MLflow's own processes must go all the same
        expect_closed(int(port))


def log_samples(root: Path, paths: dict[str, Path]) -> str:
    """Log a GAN that has drawn its samples twice, 64 and then 70 px wide; return its page."""
    with gan.gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]) as run:
        for n, width in ((1, 64), (2, 70)):
            Image.new("L", (width, 256), 100 * n).save(root / f"{n}.png")
            run.tick({"kimg": 2.0 * n, "loss_g": 1.0}, root / f"{n}.png")
    return run_page(runs_of("gan")[0].info.experiment_id, run.run_id, "/model-metrics")


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
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1700, "height": 1000})
        opened.set_default_timeout(30_000)
        yield opened
        browser.close()


def test_the_answer_is_on_the_first_screen(page: Page, served: tuple[str, str, str]) -> None:
    page.goto(served[0])
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


def test_the_list_of_answers_has_columns_of_its_own(
    page: Page, served: tuple[str, str, str]
) -> None:
    page.goto(served[2])
    for column in ("ganlift.verdict", "lift_pp", "lift_pp_ci_low", "lift_pp_ci_high", "Dataset"):
        header = page.get_by_role("columnheader", name=column, exact=True).first
        expect(header).to_be_in_viewport(timeout=30_000)
    expect(page.get_by_text("digits train").first).to_be_in_viewport()
    expect(page.get_by_role("link", name="GAN seed 0")).to_have_count(0)  # answers alone


def test_the_card_of_samples_opens_with_the_newest_picture(
    page: Page, served: tuple[str, str, str]
) -> None:
    page.goto(served[1])
    expect(page.get_by_text("loss_g").first).to_be_visible(timeout=30_000)
    picture = page.locator("img[src*='samples']")
    expect(picture).to_be_visible(timeout=30_000)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 70
