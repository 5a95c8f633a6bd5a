"""``ganlift gc``: what no kept result needs goes from MLflow and from DVC's cache."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.dvc_cache import Cache
from flows.dvc_words import dvc_error
from flows.folds import OVER_ALL
from flows.line import STAGES
from flows.project import run_lock
from flows.versions import Lock, log_line
from tasks.adapters.tracking.retention import Retired, Wanted, retire, sort_out
from tasks.adapters.tracking.store import asked
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import LOCKS


@dataclass(frozen=True)
class Plan:
    """What would go.

    Attributes:
        retired: from MLflow.
        objects: files of DVC's cache.
        size: of these, in bytes.
        server: MLflow's address where it is not this project's alone: its runs are left alone.
        shared: the cache's folder where it is not this project's alone, and so is left alone.
    """

    retired: Retired
    objects: tuple[Path, ...]
    size: int
    server: str | None
    shared: Path | None

    def lines(self) -> list[str]:
        """Return what it comes to, a line each."""
        retired = self.retired
        others = len(retired.runs) - len(retired.results)
        told = [
            f"MLflow: {_counted(len(retired.results), 'result')} and {_counted(others, 'run')} of "
            f"arms and GANs, {_megabytes(retired.bytes_here())}; what stays: "
            f"{_counted(retired.kept, 'result')}.",
            f"DVC's cache: {_counted(len(self.objects), 'file')}, {_megabytes(self.size)}.",
        ]
        if self.server:
            told[0] = f"MLflow is {self.server}, which others may use: its runs are left alone."
        if self.shared:
            told[1] = f"DVC's cache is {self.shared}, which others may use: it is left alone."
        return told

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to free."""
        return not (self.retired.runs or self.objects)


def plan(root: Path, wanted: Wanted) -> Plan:
    """Find what no kept result needs. Nothing is changed but that MLflow gets a line it lacks.

    From DVC's cache goes only what stages of the pipeline wrote for results that go. It keeps what
    the locks of kept results name, what the project's folder, its branches, tags and experiments
    name, and all that a commit has ever named which touched a ``.dvc`` file: a person's own data.

    Args:
        root: the project's folder, the working folder.
        wanted: which results are kept.

    Raises:
        UserError: no rule was given, the store cannot be reached, or DVC cannot read the project.
    """
    if wanted.is_all:
        raise UserError(
            "gc",
            "nothing says what to keep",
            "Say how many results with --keep 30, or for how long with --keep-days 90",
        )
    log_line(root)
    with asked("try again") as store:
        retired = sort_out(store, wanted)
        server = None if store.is_local else store.uri
        if server:
            retired = retired.with_nothing_to_go()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo(str(root)) as repo, lock_repo(repo):
            place = Path(repo.cache.local.path)
            if not place.resolve().is_relative_to((root / ".dvc" / "cache").resolve()):
                return Plan(retired, (), 0, server, place)
            cache, odb = Cache(repo, ""), repo.cache.local
            needed = {*_named_by_project(repo, root), *_named_by(cache, retired.locks)}
            written = {*_named_by(cache, retired.gone)} - needed
            objects = tuple(Path(odb.oid_to_path(md5)) for md5 in odb.all() if md5 in written)
    except DvcException as error:
        raise dvc_error("dvc", str(error).splitlines()) from None
    return Plan(retired, objects, sum(file.stat().st_size for file in objects), server, None)


def free(root: Path, wanted: Wanted) -> Plan:
    """Free what `plan` finds now, while no run is at work, and return it.

    The cache's files go first: a kill leaves the runs that tell of the rest, for the next call.

    Raises:
        UserError: as `plan`, or a run is at work here.
    """
    with run_lock(root):
        found = plan(root, wanted)
        for file in found.objects:
            file.unlink(missing_ok=True)
        with asked("try again") as store:
            retire(store, found.retired)
    return found


def free_after_run(root: Path, wanted: Wanted) -> str:
    """Free what a scheduled run has made superfluous, and return what came of it in a line.

    What cannot be freed now fails no run: the next one tries again.
    """
    try:
        freed = free(root, wanted)
    except (UserError, OSError) as error:
        return f"Nothing was freed: {error}"
    return "There is nothing to free." if freed.is_empty else " ".join(["Freed.", *freed.lines()])


def _named_by_project(repo: Any, root: Path) -> Iterator[str]:
    bare = bool(repo.config["core"].get("no_scm"))
    everywhere = dict.fromkeys(("all_branches", "all_tags", "all_experiments"), not bare)
    # by force: a branch may name what never was on this machine
    found = [repo.used_objs(force=True, **everywhere)]
    if not bare:
        command = ["git", "log", "--all", "--format=%H", "--", "*.dvc"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        if revisions := done.stdout.split():
            found.append(repo.used_objs(force=True, revs=revisions))
    for used in found:
        for infos in used.values():
            yield from (info.value for info in infos)


def _named_by(cache: Cache, locks: Sequence[str]) -> Iterator[str]:
    """Yield what the pipeline's stages have written by these locks, folders and their files."""
    for text in locks:
        lock = Lock(LOCKS[0], text)
        for path, md5 in lock.outs.items():
            if lock.owners[path] in (*STAGES, OVER_ALL):
                yield from cache.names(md5)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
