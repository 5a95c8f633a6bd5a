from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, and no clock: a busy machine must not fail a test.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("steady")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in training and its workers: sums split over more threads round differently."""
    import torch  # not at the top: half of the tests do without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):  # before the open, or before the read
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def gone() -> Callable[[int], bool]:
    """Tell whether a process ends within a moment (a zombie has)."""
    return _gone


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve Prefect as `ganlift run` does, from a folder that is thrown away."""
    from flows import prefect_server

    with pytest.MonkeyPatch.context() as patch:
        for name in (*prefect_server.CHOSEN_BY_USER, "DO_NOT_TRACK", "PREFECT_SERVER_UI_API_URL"):
            patch.setenv(name, "")  # so that it is put back in the end
            patch.delenv(name)
        wait = prefect_server.ready(
            tmp_path_factory.mktemp("prefect"), None, "--no-ui", "--no-scheduler"
        )
        from prefect.settings import PREFECT_API_URL, temporary_settings

        url = os.environ["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url}):
            wait()
            yield url


def _group(item: pytest.Item) -> str:
    """Return what shares dear fixtures: the line's two copies, one server of Prefect, a file's."""
    if item.path.parent.name == "line":
        return "line"
    return "prefect" if "prefect_url" in getattr(item, "fixturenames", ()) else str(item.path)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares dear fixtures, and begin with what takes longest."""
    longest = ["line", "prefect"]
    items.sort(key=lambda item: [*longest, _group(item)].index(_group(item)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
