"""What a store of versions says when it refuses, in one line that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.contracts.boundary import disk_error_said
from tasks.contracts.errors import UserError

_KEYS = "docs/versions.md says where keys belong"
# In the order in which they are tried.
_SAID: Sequence[tuple[str, str, str]] = (
    (
        r"NoSuchBucket|specified bucket does not exist|bucket does not exist|ContainerNotFound|"
        r"specified container does not exist",
        "there is no bucket of this name",
        "Make it there, or correct the address",
    ),
    (
        r"Invalid bucket name",
        "this cannot be the name of a bucket",
        "Correct the address: lower-case letters, digits, dots and hyphens",
    ),
    (
        r"InvalidAccessKeyId|does not exist in our records",
        "the store does not know the access key",
        f"Set the right one; {_KEYS}",
    ),
    (
        r"SignatureDoesNotMatch|signature we calculated does not match",
        "the secret key does not belong to the access key",
        f"Set the right one; {_KEYS}",
    ),
    (
        r"ExpiredToken|token (?:has|included in the request is) expired",
        "the session's token has expired",
        "Log in to the cloud again",
    ),
    (
        r"Unable to locate credentials|NoCredentials|DefaultCredentialsError|Anonymous caller|"
        r"default credentials were not found|must provide either a connection_string",
        "no access key is set",
        f"Set one; {_KEYS}",
    ),
    (
        r"SSL|CERTIFICATE_VERIFY_FAILED",
        "no secure connection can be made",
        "See that the address begins with http:// where the server has no certificate, or have "
        "the environment name it: AWS_CA_BUNDLE",
    ),
    (
        r"Could not connect to the endpoint|Cannot connect to host|Connect(?:ion)? ?[Tt]ime|"
        r"[Rr]ead [Tt]imeout|Name or service not known|Connection (?:refused|was closed|reset)|"
        r"Max retries exceeded",
        "the server cannot be reached",
        "See to the network, the address and the server, then try again",
    ),
    (
        r"(?:AccessDenied|Forbidden)\b.*(?:PutObject|MultipartUpload|UploadPart)|"
        r"AuthorizationPermissionMismatch|storage\.objects\.create",
        "the key may read here, but not write",
        "Ask whoever runs the store for the right to write, or use another key",
    ),
    (
        r"AccessDenied|Access Denied|Forbidden|\b403\b|AuthorizationFailure|PermissionDenied",
        "the key has no right to this place",
        "Ask whoever runs the store for it, or use another key",
    ),
)


def remote_error(remote: str, said: str) -> UserError | None:
    """Return what a person is told; None where it is not a remote that speaks.

    Args:
        remote: its address, without secrets.
        said: the lines of DVC or of the store's client.
    """
    for pattern, reason, mend in _SAID:
        if re.search(pattern, said):
            return UserError(remote, reason, mend)
    return disk_error_said(said, remote)


def missing_extra(remote: str, package: str) -> UserError:
    """Return what a person is told where a package of DVC is not installed: ``dvc-s3``."""
    extra = package.removeprefix("dvc-")
    return UserError(
        remote,
        f"this needs the package {package}, which is not installed",
        f'Install it into this environment: `pip install "ganlift[{extra}]"`',
    )
