"""``--commit``: settings, locks and small reports of a run, as a commit on a branch of its own.

Git's plumbing makes it from an index of its own, so the branch, the index and the files that a
person works with are never touched, and none of their hooks runs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flows.data_set import data_set
from flows.folds import FILE as FOLDED
from flows.folds import LIFT as OVER_FOLDS
from flows.outs import left_to_git
from flows.project import run_lock
from flows.verdict import LIFT, short
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import LOCKS
from tasks.contracts.params.line import load_params
from tasks.contracts.params.reading import FILE
from tasks.lift.result import LiftResult

BRANCH = "ganlift/nightly"
_REF = f"refs/heads/{BRANCH}"
_AUTHOR = {
    f"GIT_{who}_{what}": told
    for who in ("AUTHOR", "COMMITTER")
    for what, told in (("NAME", "ganlift"), ("EMAIL", "ganlift@localhost"))
}


def see_git(root: Path) -> None:
    """See that a commit can be made, before a run that takes hours.

    Raises:
        UserError: the project is not in Git, or somebody works on `BRANCH`.
    """
    try:
        trees = _git(root, "worktree", "list", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        raise UserError(
            f"--commit in {root}", "this folder is in no Git repository", "Run `git init` there"
        ) from None
    if f"branch {_REF}" in trees.splitlines():
        raise UserError(
            f"--commit to {BRANCH}",
            "this branch is checked out, and its files would no longer be those of its commit",
            "Switch to another branch: `git switch -`",
        )


def commit_night(root: Path) -> str:
    """Commit what Git may hold of the results that stand here, on top of `BRANCH`.

    The commit holds the code of the person's last commit with params.yaml, DVC's locks and the
    reports that DVC does not cache in their present state. Its parents are the commit of the night
    before and, where the code has moved on since, the person's last commit.

    Args:
        root: the project's folder.

    Returns:
        What became of it, one line.

    Raises:
        UserError: as `see_git`, or Git refuses.
    """
    see_git(root)
    with run_lock(root), tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        try:
            return _commit(root, index)
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise UserError(f"--commit to {BRANCH}", said, "Mend that, then run again") from None


def commit_after_run(root: Path) -> str:
    """Commit as `commit_night`; where it cannot, the line says why and the run is complete."""
    try:
        return commit_night(root)
    except UserError as error:
        return f"The run is complete, but was not committed: {error}"


def _commit(root: Path, index: dict[str, str]) -> str:
    head, night = _found(root, "HEAD"), _found(root, _REF)
    _git(root, "read-tree", *([head] if head else ["--empty"]), more=index)
    _git(root, "update-index", "--add", "--", *_files(root), more=index)
    tree = _git(root, "write-tree", more=index)
    if night and _git(root, "rev-parse", f"{night}^{{tree}}") == tree:
        return f"{BRANCH} has this already: nothing to commit."
    parents = [night] if night else []
    if head and not (night and _git(root, "merge-base", head, night, may_fail=True) == head):
        parents.append(head)
    named = [option for parent in parents for option in ("-p", parent)]
    commit = _git(root, "commit-tree", tree, *named, "-m", _message(root), more=_AUTHOR)
    _git(root, "update-ref", "-m", "ganlift --commit", _REF, commit, night or "0" * len(commit))
    return f"Committed as {commit[:12]} on {BRANCH}."


def _files(root: Path) -> Sequence[str]:
    """Return what is committed, but for files that Git is told to ignore."""
    paths = [FILE, *LOCKS, FOLDED, *sorted(left_to_git(root))]
    there = [str(path) for path in paths if (root / path).is_file()]
    ignored = _git(root, "check-ignore", "--", *there, may_fail=True).splitlines()
    return [path for path in there if path not in ignored]


def _message(root: Path) -> str:
    """Return the data set, and what the line found."""
    folds = load_params(root / FILE).ingest.folds
    found = ""
    with suppress(UserError):  # none yet
        found = f" · {short(LiftResult.load(root / (LIFT if folds is None else OVER_FOLDS)))}"
    return f"{data_set(root)}{found}"


def _found(root: Path, name: str) -> str:
    """Return the commit of a name; empty where there is none yet."""
    return _git(root, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}", may_fail=True)


def _git(
    root: Path, *arguments: str, may_fail: bool = False, more: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, **(more or {})},
        capture_output=True,
        text=True,
        check=not may_fail,
    )
    return done.stdout.strip()
