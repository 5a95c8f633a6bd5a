"""The bench of ingest reads its made-up photos by both readers and tells figures of both."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bench import ingest
from tasks.contracts.image_set import ImageSet


def test_readers_take_turns_and_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def told(reader: str, photos: Path, out: Path, size: int) -> ingest.Cost:
        asked.append((reader, photos.name))
        ours, many = reader == "ganlift", photos.name == "many"
        return ingest.Cost(4.0 if ours else 12.0, 2.0, (110 if many and ours else 100) * 2**20)

    monkeypatch.setattr(ingest, "measured", told)
    lines = ingest.reading(Path("many"), Path("few"), 40, 2, 16)
    assert asked == [(name, few) for few in ("few", "many") for name in ingest.READERS] * 2
    assert "| ganlift | 40 | 10.0 | 50.00 | 110 | 1.10 |" in lines
    assert "| DataLoader | 4 | 0.3 | 500.00 | 100 | 1.00 |" in lines
    assert lines[-1] == "ganlift reads 3.00 times as many images/s; flat."


def test_a_reader_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    ingest.draw_photos(tmp_path / "photos", 8)
    for reader in ingest.READERS:
        cost = ingest.measured(reader, tmp_path / "photos", tmp_path / "out", 16)
        assert min(cost.seconds, cost.cpu_seconds, cost.peak_bytes) > 0
        assert not (tmp_path / "out").exists()
    ingest.READERS["ganlift"](tmp_path / "photos", tmp_path / "out", 16)
    assert len(ImageSet.load(tmp_path / "out")) == 8


def test_photos_are_as_large_as_told_and_no_two_are_equal() -> None:
    first, second = ingest.photo(0), ingest.photo(1)
    assert isinstance(first, Image.Image)
    assert first.size == (640, 480)
    assert first.tobytes() == ingest.photo(0).tobytes() != second.tobytes()


def test_dvc_brings_back_what_it_was_given(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "file.txt").write_text("kept")
    took = ingest.versioned(content, tmp_path / "home")
    assert set(took) == {"add", "push", "checkout"}
    assert (tmp_path / "home/work/data/file.txt").read_text() == "kept"
