from __future__ import annotations

from pathlib import Path

import pytest

from tests.classifier.tiny_retrain import save_inputs


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished runs are kept below the folder that a stage works in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage `retrain` reads."""
    return save_inputs(tmp_path_factory.mktemp("inputs"))
