"""What a tree of files means: class folders, with or without splits above them, or a table.

Beside either may stand ``unlabelled/`` with images of no known class, at any depth,
``other_domain/`` with folders of the same classes and ``related/`` with folders of others. What is
seen but not understood is refused with the command that mends it, rather than guessed.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.contracts.errors import UserError
from tasks.data.items import (
    OTHER_DOMAIN,
    RELATED,
    SPLIT_NAMES,
    UNLABELLED,
    Item,
    Listing,
    Rejected,
)
from tasks.data.tables import TABLES, table_items
from tasks.data.trees import Leaf, Tree

_UNLABELLED_FOLDERS = (UNLABELLED, "unlabeled")  # a second spelling must not become a class
_MOST_NAMED = 5


def listing_of(tree: Tree, source: Path) -> Listing:
    """Read a tree as images with classes, splits and groups.

    Args:
        tree: the files.
        source: what messages name.

    Raises:
        UserError: no labelled image, a class without images, or a layout that is not understood.
    """
    table = next((leaf for leaf in tree.leaves if leaf.name in TABLES), None)
    if table is not None:
        return table_items(table, tree, source)
    return _ClassFolders(tree, source).listing()


class _ClassFolders:
    """One folder a class."""

    def __init__(self, tree: Tree, source: Path) -> None:
        self._tree, self._source = tree, source
        self._images: dict[tuple[str, ...], list[Leaf]] = defaultdict(list)  # by folder
        self._passed_over = list(tree.passed_over)
        for leaf in tree.leaves:
            if leaf.is_image:
                self._images[leaf.parts[:-1]].append(leaf)
            else:
                self._passed_over.append(leaf.no_image())

    def listing(self) -> Listing:
        beside = (*_UNLABELLED_FOLDERS, OTHER_DOMAIN, RELATED)
        named = [name for name in self._below("") if name not in beside]
        splits = {name: SPLIT_NAMES[name.casefold()] for name in named if _is_split(name)}
        others = [name for name in named if name not in splits]
        if splits and (not others or any(self._holds_classes(name) for name in splits)):
            items = self._split_folders(splits, others)
        else:
            self._see_depth(others + list(splits))
            items = [item for name in named for item in self._class_folder(name, None)]
        if not items:
            self._refuse_nothing()
        for leaf in self._images.get((), []):
            reason = "an image outside of every class folder"
            self._passed_over.append(
                Rejected(leaf.name, "", reason, "Move it into the folder of its class")
            )
        for name in _UNLABELLED_FOLDERS:
            items += [leaf.item("", UNLABELLED) for leaf in self._within(name)]
        items += self._classes_in(OTHER_DOMAIN, "named as the classes beside it")
        items += self._classes_in(RELATED, "with other names than the classes beside it")
        return Listing(items, sorted(self._passed_over, key=lambda one: one.source))

    def _split_folders(self, splits: Mapping[str, str], others: Sequence[str]) -> list[Item]:
        if others:
            first = next(iter(splits))
            raise UserError(
                str(self._source),
                f"{first}/ holds folders of classes, but {others[0]}/ stands beside it",
                "Let only train/, val/ and test/ stand there, or only classes",
            )
        if len(set(splits.values())) < len(splits):
            raise UserError(
                str(self._source),
                f"{' and '.join(f'{name}/' for name in splits)} stand side by side, and two of "
                "them name the same split",
                "Keep one folder for each of train, val and test",
            )
        flat = [name for name in splits if not self._below(name)]
        if flat:
            raise UserError(
                str(self._source / flat[0]),
                "the folder of a split holds no class folders, so its "
                f"{len(self._within(flat[0]))} images have no label",
                "Put one folder for each class into it, or list the images in metadata.csv",
            )
        items: list[Item] = []
        for name, split in splits.items():
            for folder in self._below(name):
                if folder in _UNLABELLED_FOLDERS:
                    raise UserError(
                        str(self._source / name / folder),
                        "unlabelled images stand inside a split",
                        f"Move the folder to {self._source / UNLABELLED}, beside {name}/",
                    )
                items += self._class_folder(f"{name}/{folder}", split)
            for leaf in self._images.get((name,), []):
                reason = "an image of a split outside of every class folder"
                self._passed_over.append(
                    Rejected(leaf.name, "", reason, "Move it into the folder of its class")
                )
        return items

    def _classes_in(self, beside: str, named: str) -> Iterator[Item]:
        """Yield the images of a folder beside the classes, which holds one folder a class too."""
        if loose := self._images.get((beside,)):
            raise UserError(
                str(self._source / beside),
                f"{len(loose)} of its images stand outside of a class folder, such as "
                f"{loose[0].name}",
                f"Put one folder for each class into it, {named}",
            )
        for folder in self._below(beside):
            yield from self._class_folder(f"{beside}/{folder}", beside)

    def _class_folder(self, folder: str, split: str | None) -> Iterator[Item]:
        leaves = self._within(folder)
        if not leaves:
            left = [one for one in self._passed_over if one.source.startswith(f"{folder}/")]
            why = f" ({left[0].source}: {left[0].reason})" if left else ""
            raise UserError(
                str(self._source / folder),
                f"this class folder holds no images{why}",
                "Put images into it, or move it out of the source",
            )
        for leaf in leaves:
            yield leaf.item(folder.rpartition("/")[2], split)

    def _see_depth(self, folders: Sequence[str]) -> None:
        """Refuse folders that are not the classes: their folders, or those above, may be."""
        if any(self._images.get((name,)) for name in folders):
            return
        inside = {name: set(self._below(name)) for name in folders if self._within(name)}
        same = set.intersection(*inside.values()) if inside else set()
        if not same or any(names != same for names in inside.values()):
            return
        first = next(iter(inside))
        seen = ", ".join(sorted(same)[:_MOST_NAMED])
        if len(inside) == 1:
            raise UserError(
                str(self._source),
                f"holds one folder alone, {first}/, with the folders {seen}",
                f"If those are the classes: {_run(self._source / first)}",
            )
        raise UserError(
            str(self._source),
            f"{', '.join(f'{name}/' for name in list(inside)[:_MOST_NAMED])} all hold the same "
            f"folders ({seen}), so it cannot be told which are the classes",
            f"If the lower ones are, take one of the upper: {_run(self._source / first)}; "
            "if the upper ones are, list the images with their labels in metadata.csv",
        )

    def _refuse_nothing(self) -> None:
        loose = len(self._images.get((), []))
        what = f"holds {loose} images but no class folders" if loose else "holds no images"
        if not loose and self._passed_over:
            what += (
                f" ({len(self._passed_over)} other files, such as {self._passed_over[0].source})"
            )
        raise UserError(
            str(self._source),
            what,
            "Put images (PNG, JPEG and the like) into one folder a class, or list them in "
            "metadata.csv with the columns file_name and label",
        )

    def _below(self, folder: str) -> list[str]:
        """Return the names of the folders right below one."""
        prefix = f"{folder}/" if folder else ""
        found = [
            name.removeprefix(prefix) for name in self._tree.folders if name.startswith(prefix)
        ]
        return sorted(name for name in found if "/" not in name)

    def _within(self, folder: str) -> list[Leaf]:
        """Return the images of a folder, at any depth."""
        parts = tuple(folder.split("/"))
        own = [leaves for place, leaves in self._images.items() if place[: len(parts)] == parts]
        return sorted((leaf for leaves in own for leaf in leaves), key=lambda leaf: leaf.parts)

    def _holds_classes(self, folder: str) -> bool:
        """Tell a split's folder from a class that happens to be called train, val or test."""
        return bool(self._below(folder)) and not self._images.get((folder,))


def _is_split(name: str) -> bool:
    return name.casefold() in SPLIT_NAMES


def _run(source: Path) -> str:
    return f"ganlift run --source {shlex.quote(str(source))}"
