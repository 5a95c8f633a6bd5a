from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.data.export_formats import folder_names


@given(st.lists(st.text(max_size=80), min_size=1, max_size=6))
@example(["..", ".", "", "a/../../b", "A", "a", "nul.txt", "x" * 400, "\ud800", "trail. "])
def test_every_class_has_a_folder_of_its_own_that_is_no_path(names: list[str]) -> None:
    folders = folder_names(names)
    assert len({folder.casefold() for folder in folders}) == len(names)
    for folder in folders:
        assert PurePosixPath(folder).parts == (folder,)
        assert folder not in (".", "..")
        assert not set(folder) & set('<>:"/\\|?*\0')
        assert folder[0] not in ". "
        assert folder[-1] not in ". "
        assert 0 < len(folder.encode()) <= 255


def test_plain_names_stay_as_they_are() -> None:
    assert folder_names(["cat", "Blue Jay", "Ölkanne", "1.5 mm"]) == [
        "cat", "Blue Jay", "Ölkanne", "1.5 mm",
    ]  # fmt: skip


def test_a_class_called_like_a_split_is_told_apart_from_one() -> None:
    assert folder_names(["test", "cat"]) == ["class_0_test", "cat"]
