"""Where versions of data and models go: DVC's remote, set once and looked at before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.dvc_words import dvc_error
from flows.remote_words import missing_extra, remote_error
from tasks.contracts.errors import UserError

NAME = "storage"
CLOUDS = {"s3": "dvc_s3", "gs": "dvc_gs", "azure": "dvc_azure"}
"""By the scheme of a URL, which ``ganlift[SCHEME]`` names too, the module that reaches it."""
_ADD = "`ganlift remote add URL` sets one: a folder, s3://bucket/path, gs://… or azure://…"
_SECONDS_TO_CONNECT = 10


@dataclass(frozen=True)
class Remote:
    """One place that DVC knows.

    Attributes:
        name: what DVC calls it.
        url: its address: a folder, or ``scheme://bucket/path``.
        endpoint: address of an S3 server that is not Amazon's.
        is_default: whether `push` and `pull` use it.
    """

    name: str
    url: str
    endpoint: str | None
    is_default: bool

    @property
    def scheme(self) -> str:
        """Of its address; empty for a folder."""
        return urlsplit(self.url).scheme if "://" in self.url else ""

    def __str__(self) -> str:
        """Return it as people are shown it."""
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url


def remotes(root: Path) -> list[Remote]:
    """Return every remote of a project, as DVC's files of settings have them.

    Raises:
        UserError: these are not readable.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            default = repo.config["core"].get("remote")
            return [
                Remote(name, str(told["url"]), told.get("endpointurl"), name == default)
                for name, told in repo.config["remote"].items()
            ]
    except DvcException as error:
        raise dvc_error("dvc", str(error).splitlines()) from None


def default_remote(root: Path) -> Remote:
    """Return the one that `push` and `pull` use.

    Raises:
        UserError: there is none.
    """
    known = remotes(root)
    for remote in known:
        if remote.is_default:
            return remote
    if known:
        names = " or ".join(f"`dvc remote default {one.name}`" for one in known)
        raise UserError("remote", "none of those that DVC knows is the default", f"Run {names}")
    raise UserError("remote", "none is set, so versions have nowhere to go", _ADD)


def add_remote(root: Path, url: str, endpoint: str | None) -> Remote:
    """Let versions go to ``url`` from now on: written to ``.dvc/config``, which Git tracks.

    Args:
        root: the project's folder.
        url: a folder, made where only its last part is missing, or ``scheme://bucket/path``.
        endpoint: address of an S3 server that is not Amazon's.

    Raises:
        UserError: the address holds a secret, is of a kind that is not known or not installed, or
            there is a remote already.
    """
    from dvc.repo import Repo

    for address in filter(None, (url, endpoint)):
        _refuse_secrets(address)
    remote = Remote(NAME, url, endpoint, is_default=True)
    _see_kind(remote)
    for one in remotes(root):
        if one.is_default or one.name == NAME:
            raise UserError(
                f"remote {one.name}",
                f"versions go to {one} already",
                f"Forget that with `dvc remote remove {one.name}`, which deletes nothing there, "
                "then add this one",
            )
    if not remote.scheme:
        remote = Remote(NAME, str(_made(root, Path(url))), None, is_default=True)
    with Repo(str(root)) as repo, repo.config.edit("repo") as settings:
        told = {"url": remote.url} | ({"endpointurl": endpoint} if endpoint else {})
        settings.setdefault("remote", {})[NAME] = told
        settings.setdefault("core", {})["remote"] = NAME
    return remote


def see_remote(root: Path, remote: Remote) -> None:
    """See that a remote can be reached and read.

    Raises:
        UserError: says what is amiss with address, network, keys or rights.
    """
    from dvc.repo import Repo

    _see_installed(remote)
    if not remote.scheme:
        if not Path(remote.url).is_dir():
            raise UserError(
                remote.url,
                "it is no folder",
                f"Mount it, or name another: `dvc remote modify {remote.name} url ...`",
            )
        return
    patient: dict[str, Any] = {}
    if remote.scheme == "s3":  # whose client would try for minutes
        patient = {"remote": {remote.name: {"connect_timeout": _SECONDS_TO_CONNECT}}}
    try:
        with Repo(str(root), config=patient) as repo:
            place = repo.cloud.get_remote(name=remote.name)
            # Listed, not asked for one file: only then does a store say what is wrong.
            place.fs.fs.ls(place.path, detail=False)
    except Exception as error:  # of whichever client the remote has
        said = _said(error)
        known = remote_error(str(remote), "\n".join(said))
        if known is None and isinstance(error, FileNotFoundError):
            return  # nothing was pushed there yet
        raise known or UserError(str(remote), said[0], "Mend that, then try again") from None


def _said(error: BaseException) -> list[str]:
    """Return what an error and its causes say, a line each, the outermost first."""
    said: list[str] = []
    one: BaseException | None = error
    while one is not None:
        said.append(" ".join(f"{type(one).__name__} {one}".split()))
        one = one.__cause__ or one.__context__
    return said


def _refuse_secrets(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query or parts.fragment:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise UserError(
            shown,
            "it holds more than a place, perhaps a key, and Git would show it to everybody",
            "Leave that out, and give keys as docs/versions.md says: in the environment, or with "
            "`dvc remote modify --local`",
        )


def _see_kind(remote: Remote) -> None:
    if remote.scheme and remote.scheme not in CLOUDS:
        raise UserError(
            remote.url,
            f"{remote.scheme}:// is no kind of remote that ganlift sets up",
            "Name a folder, s3://, gs:// or azure://; DVC knows others: `dvc remote add --default`",
        )
    if remote.scheme and not urlsplit(remote.url).netloc:
        raise UserError(remote.url, "it names no bucket", f"Write {remote.scheme}://bucket/path")
    if remote.endpoint is not None:
        if remote.scheme != "s3":
            raise UserError("--endpoint-url", "it goes with s3:// alone", "Leave it out")
        if urlsplit(remote.endpoint).scheme not in ("http", "https"):
            raise UserError(
                f"--endpoint-url {remote.endpoint}",
                "not an address of the web",
                "Write it as https://storage.example.org",
            )
    _see_installed(remote)


def _see_installed(remote: Remote) -> None:
    module = CLOUDS.get(remote.scheme)
    if module is not None and find_spec(module) is None:
        raise missing_extra(remote.url, module.replace("_", "-"))


def _made(root: Path, folder: Path) -> Path:
    folder = folder.expanduser().resolve()
    if folder.is_relative_to(root.resolve()):
        raise UserError(
            str(folder),
            "it lies in the project, and what is kept there is lost with it",
            "Name a folder elsewhere, best on another disk",
        )
    if not folder.parent.is_dir():
        raise UserError(
            str(folder.parent), "there is no such folder", "Mount it, or make it: `mkdir -p`"
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "it is a file", "Name a folder")
    folder.mkdir(exist_ok=True)
    return folder
