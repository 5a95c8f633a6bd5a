"""``ganlift push`` and ``ganlift pull``: versions of data and models between machines.

DVC copies them; what its words and its care lack is added here. Settings, locks and the small
reports that DVC does not cache go by Git.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from flows.child import child, lines
from flows.data_set import data_set
from flows.display import ended
from flows.dvc_words import dvc_error
from flows.notify import Message, tell
from flows.outs import copied, left_to_git, not_in_place
from flows.project import run_lock
from flows.remote import Remote, default_remote, see_remote
from flows.remote_words import remote_error
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import LOCKS, refuse_foreign

_COUNT = re.compile(r"(\d+) files? (?:pushed|fetched)")
_BY_GIT = ("params.yaml", "dvc.yaml", "folds/dvc.yaml", *map(str, LOCKS), ".dvc/config")


def push(root: Path) -> list[str]:
    """Copy what ``dvc.lock`` tells of, of the line and of its folds, to the remote.

    Returns:
        What became of it, a line each.

    Raises:
        UserError: no remote, one that refuses, a result that DVC's cache lacks, or a run at work.
    """
    with run_lock(root):
        remote = default_remote(root)
        _see_lock(root, "Push after a run: `ganlift run`")
        see_remote(root, remote)
        heard = _dvc(root, remote, "push")
        if _lacks_files(heard):
            raise UserError(
                "DVC's cache",
                f"it lacks files that dvc.lock tells of, and so does {remote}",
                "`dvc commit` puts results that are in place into it; without them, "
                "`ganlift run` makes them again",
            )
        count = _count(heard)
        said = f"pushed {count} files to {remote}" if count else f"{remote} has everything already"
        return [said, *_to_commit(root)]


def pull(root: Path) -> list[str]:
    """Bring what ``dvc.lock`` tells of from the remote, and put it in place.

    Outputs take their places as those of a stage do, over what the pipeline wrote and over
    nothing else, where `dvc pull` would leave half a folder if it is killed.

    Returns:
        What became of it, a line each.

    Raises:
        UserError: no remote, one that refuses or lacks something, a run at work, or something
            stands in an output's place that the pipeline did not write: then nothing is touched.
    """
    with run_lock(root):
        remote = default_remote(root)
        _see_lock(root, "Bring it from another machine by Git: `git pull`")
        wanted = not_in_place(root)
        for stage, outs in wanted.items():
            for out in outs:
                refuse_foreign(Path(out), stage.rpartition(":")[2].partition("@")[0])
        see_remote(root, remote)
        heard = _dvc(root, remote, "fetch")
        if _lacks_files(heard):
            raise UserError(
                str(remote),
                "it lacks files of the version that dvc.lock tells of",
                "Push them from the machine where that was run: `ganlift push`",
            )
        for stage, outs in wanted.items():
            if not copied(root, stage, outs):
                raise UserError(
                    f"stage {stage}", "DVC's cache is not whole", "Pull once more: `ganlift pull`"
                )
        placed = sum(map(len, wanted.values()))
        here = f"{placed} results were put in place" if placed else "all results stood in place"
        said = [f"fetched {_count(heard)} files from {remote}; {here}"]
        if gone := [str(path) for path in left_to_git(root) if not (root / path).exists()]:
            said.append(f"These come by Git, and are not here: {', '.join(gone)}")
        return said


def push_after_run(root: Path, console: Console) -> str:
    """Push when a run has ended; one that cannot be pushed is complete all the same.

    Where it fails, a line on the console says so, and somebody is told by `ganlift notify`.

    Returns:
        What became of it, in one line.
    """
    started = time.monotonic()
    try:
        with console.status("pushing"):
            line, state = push(root)[0], "done"
    except (UserError, OSError) as error:
        line, state = f"The run is complete, but its results were not pushed: {error}", "failed"
        tell(root, Message(event="not pushed", dataset=data_set(root), line=line))
    ended(console, "push", state, time.monotonic() - started)
    console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    return line


def _see_lock(root: Path, mend: str) -> None:
    if not any((root / lock).is_file() for lock in LOCKS):
        raise UserError(str(LOCKS[0]), "is not here, so there is no version to copy", mend)


def _dvc(root: Path, remote: Remote, word: str) -> list[str]:
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", word]
    with child(command, subprocess.PIPE, root) as process:
        heard = list(lines(process))
        status = process.wait()
    if status == 0:
        return heard
    first = next((n for n, line in enumerate(heard) if line.startswith("ERROR: ")), 0)
    said = [line for line in heard[first:] if line]
    raise remote_error(str(remote), "\n".join(said)) or dvc_error(f"dvc {word}", said[:1])


def _count(heard: Sequence[str]) -> int:
    return sum(int(found[1]) for line in heard if (found := _COUNT.search(line)))


def _lacks_files(heard: Sequence[str]) -> bool:
    """Tell whether DVC names files that neither side has; it ends well all the same."""
    return any("Missing cache files:" in line for line in heard)


def _to_commit(root: Path) -> list[str]:
    """Return a line that names what a clone needs and Git does not have yet; none without Git."""
    names = (*_BY_GIT, *map(str, left_to_git(root)))
    command = ["git", "status", "--porcelain", "--", *names]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    changed = [line[3:].strip('"') for line in done.stdout.splitlines()]
    if not changed:
        return []
    return [f"For another clone, commit these with Git, and push that too: {', '.join(changed)}"]
