"""`--commit`: a commit on a branch of its own, and nothing that a person works with is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.nightly_commit import BRANCH, commit_after_run, commit_night, see_git
from tasks.contracts.errors import UserError
from tests.flows.command_line import command
from tests.flows.versioned import git


def test_a_night_is_committed_and_the_person_sees_nothing_of_it(versioned: Path) -> None:
    (versioned / "stage.py").write_text("# at work on this")
    (versioned / "notes").write_text("mine")
    git(versioned, "add", "notes")
    seen = (git(versioned, "status", "--porcelain"), git(versioned, "rev-parse", "HEAD"))
    said = commit_night(versioned)
    assert (git(versioned, "status", "--porcelain"), git(versioned, "rev-parse", "HEAD")) == seen
    assert git(versioned, "rev-parse", BRANCH)[:12] in said
    changed = git(versioned, "diff", "--name-only", "HEAD", BRANCH).splitlines()
    assert changed == ["dvc.lock", "params.yaml", "reports/ingest.json", "reports/lift.json"]
    for name in changed:
        committed = git(versioned, "show", f"{BRANCH}:{name}")
        assert committed == (versioned / name).read_text().strip()
    assert git(versioned, "rev-parse", f"{BRANCH}^") == git(versioned, "rev-parse", "HEAD")
    assert git(versioned, "log", "-1", "--format=%an: %s", BRANCH) == "ganlift: images"


def test_nights_stand_one_on_another_and_follow_the_code(
    versioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_night(versioned)
    first = git(versioned, "rev-parse", BRANCH)
    assert "nothing to commit" in commit_night(versioned)
    assert git(versioned, "rev-parse", BRANCH) == first
    assert command(monkeypatch, "checkout", "latest~1") == 0
    commit_night(versioned)
    assert git(versioned, "rev-parse", f"{BRANCH}^") == first
    (versioned / "new.py").write_text("# code")
    git(versioned, "add", "new.py")
    git(versioned, "commit", "--quiet", "--message", "code")
    second = git(versioned, "rev-parse", BRANCH)
    commit_night(versioned)
    parents = git(versioned, "log", "-1", "--format=%P", BRANCH).split()
    assert parents == [second, git(versioned, "rev-parse", "HEAD")]
    assert git(versioned, "show", f"{BRANCH}:new.py") == "# code"


def test_a_branch_that_is_checked_out_is_refused(versioned: Path) -> None:
    commit_night(versioned)
    git(versioned, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    before = git(versioned, "rev-parse", BRANCH)
    with pytest.raises(UserError, match="this branch is checked out"):
        commit_night(versioned)
    assert "complete, but was not committed: " in commit_after_run(versioned)
    assert git(versioned, "rev-parse", BRANCH) == before


def test_without_git_it_says_so_before_anything_runs(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(versioned / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(versioned.parent))
    with pytest.raises(UserError, match="in no Git repository"):
        see_git(versioned)
    assert command(monkeypatch, "run", "--commit") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_repository_without_a_commit_gets_its_first_one(versioned: Path) -> None:
    shutil.rmtree(versioned / ".git")
    git(versioned, "init", "--quiet", "--initial-branch=main")
    commit_night(versioned)
    assert git(versioned, "log", "--format=%P", BRANCH) == ""
    assert "params.yaml" in git(versioned, "ls-tree", "--name-only", BRANCH).splitlines()
