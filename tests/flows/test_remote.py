from __future__ import annotations

from pathlib import Path

import pytest

from flows import doctor
from flows.remote import add_remote, default_remote
from flows.remote_words import remote_error
from tasks.contracts.errors import UserError
from tests.flows.command_line import command


def test_a_remote_is_set_once_and_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "remote") == 0
    assert "No remote is set" in capsys.readouterr().out
    assert command(monkeypatch, "push") == 1
    assert "`ganlift remote add URL` sets one" in capsys.readouterr().err
    monkeypatch.chdir(project / "data")
    assert command(monkeypatch, "remote", "add", "../../nas") == 0
    nas = (project.parent / "nas").resolve()
    assert str(nas) in capsys.readouterr().out
    assert nas.is_dir()
    assert f"url = {nas}" in (project / ".dvc" / "config").read_text()
    assert command(monkeypatch, "remote") == 0
    assert capsys.readouterr().out == f"storage: {nas} (push and pull use it)\n"
    assert command(monkeypatch, "remote", "add", "s3://bucket/tiles") == 1
    told = capsys.readouterr().err
    assert f"versions go to {nas} already" in told
    assert "`dvc remote remove storage`" in told
    monkeypatch.chdir(project)
    assert doctor.Finding("remote storage", f"{nas} can be reached and read") in doctor.examine(
        project
    )


def test_an_own_server_stands_beside_the_bucket(project: Path) -> None:
    add_remote(project, "s3://bucket/tiles", "https://storage.example.org")
    assert str(default_remote(project)) == "s3://bucket/tiles at https://storage.example.org"


@pytest.mark.parametrize(
    ("url", "endpoint", "said"),
    [
        ("s3://key:s3cret@bucket/a", None, "perhaps a key"),
        ("azure://container/a?sig=s3cret", None, "perhaps a key"),
        ("s3://bucket/a", "https://me:s3cret@storage.example.org", "perhaps a key"),
        ("gs://bucket/a", None, 'package dvc-gs, .* `pip install "ganlift\\[gs\\]"`'),
        ("azure://container/a", None, 'package dvc-azure, .* `pip install "ganlift\\[azure\\]"`'),
        ("ftp://host/a", None, "no kind of remote"),
        ("s3:///a", None, "names no bucket"),
        ("s3://bucket/a", "storage.example.org", "not an address of the web"),
        ("/tmp", "https://storage.example.org", "goes with s3:// alone"),
        ("/gone/away/far", None, "no such folder"),
        (".", None, "lies in the project"),
    ],
)
def test_a_wrong_address_is_refused_and_nothing_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, url: str, endpoint: str | None, said: str
) -> None:
    monkeypatch.setattr("flows.remote.find_spec", lambda module: module == "dvc_s3" or None)
    before = (project / ".dvc" / "config").read_text()
    with pytest.raises(UserError, match=said) as caught:
        add_remote(project, url, endpoint)
    assert "s3cret" not in str(caught.value)
    assert (project / ".dvc" / "config").read_text() == before


def test_remotes_without_a_default_are_named(project: Path) -> None:
    (project / ".dvc" / "config.local").write_text("['remote \"nas\"']\n    url = /tmp\n")
    with pytest.raises(UserError, match="Run `dvc remote default nas`"):
        default_remote(project)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Could not connect to the endpoint URL: http://a", "the server cannot be reached"),
        ("SSL validation failed for https://a", "no secure connection"),
        ("An error occurred (ExpiredToken) when calling", "token has expired"),
        ("[Errno 28] No space left on device: '/mnt'", "no space left"),
        ("Anonymous caller does not have storage.objects.list access", "no access key is set"),
    ],
)
def test_what_a_store_says_has_a_mend(said: str, reason: str) -> None:
    assert reason in str(remote_error("s3://bucket", said))


def test_words_that_are_no_remotes_are_left_to_dvc() -> None:
    assert remote_error("s3://bucket", "ERROR: 'dvc.yaml' is invalid") is None
