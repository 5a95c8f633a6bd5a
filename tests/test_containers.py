"""The Dockerfile and the compose file, which no container engine reads in these tests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MLFLOW = ROOT / "mlflow"
SECRETS = ("POSTGRES_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
VERSION = re.compile(r"[\w./\-]+:\d+\.\d+[\w.\-]*")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and what they are given, comments left out."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(given.split())) for name, given in pairs]


def test_the_image_is_of_a_fixed_version_and_runs_as_no_root() -> None:
    steps = instructions()
    (base,) = [given for name, given in steps if name == "FROM"]
    assert VERSION.fullmatch(base)
    (user,) = [given for name, given in steps if name == "USER"]
    assert user not in ("root", "0")
    names = [name for name, _ in steps]
    assert names.index("USER") < names.index("COPY"), "nothing of ours is made by root"


def test_the_steps_of_the_image_are_those_of_make() -> None:
    steps = instructions()
    after = steps[[name for name, _ in steps].index("USER") :]
    (install,) = [given for name, given in after if name == "RUN"]
    target = install.partition(" make ")[2]
    listed = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, listed.stderr
    told = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"\b(pip|curl|wget|ADD)\b", told), "a second list of what is installed"
    (command,) = [given for name, given in steps if name == "CMD"]
    assert command == '["make", "run"]'


def test_what_git_does_not_keep_is_in_no_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    closed = {"mlflow/*", "data/*", "reports/*", ".git", ".venv", ".ganlift", ".dvc/config.local"}
    assert closed <= set(patterns)
    opened = [line[1:] for line in patterns if line.startswith("!")]
    kept = subprocess.run(
        ["git", "check-ignore", *opened, "mlflow/.env"], cwd=ROOT, capture_output=True, text=True
    )
    assert kept.stdout.split() == ["mlflow/.env"], "what is let in is what git keeps"


def test_the_server_is_reached_from_this_machine_alone_and_never_without_passwords() -> None:
    text = (MLFLOW / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for name in (*SECRETS, "ARTIFACTS"):
        assert f"${{{name}:?" in text, f"compose starts without {name}"
    assert "--app-name=basic-auth" in services["server"]["command"]
    assert services["server"]["build"] == ".."
    assert VERSION.fullmatch(services["database"]["image"])
    for file in ("compose.yaml", "auth.ini", "env.example", "server.env"):
        assert not re.search(
            r"(?im)^\s*\w*(password|secret|access_key\w*)[ \t]*[=:][ \t]*[^\s$]",
            (MLFLOW / file).read_text(),
        )
