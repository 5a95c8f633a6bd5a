"""The bench of scale runs the stages by their commands in dvc.yaml and says what an image costs."""

from __future__ import annotations

import pytest
import yaml

from bench import scale
from tasks.contracts.params.line import parse_params


def test_the_stages_run_on_made_up_pools_and_their_cost_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scale.main(["--sizes", "60,120", "--classes", "3", "--real", "120", "--stages", "generate"])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| generate")
    ]
    assert [row[:3] for row in rows] == [["generate", "3", "60"], ["generate", "3", "120"]]
    (_, _, _, seconds, cpu, ratio, added, *memory), again = (row for row in rows)
    assert float(seconds) > 0
    assert float(cpu) > 0
    assert (ratio, added, memory[2:]) == ("1.00", "", ["1.00", ""])
    assert 0 < float(again[5]) < 1.5  # most of so few is what a stage costs at any size
    assert all(float(cell) > 0 for cell in memory[:2])


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
