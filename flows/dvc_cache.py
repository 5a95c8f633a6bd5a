"""Outputs as DVC's cache holds them: objects by their md5, and lists of them for folders."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.contracts.errors import UserError

_MOST_LISTED = 3


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(names[:_MOST_LISTED])}{more}"


class Cache:
    """What DVC's cache holds, fetched from the remote where it lacks something.

    Args:
        repo: ``dvc.repo.Repo``.
        run: for whose sake, as people call it.
    """

    def __init__(self, repo: Any, run: str) -> None:
        self._repo, self._cache, self._run = repo, repo.cache.local, run
        logging.getLogger("dvc").setLevel(logging.ERROR)  # what it misses is said here, in one line

    def fetch(self, outs: Mapping[Path, str]) -> None:
        """See that every object of the outputs is in the cache.

        Args:
            outs: DVC's md5 by output.

        Raises:
            UserError: neither cache nor remote has them, or the remote cannot be reached.
        """
        for _ in range(2):  # the lists of folders first, then what they list
            if lacking := {one for md5 in outs.values() for one in self._lacking(md5)}:
                self._pull(lacking)
        if missing := [str(path) for path, md5 in outs.items() if self._lacking(md5)]:
            where = "cache and remote no longer hold" if self._remote else "cache no longer holds"
            raise UserError(
                f"run {self._run}",
                f"DVC's {where} {listed(missing)}",
                "Bring the cache back, name a remote that has them, or check out another run; "
                "nothing was touched",
            )

    def names(self, md5: str) -> Iterator[str]:
        """Yield the objects of an output: the list of a folder, and what it lists if it is here."""
        yield md5
        if self._cache.exists(md5):
            yield from (one for _, one in self._files(md5))

    @property
    def _remote(self) -> str | None:
        name: str | None = self._repo.config["core"].get("remote")
        return name

    def _lacking(self, md5: str) -> tuple[str, ...]:
        if not self._cache.exists(md5):
            return (md5,)
        return tuple(one for _, one in self._files(md5) if not self._cache.exists(one))

    def _files(self, md5: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the files of an output: parts of its path in the folder, md5."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        info = HashInfo("md5", md5)
        if not info.isdir:
            yield (), md5
            return
        for parts, _, one in Tree.load(self._cache, info):
            yield parts, one.value

    def _pull(self, md5s: set[str]) -> None:
        from dvc_data.hashfile.hash_info import HashInfo

        if self._remote is None:
            return
        try:
            self._repo.cloud.pull([HashInfo("md5", md5) for md5 in md5s])
        except FileNotFoundError:  # what it lacks is told as a whole
            return
        except Exception as error:  # of whichever client the remote has
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"remote {self._remote}", said[:200], "Mend that, then check out again"
            ) from error

    def write(self, md5: str, place: Path) -> None:
        """Write an output, and see that it is what its hash says.

        Raises:
            UserError: an object of the cache is damaged.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        if md5.endswith(".dir"):
            place.mkdir()
        for parts, one in self._files(md5):
            file, kept = place.joinpath(*parts), Path(self._cache.oid_to_path(one))
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, file)
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "md5").hexdigest() != one:
                    raise UserError(
                        str(kept),
                        "this object of DVC's cache is damaged",
                        "Remove it; a remote that has it brings it back. Nothing was touched",
                    )
