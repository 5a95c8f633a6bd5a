"""What a person is told when MLflow, or what it stands on, does not do as asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_AWAY = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "EndpointConnectionError")
_DATABASE_AWAY = ("connection to server", "could not translate host name")  # as libpq says it
_REFUSED = ("password authentication failed", "no password supplied")
_EXTRAS = {"boto3": "s3", "botocore": "s3", "psycopg2": "postgres"}  # package -> extra of ganlift
_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/]*@")
_USER = "MLFLOW_TRACKING_USERNAME"
LONGEST = 200  # characters of a library's own words


def shown(address: str) -> str:
    """Return text with the passwords in its addresses hidden."""
    return _PASSWORD.sub(r"\1:***@", address)


def explain(uri: str, error: BaseException) -> str:
    """Say on one line what failed: the way there, who asked, what is missing, or the call."""
    where = shown(uri)
    if name := _missing(error):
        return f"{where} cannot be used, because {name} is not installed"
    if _database_refuses(error):
        return f"{where} does not accept this user and password"
    match _status(error):
        case 401 if _USER in os.environ:
            return f"{where} does not accept this user and password"
        case 401:
            return f"{where} asks for a user and a password"
        case 403:
            return f"{where} does not allow this to {os.environ.get(_USER, 'this user')}"
    if _no_tls(error):
        return f"there is no connection with a trusted certificate to {where}"
    if unreachable(error):
        return f"cannot reach {where}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(f"cannot log to {uri} ({lines[0][:LONGEST]})")


def mend_for(error: BaseException) -> str:
    """Return what to do about it, as the beginning of a sentence."""
    if name := _missing(error):
        return f"Install it (`pip install 'ganlift[{_EXTRAS[name]}]'`)"
    if _database_refuses(error):
        return "Set PGPASSWORD"
    match _status(error):
        case 401:
            return f"Set {_USER} and MLFLOW_TRACKING_PASSWORD"
        case 403:
            return "Ask who runs the server for the permission"
    if _no_tls(error):
        return "Look whether the address begins with http:// or https://, and at the certificate"
    return "Start the server" if unreachable(error) else "Mend that"


def unreachable(error: BaseException) -> bool:
    """Tell a failed connection, whatever it is wrapped in, from a refused call."""
    return any(
        type(one).__name__ in _AWAY
        or (type(one).__name__ == "OperationalError" and any(s in str(one) for s in _DATABASE_AWAY))
        for one in _chain(error)
    ) and not any("FATAL" in str(one) for one in _chain(error))


def _database_refuses(error: BaseException) -> bool:
    return any(text in str(one) for one in _chain(error) for text in _REFUSED)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _missing(error: BaseException) -> str | None:
    """Return the package of one of our extras that could not be imported, if that failed."""
    found = (one.name for one in _chain(error) if isinstance(one, ModuleNotFoundError))
    return next((name for name in found if name in _EXTRAS), None)


def _status(error: BaseException) -> int | None:
    """Return 401 or 403 where the server refused the user."""
    for one in _chain(error):
        code = getattr(one, "error_code", None)
        status = getattr(getattr(one, "response", None), "status_code", None)
        if code == "UNAUTHENTICATED" or status == 401:
            return 401
        if code == "PERMISSION_DENIED" or status == 403:
            return 403
    return None


def _no_tls(error: BaseException) -> bool:
    return any(type(one).__name__ == "SSLError" for one in _chain(error))
