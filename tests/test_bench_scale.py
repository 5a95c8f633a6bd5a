"""The bench of scale runs the stages by their commands in dvc.yaml and says what an image costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench import scale
from tasks.contracts.params.line import parse_params


def told(printed: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in printed.splitlines()
        if line.startswith("| generate")
    ]


def test_a_stage_runs_on_a_made_up_pool_and_its_cost_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scale.main(["--sizes", "60", "--classes", "3", "--real", "120", "--stages", "generate"])
    ((_, classes, pool, seconds, cpu, ratio, added, *memory),) = told(capsys.readouterr().out)
    assert (classes, pool) == ("3", "60")
    assert float(seconds) > 0
    assert float(cpu) > 0
    assert (ratio, added, memory[2:]) == ("1.00", "", ["1.00", ""])
    assert all(float(cell) > 0 for cell in memory[:2])


def test_an_added_image_is_told_without_what_a_stage_costs_at_any_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: str, folder: Path) -> scale.Cost:
        values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        pool = 3 * values["generate"]["per_class"]
        return scale.Cost(9.0, 6.0 + 0.001 * pool, 10**9 + 2000 * pool)

    monkeypatch.setattr(scale, "run_stage", run)
    scale.main(["--sizes", "60,120", "--classes", "3", "--real", "120", "--stages", "generate"])
    first, again = told(capsys.readouterr().out)
    assert [first[2], again[2]] == ["60", "120"]
    assert (float(again[4]), again[5]) == (51000, "0.50")
    assert (again[6], again[10]) == ("1000", "2000")


@pytest.mark.parametrize("classes", scale.CLASSES)
def test_its_settings_are_valid_at_every_size(classes: int) -> None:
    values = yaml.safe_load((scale.ROOT / "params.yaml").read_text(encoding="utf-8"))
    for pool in scale.SIZES:
        changed = scale.settings(classes, max(scale.REAL, 12 * classes), pool)
        params = parse_params(
            {name: values[name] | changed.get(name, {}) for name in values if name != "seed"}
            | {"seed": 0}
        )
        assert params.generate.per_class * classes == pool


def test_a_stage_that_fails_ends_the_bench_with_its_words(tmp_path) -> None:
    scale.write_params(tmp_path, scale.settings(3, 120, 60))
    with pytest.raises(SystemExit, match=r"(?s)is missing.*merge failed in"):
        scale.run_stage("merge", tmp_path)
