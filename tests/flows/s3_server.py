"""An S3 server as a process of its own on this machine; it asks for no key until told to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from tasks.contracts.parent import die_with_parent

BUCKET = "tiles"
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything"}


@dataclass(frozen=True)
class S3Server:
    """moto's server: an S3 whose bucket `BUCKET` is there and empty."""

    url: str
    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> S3Server:
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000"},
            preexec_fn=die_with_parent,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                server = cls(found[1], process)
                server.empty()
                return server
        raise AssertionError("moto_server did not start")

    def empty(self) -> None:
        """Forget everything, keys too, and make the bucket anew."""
        self._post("reset-auth", b"1000000")
        self._post("reset", b"")
        self.client("s3", KEYS).create_bucket(Bucket=BUCKET)

    def objects(self) -> list[str]:
        """Return the names of what the bucket holds."""
        found = self.client("s3", KEYS).list_objects_v2(Bucket=BUCKET)
        return [one["Key"] for one in found.get("Contents", [])]

    def key(self, *actions: str) -> dict[str, str]:
        """Return a key that may do these things and no other, as environment variables."""
        iam = self.client("iam", KEYS)
        name = re.sub(r"\W", "", "-".join(actions))
        rule = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return dict(zip(KEYS, (made["AccessKeyId"], made["SecretAccessKey"]), strict=True))

    def ask_for_keys(self) -> None:
        """From now on look at keys and rights."""
        self._post("reset-auth", b"0")

    def client(self, service: str, keys: dict[str, str]) -> Any:
        access, secret = keys.values()
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _post(self, word: str, content: bytes) -> None:
        url = f"{self.url}/moto-api/{word}"
        httpx.post(url, content=content, trust_env=False).raise_for_status()
