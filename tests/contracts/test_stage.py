from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tasks.contracts import stage
from tests.contracts.tiny import tiny_values

REPOSITORY = Path(__file__).parents[2]
# Named like a stage, so that `params` is that stage's section.
MERGE = '''
from pathlib import Path

from tasks.contracts.errors import UserError
from tasks.contracts.outputs import Explanation, Output
from tasks.contracts.params.merge import MergeParams
from tasks.contracts.stage import stage_main


def run(
    *, train: Path, dataset: str, out_file: Output, why: Explanation, params: MergeParams, seed: int
) -> None:
    """Write what was given."""
    why.write_text(dataset)
    if dataset == "broken":
        raise UserError("dataset", "it is\\nbroken", "Choose another")
    assert isinstance(train, Path)
    out_file.write_text(f"{train} {dataset} {params.synthetic_per_real} {seed}")


if __name__ == "__main__":
    stage_main(run)
'''
ELSEWHERE = """
from typing import Annotated

from tasks.contracts.params.merge import MergeParams
from tasks.contracts.stage import Setting, stage_main


def run(
    *, source: Annotated[str, Setting("ingest.source")], params: MergeParams, seed: int
) -> None:
    print(repr(source), seed)


if __name__ == "__main__":
    stage_main(run)
"""
OPTIONS = ["--train", "data/train", "--out-file", "made.txt", "--why", "why.txt", "--dataset"]


@pytest.fixture
def merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stage module beside a params.yaml, in the working folder."""
    (tmp_path / "merge.py").write_text(MERGE)
    values = tiny_values() | {
        "seed": 7,
        "merge": {"target_per_class": "ratio", "synthetic_per_real": 2.5},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("merge", tmp_path / "merge.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["merge", *options])
    stage.stage_main(module.run)


def test_options_params_and_seed_arrive(merge: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    call(merge, monkeypatch, *OPTIONS, "shapes")
    assert Path("made.txt").read_text() == "data/train shapes 2.5 7"


@pytest.mark.parametrize("options", [[], OPTIONS[:-1], [*OPTIONS, "x", "--params", "y"]])
def test_options_of_another_version_are_refused_in_a_line(
    merge: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(merge, monkeypatch, *options)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: dvc.yaml: ")
    assert said.count("\n") == 1
    assert "another version of ganlift" in said
    assert not Path("made.txt").exists()


def test_a_damaged_params_file_stops_before_the_stage_runs(
    merge: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text("seed: 0\n")
    with pytest.raises(SystemExit) as caught:
        call(merge, monkeypatch, *OPTIONS, "shapes")
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: params.yaml: merge: missing.")
    assert not Path("made.txt").exists()


def test_a_user_error_is_one_line_and_status_1(merge: ModuleType, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "merge.py", *OPTIONS, "broken"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "error: dataset: it is broken. Choose another.\n"
    assert (tmp_path / "why.txt").read_text() == "broken"
    assert not (tmp_path / "made.txt").exists()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$(touch ran)", "'$(touch ran)' 7"),
        (None, "error: params.yaml: ingest.source: missing"),
        (7, "error: params.yaml: ingest.source: it takes text (given: 7)"),
    ],
)
@pytest.mark.usefixtures("merge")
def test_a_value_of_another_section_comes_from_the_file(
    written: object, said: str, tmp_path: Path
) -> None:
    (tmp_path / "merge.py").write_text(ELSEWHERE)
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["ingest"] = {} if written is None else {"source": written}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [sys.executable, "merge.py"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert said in done.stdout + done.stderr
    assert not Path("ran").exists()


def test_another_stages_section_stops_nobody(
    merge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text(
        "{seed: 7, merge: {target_per_class: ratio, synthetic_per_real: 2.5}, retrain: broken}"
    )
    call(merge, monkeypatch, *OPTIONS, "shapes")
    assert Path("made.txt").exists()


@pytest.mark.parametrize("asked", ["1", "0"])
def test_portable_holds_the_instructions_before_anything_is_loaded(
    asked: str, merge: ModuleType, tmp_path: Path
) -> None:
    body = (tmp_path / "merge.py").read_text()
    ask = "print(os.environ.get('ONEDNN_MAX_CPU_ISA'))"
    body = body.replace("why.write_text(dataset)", f"why.write_text(dataset); {ask}")
    (tmp_path / "merge.py").write_text(f"import os\nprint('loaded')\n{body}")
    done = subprocess.run(
        [sys.executable, "merge.py", *OPTIONS, "shapes"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "GANLIFT_PORTABLE": asked},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    held = {"1": ["loaded", "loaded", "AVX2"], "0": ["loaded", "None"]}
    assert done.stdout.split() == held[asked]
