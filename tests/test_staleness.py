"""A stage is stale when what decides its bytes has changed, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest
import yaml

from bench.staleness import code_deps, stale_stages
from flows.line import STAGES

ROOT = Path(__file__).parents[1]
# What stages import and what decides none of their bytes, with the reason.
DECIDES_NOTHING = {
    "tasks.contracts.boundary": "words of a refusal",
    "tasks.contracts.cluster": "where work is done",
    "tasks.contracts.errors": "words of a refusal",
    "tasks.contracts.fork_server": "where processes come from",
    "tasks.contracts.gate": "two constant words, passed and refused",
    "tasks.contracts.ground": "refuses or lets pass",
    "tasks.contracts.kept": "finds what is finished, by keys that hold all that decides it",
    "tasks.contracts.killed": "words of an end, and the memory that there is",
    "tasks.contracts.machine": "tells the processor; how it rounds is not in the code",
    "tasks.contracts.outputs": "puts outputs in place",
    "tasks.contracts.parent": "when a process ends",
    "tasks.contracts.params.reading": "reads settings, which DVC compares by value",
    "tasks.contracts.params.sections": "refuses wrong settings",
    "tasks.contracts.proxies": "how other machines are reached",
    "tasks.contracts.progress": "what is shown meanwhile",
    "tasks.contracts.stage": "how a stage is started",
    "tasks.contracts.workers": "where work is done",
    "tasks.adapters.tracking": "logs what is there",
}


@pytest.fixture(scope="module")
def deps() -> dict[str, list[str]]:
    return code_deps(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("flows", "tasks", cache_dir=None)


def _file(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _decides(module: str) -> bool:
    return not any(module == one or module.startswith(f"{one}.") for one in DECIDES_NOTHING)


def _reached(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """Modules that a stage imports, not through what decides nothing."""
    reached, front = set[str](), {f"tasks.{stage}"}
    while front:
        module = front.pop()
        reached.add(module)
        front |= {
            other
            for other in graph.find_modules_directly_imported_by(module)
            if _decides(other) and other not in reached
        }
    return reached


def _templates() -> list[Path]:
    return sorted((ROOT / "tasks").rglob("*.j2"))


def _reasons(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """Files that decide a stage's bytes: its modules, and the templates that they name."""
    modules = [_file(module) for module in _reached(graph, stage)]
    texts = [module.read_text(encoding="utf-8") for module in modules]
    templates = [t for t in _templates() if any(t.name in text for text in texts)]
    for page in templates:  # grows while it is gone through: includes of includes
        text = page.read_text(encoding="utf-8")
        templates += [t for t in _templates() if t.name in text and t not in templates]
    files = {*modules, *templates}
    return {str(file.relative_to(ROOT)) for file in files if file.stat().st_size > 0}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_what_decides_its_bytes_and_on_no_more(
    stage: str, deps: dict[str, list[str]], graph: grimp.ImportGraph
) -> None:
    code = [path for path in (ROOT / "tasks").rglob("*") if path.suffix in (".py", ".j2")]
    files = {str(file.relative_to(ROOT)) for file in code if file.stat().st_size > 0}
    listed = {file for file in files if stage in stale_stages(file, deps)}
    reasons = _reasons(graph, stage)
    assert reasons - listed == set(), f"an edit would not make {stage} stale"
    assert listed - reasons == set(), f"an edit would make {stage} stale for nothing"


@pytest.mark.parametrize(
    ("touched", "stale"),
    [
        ("tasks/contracts/params/report.py", {"report"}),
        ("tasks/contracts/params/quality_filter.py", {"quality_filter"}),
        ("tasks/contracts/params/retrain.py", {"retrain"}),
        ("tasks/contracts/params/merge.py", {"generate", "merge"}),
        ("tasks/contracts/errors.py", set()),
        ("tasks/contracts/progress.py", set()),
        ("tasks/contracts/stage.py", set()),
        ("tasks/adapters/tracking/gan.py", set()),
        ("tasks/adapters/tracking/pipeline.py", set()),
        ("tasks/answer/words.py", {"report"}),
        ("tasks/lift/intervals.py", {"report"}),
        ("tasks/contracts/image_set.py", set(STAGES)),
        ("tasks/train_gan.py", {"train_gan"}),
    ],
)
def test_an_edit_runs_again_what_it_decides(
    touched: str, stale: set[str], deps: dict[str, list[str]]
) -> None:
    assert (ROOT / touched).is_file()
    assert set(stale_stages(touched, deps)) == stale


def test_an_edited_word_or_curve_trains_no_gan(deps: dict[str, list[str]]) -> None:
    rooms = ("tasks/answer", "tasks/lift", "tasks/adapters")
    for file in (path for room in rooms for path in (ROOT / room).rglob("*.py")):
        assert "train_gan" not in stale_stages(str(file.relative_to(ROOT)), deps)


def test_each_exception_is_there(graph: grimp.ImportGraph) -> None:
    assert set(DECIDES_NOTHING) <= graph.modules
