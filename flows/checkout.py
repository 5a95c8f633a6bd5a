"""``ganlift checkout``: settings, lock, data, models and reports of a logged run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.dvc_cache import Cache, listed
from flows.dvc_words import dvc_error
from flows.folds import FILE as FOLDED
from flows.folds import write_folds
from flows.outs import left_to_git
from flows.project import run_lock
from flows.versions import LIFTS, Lock, finished_line, log_line
from tasks.adapters.tracking.lineage import commit_now
from tasks.adapters.tracking.versions import (
    KeptLine,
    is_params_logged,
    is_result_logged,
    kept_line,
)
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import restored
from tasks.contracts.params.reading import FILE, read_values


def check_out(root: Path, wanted: str) -> list[str]:
    """Bring back a run: all that its line has left, or nothing where something is missing.

    Args:
        root: the project's folder, the working folder.
        wanted: the run, as `past_runs.named` takes it.

    Returns:
        What became of it, a line each.

    Raises:
        UserError: an unknown run, work that nothing else holds, an output that the pipeline did
            not write, data that neither DVC's cache nor the remote holds, or another run at work.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    with run_lock(root), tempfile.TemporaryDirectory() as scratch:
        kept = kept_line(wanted, Path(scratch))
        lock = Lock(kept.lock, (kept.folder / kept.lock).read_text(encoding="utf-8"))
        # of an earlier ganlift, perhaps, which had other settings
        folds = read_values(kept.folder / FILE)["ingest"].get("folds")
        if kept.lock == FOLDED.with_suffix(".lock") and folds is not None:
            write_folds(root, folds)
        _see_outputs(root, lock, kept)
        log_line(root)
        small = {*left_to_git(root)}
        try:
            with Repo(str(root)) as repo, lock_repo(repo):
                here = _in_place(repo, root, lock, small)
                wanted_md5 = {
                    path: md5 for path, md5 in lock.outs.items() if path not in {*here, *small}
                }
                objects = Cache(repo, kept.short_id)
                objects.fetch(wanted_md5)
                with suppress(UserError):  # an output that its cache lacks DVC counts as changed
                    objects.fetch({path: lock.outs[path] for path in here})
                owners = {path: lock.owners[path] for path in lock.outs if path not in here}
                with restored(owners, [FILE, kept.lock]) as aside:
                    _see_saved(root, kept)
                    for path, md5 in wanted_md5.items():
                        objects.write(md5, aside / path)
                    for path in (*(small & {*owners}), FILE, kept.lock):
                        (aside / path).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(kept.folder / path, aside / path)
        except DvcException as error:
            raise dvc_error("dvc", str(error).splitlines()) from None
        named = f"{FILE}, {kept.lock} and {len(lock.outs)} outputs"
        standing = f"; {len(here)} of them stood here already" if here else ""
        return [f"Run {kept.short_id} is back: {named}{standing}.", *_differences(root, kept)]


def _see_outputs(root: Path, lock: Lock, kept: KeptLine) -> None:
    """Refuse a line that writes elsewhere than this project's: two runs would lie side by side."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        written = {Path(out.fspath).relative_to(root) for out in repo.index.outs}
    now = root / lock.name
    left = {*Lock(lock.name, now.read_text(encoding="utf-8")).outs} if now.is_file() else set()
    if other := ({*lock.outs} - written) | (left - {*lock.outs}):
        commit = kept.commit.removesuffix("-dirty")
        raise UserError(
            f"run {kept.short_id}",
            f"its line writes other outputs than the one here: {listed(sorted(map(str, other)))}",
            f"Check out its code first: `git checkout {commit[:12]}`"
            if commit
            else "Check out the code of that time first",
        )


def _see_saved(root: Path, kept: KeptLine) -> None:
    """Refuse to write over settings, or a finished line, that neither Git nor a run holds."""
    params = root / FILE
    if params.is_file():
        now = params.read_bytes()
        if (
            now != (kept.folder / FILE).read_bytes()
            and now != _committed(root, FILE)
            and not is_params_logged(now)
        ):
            raise UserError(
                str(FILE),
                "it holds settings that neither Git's last commit nor a logged run has",
                "Commit it, or move it away, then check out again; nothing was touched",
            )
    line = finished_line(root, kept.lock)
    if line is not None and not is_result_logged(line.digest):
        raise UserError(
            str(LIFTS[kept.lock]),
            "no run of MLflow holds this result, so nothing would bring it back",
            "Run `ganlift track` first, or move it away; nothing was touched",
        )


def _committed(root: Path, path: Path) -> bytes | None:
    """Return a file as Git's last commit has it; None where there is none."""
    command = ["git", "show", f"HEAD:./{path.as_posix()}"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _in_place(repo: Any, root: Path, lock: Lock, small: set[Path]) -> set[Path]:
    """Return the outputs that stand here as the run left them."""
    found = {Path(out.fspath).relative_to(root): out for out in repo.index.outs}
    return {
        path
        for path, md5 in lock.outs.items()
        if path not in small
        and (out := found[path]).exists
        and out.hash_info
        and out.hash_info.value == md5
        and not out.changed_checksum()
    }


def _differences(root: Path, kept: KeptLine) -> Iterator[str]:
    """Yield what `ganlift run` would not find as the run left it: code, and the user's images."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        found: dict[str, list[Any]] = repo.status(targets=[str(kept.lock.with_suffix(".yaml"))])
    changed = sorted(
        {
            path
            for changes in found.values()
            for one in changes
            for path in (one if isinstance(one, dict) else {}).get("changed deps", {})
        }
    )
    code = [path for path in changed if path.startswith("tasks/")]
    source = read_values(root / FILE)["ingest"]["source"]
    now, then = (commit_now() or "").removesuffix("-dirty"), kept.commit.removesuffix("-dirty")
    if then and now and then != now:
        yield f"The run's code was commit {then[:12]}; here it is {now[:12]}."
    if code:
        yield f"Code that stages depend on has changed since: {listed(code)}."
    if source in changed:
        yield f"The images in {source} have changed since; they are yours, and stay as they are."
    if found:
        stages = [name.rpartition(":")[2] for name in found]
        yield f"`ganlift run` runs again: {listed(stages)}, and what depends on them."
    else:
        yield "`ganlift run` finds everything up to date."
