"""The plan of the code, held in place: names in step, the sealed test split, covered deps."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from flows.folds import OVER_ALL, folded
from flows.pipeline import STAGES
from tasks.contracts.params.line import Params, load_params

ROOT = Path(__file__).parents[1]
SEALED = "data/real/test"
READS_SEALED = {"validate", "retrain", "report"}
WRITES_SEALED = {"ingest"}


def _plain(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{([\w.]+)\}", lambda match: variables.get(match[1], match[0]), text)


def _paths(entries: list[Any], variables: dict[str, str]) -> list[str]:
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [_plain(name, variables) for name in names]


def _settings() -> dict[str, str]:
    """Return the settings that commands name, beside paths."""
    params = load_params(ROOT / "params.yaml")
    return {
        "ingest.source": params.ingest.source,
        "merge.target_per_class": str(params.merge.target_per_class),
        "merge.synthetic_per_real": str(params.merge.synthetic_per_real),
    }


@pytest.fixture(scope="session")
def line() -> dict[str, dict[str, Any]]:
    """``dvc.yaml`` with its variables put in: stage → cmd, deps, outs (also metrics, plots)."""
    file = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    variables = {f"path.{key}": value for key, value in file["vars"][0]["path"].items()}
    variables |= _settings()
    return {
        name: {
            "cmd": shlex.split(_plain(stage["cmd"], variables)),
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
        assert line[stage]["params"] == ["seed", stage]


@pytest.mark.parametrize("stage", STAGES)
def test_what_run_takes_is_what_the_command_gives(
    stage: str, line: dict[str, dict[str, Any]]
) -> None:
    tree = ast.parse(_source(f"tasks.{stage}").read_text(encoding="utf-8"))
    (run,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run"]
    taken = [argument.arg for argument in run.args.kwonlyargs]
    assert not run.args.args, "run takes keywords alone"
    assert taken[-2:] == ["params", "seed"]
    python, flag, module, *options = line[stage]["cmd"]
    assert (python, flag, module) == ("python", "-m", f"tasks.{stage}")
    given = [option.removeprefix("--").replace("-", "_") for option in options[::2]]
    assert sorted(given) == sorted(taken[:-2])


def test_every_path_of_a_command_is_declared(line: dict[str, dict[str, Any]]) -> None:
    settings = {*_settings().values(), "0"}  # the fold of a line that has none
    for stage, block in line.items():
        for path in block["cmd"][4::2]:
            declared = any(Path(path).is_relative_to(p) for p in block["deps"] + block["outs"])
            assert declared or path in settings, (
                f"{stage} uses {path}, which dvc.yaml does not tell"
            )


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
        for path in _paths(block["deps"], _settings()):
            assert path.startswith((own, "tasks/", "data/embedded/")), f"{name} reads {path}"
            reads |= {name} if _overlap(path, f"{own}{SEALED}") else set()
        for kind in ("outs", "metrics", "plots"):
            for path in _paths(block.get(kind, []), {}):
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
