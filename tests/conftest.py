from __future__ import annotations

import atexit
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.fake_train_gan import Told

# The same examples each time, and no clock: a busy machine must not fail a test.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("steady")

_SERVED, _ADDRESS = ExitStack(), list[str]()  # Prefect's server, while it has tests to serve


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in training and its workers: sums split over more threads round differently."""
    import torch  # not at the top: half of the tests do without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Go into a project with images, ready for the stage `train_gan`."""
    from tests.fake_train_gan import project  # not at the top, likewise

    return project(tmp_path, monkeypatch)


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


@pytest.fixture(scope="session", autouse=True)
def _code_read_once() -> Iterator[None]:
    """Take comments out of a text once a session: each stage that is run here asks for all code."""
    from tasks.contracts import kept

    bare, known = kept._bare, dict[bytes, str]()

    def once(file: Path) -> str:
        text = file.read_bytes()
        if text not in known:
            known[text] = bare(file)
        return known[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_bare", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    """Keep what Jinja makes of a template: each page that is drawn here compiles them anew."""
    import jinja2

    known: dict[tuple[str, str], bytes] = {}

    class Kept(jinja2.BytecodeCache):
        def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
            code = known.get((bucket.key, bucket.checksum))
            if code:
                bucket.bytecode_from_string(code)

        def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
            known[bucket.key, bucket.checksum] = bucket.bytecode_to_string()

    make, kept = jinja2.Environment.__init__, Kept()

    def made(self: jinja2.Environment, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        self.bytecode_cache = self.bytecode_cache or kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "__init__", made)
        yield


@pytest.fixture
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of one server for all tests of the group, started by the first of them."""
    if not _ADDRESS:
        _ADDRESS.append(_serve(tmp_path_factory.mktemp("prefect")))
        _SERVED.callback(_ADDRESS.clear)
    return _ADDRESS[0]


def _serve(folder: Path) -> str:
    """Serve Prefect as `ganlift run` does, from a folder that is thrown away."""
    from flows import prefect_server

    patch = _SERVED.enter_context(pytest.MonkeyPatch.context())
    for name in (*prefect_server.CHOSEN_BY_USER, "DO_NOT_TRACK", "PREFECT_SERVER_UI_API_URL"):
        patch.setenv(name, "")  # so that it is put back in the end
        patch.delenv(name)
    patch.setenv("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false")  # saves 3 s
    with pytest.MonkeyPatch.context() as starting:
        starting.setattr(atexit, "register", _SERVED.callback)
        wait = prefect_server.ready(folder, None, "--no-ui", "--no-scheduler")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = os.environ["PREFECT_API_URL"]
    _SERVED.enter_context(temporary_settings({PREFECT_API_URL: url}))
    _SERVED.callback(_send_last_words)
    wait()
    return url


def _send_last_words() -> None:
    """Let Prefect's threads send what they still hold and end: later they would ask for ever."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=30)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End Prefect's server after the last test of its group: while it waits it works."""
    if nextitem is None or _group(nextitem) != _group(item):
        _SERVED.close()


def _group(item: pytest.Item) -> str:
    """Return what shares dear fixtures: one server of Prefect and the line's copies, a file's."""
    asks = "prefect_url" in getattr(item, "fixturenames", ())
    return "prefect" if asks or item.path.parent.name == "line" else str(item.path)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares dear fixtures, and begin with what takes longest."""

    def place(item: pytest.Item) -> tuple[bool, bool, bool]:
        folder = item.path.parent
        stages = folder == Path(__file__).parent
        return _group(item) != "prefect", folder.name != "line", not stages

    items.sort(key=place)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_finish() -> None:
    """Spare the collector all that is imported by now, which stays, and call it more seldom.

    Of what these processes compute, that is a sixth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
