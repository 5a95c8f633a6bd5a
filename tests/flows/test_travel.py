from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from rich.console import Console

from flows import notify
from flows.remote import add_remote, default_remote, see_remote
from flows.travel import pull, push, push_after_run
from tasks.contracts.errors import UserError
from tasks.contracts.proxies import reach_this_machine_directly
from tests.flows.s3_server import BUCKET, KEYS, S3Server
from tests.flows.sink import Sink

MADE = ("out", "page")
NOBODY = "http://127.0.0.1:9"  # the port of `discard`, which nobody serves


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """An empty S3 server that takes any key, on a machine whose proxy is dead."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    reach_this_machine_directly()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    server.empty()
    return server


def _contents(root: Path) -> dict[str, bytes]:
    files = (file for name in MADE for file in (root / name).rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def _clone(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what Git alone brings to another machine, and enter it."""
    clone = root.parent / "clone"
    left = shutil.ignore_patterns(*MADE, "cache", "tmp", ".ganlift")
    shutil.copytree(root, clone, ignore=left)
    monkeypatch.chdir(clone)
    return clone


def test_a_clone_has_the_same_bytes_after_push_and_pull(
    line: Path, dvc: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(line, str(tmp_path / "nas"), None)
    before = _contents(line)
    assert len(before) == 16
    assert push(line)[0].startswith("pushed ")
    assert push(line) == [f"{tmp_path}/nas has everything already"]
    clone = _clone(line, monkeypatch)
    (clone / "reports" / "lift.json").unlink()
    told = pull(clone)
    assert "16 results were put in place" in told[0]
    assert told[1] == "These come by Git, and are not here: reports/lift.json"
    shutil.copy(line / "reports" / "lift.json", clone / "reports")
    assert _contents(clone) == before
    assert "up to date" in dvc(clone, "status")
    assert pull(clone) == [f"fetched 0 files from {tmp_path}/nas; all results stood in place"]


def test_a_newer_version_replaces_the_one_before_and_never_a_persons_files(
    line: Path, dvc: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(line, str(tmp_path / "nas"), None)
    push(line)
    clone = _clone(line, monkeypatch)
    pull(clone)
    monkeypatch.chdir(line)
    (line / "orders" / "report").write_text("second")
    dvc(line, "repro")
    push(line)
    monkeypatch.chdir(clone)
    shutil.copy(line / "dvc.lock", clone)
    (clone / "out" / "report" / "photo.png").write_text("mine")
    with pytest.raises(UserError, match=r"out/report/photo\.png.*nothing was touched"):
        pull(clone)
    assert (clone / "page" / "report.html").read_text() == "all is well: first"
    (clone / "out" / "report" / "photo.png").unlink()
    assert "2 results were put in place" in pull(clone)[0]
    assert _contents(clone) == _contents(line)


def test_what_neither_side_has_is_no_success(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(line, str(tmp_path / "nas"), None)
    clone = _clone(line, monkeypatch)
    with pytest.raises(UserError, match=r"nas: it lacks files .*`ganlift push`\.$"):
        pull(clone)  # nobody has pushed
    monkeypatch.chdir(line)
    shutil.rmtree(line / ".dvc" / "cache")
    with pytest.raises(UserError, match=r"DVC's cache: it lacks files .*`dvc commit`"):
        push(line)
    (line / "dvc.lock").unlink()
    with pytest.raises(UserError, match=r"dvc\.lock: is not here"):
        push(line)


def test_versions_stay_put_while_a_run_is_at_work(
    line: Path, held_elsewhere: Callable[[Path], AbstractContextManager[int]], tmp_path: Path
) -> None:
    add_remote(line, str(tmp_path / "nas"), None)
    for travel in (push, pull):
        with held_elsewhere(line), pytest.raises(UserError, match="another run is at work"):
            travel(line)


def test_what_git_lacks_for_a_clone_is_named(line: Path, tmp_path: Path) -> None:
    add_remote(line, str(tmp_path / "nas"), None)
    subprocess.run(["git", "init", "--quiet"], cwd=line, check=True)
    (line / ".gitignore").write_text("/reports/*\n")
    (told,) = push(line)[1:]
    assert told.startswith("For another clone, commit these with Git")
    for name in ("dvc.lock", ".dvc/config", "params.yaml"):
        assert name in told
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "add", "--all"], cwd=line, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "-m", "x"], cwd=line, check=True)
    assert len(push(line)) == 1


def test_versions_go_to_s3_and_come_back(line: Path, s3: S3Server, dvc: Callable[..., str]) -> None:
    add_remote(line, f"s3://{BUCKET}/versions", s3.url)
    before = _contents(line)
    assert push(line)[0] == f"pushed 3 files to s3://{BUCKET}/versions at {s3.url}"
    assert len(s3.objects()) == 3  # the stages have made the same
    for gone in (".dvc/cache", ".dvc/tmp", ".ganlift", *MADE):
        shutil.rmtree(line / gone)
    assert "16 results were put in place" in pull(line)[0]
    assert _contents(line) == before
    assert "up to date" in dvc(line, "status")


@pytest.mark.parametrize(
    ("url", "endpoint", "keys", "said"),
    [
        ("s3://tiles/a", None, {"AWS_ACCESS_KEY_ID": "unknown"}, "does not know the access key"),
        ("s3://tiles/a", None, {"AWS_SECRET_ACCESS_KEY": "x"}, "secret key does not belong"),
        ("s3://tiles/a", None, None, "no access key is set"),
        ("s3://other/a", None, {}, "there is no bucket of this name"),
        ("s3://No_Bucket!/a", None, {}, "this cannot be the name of a bucket"),
        ("s3://tiles/a", NOBODY, {}, "the server cannot be reached"),
    ],
)
def test_a_store_that_refuses_is_told_in_a_line(
    line: Path,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    endpoint: str | None,
    keys: dict[str, str] | None,
    said: str,
) -> None:
    writer = s3.key("s3:*")
    s3.ask_for_keys()
    for name, key in (writer | (keys or {})).items():
        monkeypatch.setenv(name, key)
    if keys is None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    add_remote(line, url, endpoint or s3.url)
    with pytest.raises(UserError) as caught:
        see_remote(line, default_remote(line))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{url} at http://127.0.0.1:")


def test_rights_are_told_apart(line: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody, reader = s3.key("s3:GetBucketLocation"), s3.key("s3:List*", "s3:Get*")
    s3.ask_for_keys()
    add_remote(line, f"s3://{BUCKET}/versions", s3.url)
    for keys, said in ((nobody, "has no right to this place"), (reader, "may read here, but not")):
        for name, key in keys.items():
            monkeypatch.setenv(name, key)
        with pytest.raises(UserError, match=said):
            push(line)


def test_a_run_is_complete_though_it_cannot_be_pushed(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Sink()
    notify.set_webhook(line, sink.url)
    add_remote(line, str(tmp_path / "nas"), None)
    assert push_after_run(line, Console()).startswith("pushed ")
    assert sink.got == []
    (tmp_path / "nas").rename(tmp_path / "unmounted")
    push_after_run(line, Console())
    sink.close()
    (told,) = sink.got
    assert told["event"] == "not pushed"
    assert f"not pushed: {tmp_path}/nas: it is no folder" in told["line"]
    assert told["line"] in capsys.readouterr().out


def test_a_flow_pushes_in_the_end_and_ends_well_without_a_remote(
    line: Path, tmp_path: Path, prefect_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.pipeline import pipeline

    assert pipeline("report", push=True) == {"report": "unchanged"}
    assert "were not pushed: remote: none is set" in capsys.readouterr().out
    add_remote(line, str(tmp_path / "nas"), None)
    pipeline("report")
    assert not any((tmp_path / "nas").iterdir())
    pipeline("report", push=True)
    assert any((tmp_path / "nas").rglob("*.dir"))


def test_a_run_with_nothing_to_do_pushes_what_an_earlier_one_could_not(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import prefect_server
    from flows.run import Wishes, run_line

    monkeypatch.setattr(prefect_server, "is_named", lambda: False)
    add_remote(line, str(tmp_path / "nas"), None)
    run_line(line, Wishes(None, (), "merge", "merge", False, push=True))
    assert any((tmp_path / "nas").rglob("*.dir"))
