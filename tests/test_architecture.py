"""The plan of the code, held in place: names in step, the sealed test split, covered deps."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import grimp
import pytest
import yaml

from flows.folds import OVER_ALL, folded
from flows.line import STAGES
from tasks.contracts.params.line import Params, load_params
from tasks.contracts.stage import Setting

ROOT = Path(__file__).parents[1]
SEALED = "data/real/test"
READS_SEALED = {"validate", "retrain", "report"}
WRITES_SEALED = {"ingest"}


def _plain(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{([\w.]+)\}", lambda match: variables[match[1]], text)


def _paths(entries: list[Any], variables: dict[str, str]) -> list[str]:
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [_plain(name, variables) for name in names]


@pytest.fixture(scope="session")
def line() -> dict[str, dict[str, Any]]:
    """``dvc.yaml`` with its variables put in: stage → cmd, deps, outs (also metrics, plots)."""
    file = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    paths = {f"path.{key}": value for key, value in file["vars"][0]["path"].items()}
    variables = paths | {"ingest.source": load_params(ROOT / "params.yaml").ingest.source}
    return {
        name: {
            "cmd": shlex.split(_plain(stage["cmd"], paths)),  # no setting: a shell reads it
            "deps": _paths(stage["deps"], variables),
            "params": stage["params"],
            "outs": [
                path
                for kind in ("outs", "metrics", "plots")
                for path in _paths(stage.get(kind, []), variables)
            ],
        }
        for name, stage in file["stages"].items()
    }


@pytest.fixture(scope="session")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("flows", "tasks", cache_dir=None)


def _overlap(first: str, second: str) -> bool:
    return Path(first).is_relative_to(second) or Path(second).is_relative_to(first)


def _source(module: str) -> Path:
    file = ROOT / (module.replace(".", "/") + ".py")
    return file if file.is_file() else ROOT / module.replace(".", "/") / "__init__.py"


def _code(*rooms: str) -> list[Path]:
    return [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]


def test_the_eight_names_are_in_step_and_in_order(line: dict[str, dict[str, Any]]) -> None:
    modules = {file.stem for file in (ROOT / "tasks").glob("*.py")} - {"__init__"}
    assert modules == {*STAGES, OVER_ALL}  # which a cross-validation alone has
    assert tuple(line) == STAGES
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert tuple(params) == ("seed", *STAGES)
    types = {name: field.type for name, field in Params.__dataclass_fields__.items()}
    assert tuple(types) == ("seed", *STAGES)
    for stage in STAGES:
        words = "".join(word.capitalize() for word in stage.split("_"))
        assert types[stage] == f"{words}Params"
        assert line[stage]["params"][:2] == ["seed", stage]


@pytest.mark.parametrize("stage", STAGES)
def test_what_run_takes_is_what_the_command_gives(
    stage: str, line: dict[str, dict[str, Any]]
) -> None:
    run = importlib.import_module(f"tasks.{stage}").run
    hints = get_type_hints(run, include_extras=True)
    assert all(
        parameter.kind is parameter.KEYWORD_ONLY
        for parameter in inspect.signature(run).parameters.values()
    )
    settings = {
        name: mark.key
        for name, hint in hints.items()
        for mark in get_args(hint)
        if isinstance(mark, Setting)
    }
    module, *options = line[stage]["cmd"][4:]
    assert line[stage]["cmd"][:4] == ["exec", "sh", "tasks/python.sh", "-m"]
    assert module == f"tasks.{stage}"
    given = [option.removeprefix("--").replace("-", "_") for option in options[::2]]
    assert sorted([*given, *settings, "params", "return", "seed"]) == sorted(hints)
    # a setting that a stage reads makes it stale: by its own section, or listed beside that
    elsewhere = {key for key in settings.values() if not key.startswith(f"{stage}.")}
    assert line[stage]["params"] == ["seed", stage, *sorted(elsewhere)]


def test_every_path_of_a_command_is_declared(line: dict[str, dict[str, Any]]) -> None:
    for stage, block in line.items():
        given = dict(zip(block["cmd"][5::2], block["cmd"][6::2], strict=True))
        assert given.pop("--fold", "0") == "0"
        for path in given.values():
            declared = any(Path(path).is_relative_to(p) for p in block["deps"] + block["outs"])
            assert declared, f"{stage} uses {path}, which dvc.yaml does not tell"


def test_every_input_that_is_made_is_made_before(line: dict[str, dict[str, Any]]) -> None:
    made: list[str] = []
    for stage in STAGES:
        for path in line[stage]["deps"]:
            if path.startswith(("data/real", "data/synthetic", "data/merged", "models", "reports")):
                assert path in made, f"{stage} reads {path} before it is made"
        made += line[stage]["outs"]


def test_the_test_split_is_sealed(
    line: dict[str, dict[str, Any]], imports: grimp.ImportGraph
) -> None:
    reads = {s for s in STAGES if any(_overlap(path, SEALED) for path in line[s]["deps"])}
    writes = {s for s in STAGES if any(_overlap(path, SEALED) for path in line[s]["outs"])}
    named = {s for s in STAGES if any(_overlap(word, SEALED) for word in line[s]["cmd"])}
    assert (reads, writes) == (READS_SEALED, WRITES_SEALED)
    assert named == READS_SEALED | WRITES_SEALED
    # the report shows judged images: nothing stands behind it that could choose by them
    for stage in set(STAGES) - {"report"}:
        assert not any(_overlap(d, o) for d in line[stage]["deps"] for o in line["report"]["outs"])
    for stage in set(STAGES) - named:
        for module in {f"tasks.{stage}"} | imports.find_upstream_modules(f"tasks.{stage}"):
            text = _source(module).read_text(encoding="utf-8")
            assert "real/test" not in text, f"{stage} can reach {module}, which names {SEALED}"


def test_each_fold_seals_its_own_test_split_and_reads_no_other_fold() -> None:
    file = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    stages = folded(file, 3)["stages"]
    assert set(stages) == {*STAGES, OVER_ALL}
    reads, writes = set(), set()
    for name in STAGES:
        assert stages[name]["foreach"] == [1, 2, 3]
        block = {key: value for key, value in stages[name]["do"].items() if key != "wdir"}
        own = "folds/${item}/"
        as_written = {name: f"${{{name}}}" for name in ("item", "ingest.source")}
        assert set(re.findall(r"\$\{([\w.]+)\}", block["cmd"])) == {"item"}  # a shell reads it
        for path in _paths(block["deps"], as_written):
            assert path.startswith((own, "tasks/", "${ingest.source}")), f"{name} reads {path}"
            reads |= {name} if _overlap(path, f"{own}{SEALED}") else set()
        for kind in ("outs", "metrics", "plots"):
            for path in _paths(block.get(kind, []), as_written):
                assert path.startswith(own), f"{name} writes {path}"
                writes |= {name} if _overlap(path, f"{own}{SEALED}") else set()
    assert (reads, writes) == (READS_SEALED, WRITES_SEALED)
    read_last = [path for path in stages[OVER_ALL]["deps"] if not path.startswith("tasks/")]
    assert {path.split("/")[1] for path in read_last} == {"1", "2", "3"}
    assert all(path.split("/")[2] == "reports" for path in read_last)


def test_no_name_shadows_a_tool_or_a_room() -> None:
    store = ROOT / "mlflow" / "artifacts"  # models logged by a run bring their code
    assert not [one for one in (ROOT / "mlflow").rglob("*.py") if store not in one.parents]
    assert not list((ROOT / "tests").rglob("__init__.py"))
    for shadow in ("tests/tasks", "flows/tasks.py", "flows/mlflow.py", "flows/prefect.py"):
        assert not (ROOT / shadow).exists()
    tests = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert len(tests) == len(set(tests))


def test_prefects_server_starts_beside_the_pinned_fastapi(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import prefect.server.api.server"],
        env={"PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("rooms", "limit"), [(("flows", "tasks", "bench"), 400), (("tests",), 400)]
)
def test_files_stay_short(rooms: tuple[str, ...], limit: int) -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in _code(*rooms)}
    assert {file: lines for file, lines in lengths.items() if lines > limit} == {}


def test_nothing_unpickles() -> None:
    banned = re.compile(
        r"\b(pickle|joblib|cloudpickle|dill)\.loads?\b|allow_pickle\s*=\s*True"
        r"|weights_only\s*=\s*False|\btorch\.load\((?!.*weights_only=True)|\bread_pickle\b"
    )
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in _code("flows", "tasks", "bench")
        for line in file.read_text(encoding="utf-8").splitlines()
        if banned.search(line)
    ]
    assert found == []


def test_the_lock_pins_by_hash_and_holds_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, flags=re.MULTILINE), "options choose a registry"
    wanted = [part for part in re.split(r"^(?=[\w.\-]+)", text, flags=re.MULTILINE) if part.strip()]
    loose = [part.split()[0] for part in wanted if "==" not in part or "--hash=sha256:" not in part]
    assert loose == []
