from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.folds import OVER_ALL
from flows.line import STAGES
from flows.reasons import LESS, reason

PARAMS = Path(__file__).parents[2] / "params.yaml"
FAILED = "ERROR: failed to reproduce 'retrain': failed to run: python -m tasks.retrain, exited with"


@pytest.mark.parametrize(
    ("heard", "status"),
    [
        (["half way", f"{FAILED} -9"], 255),
        (["half way", f"{FAILED} 137"], 255),  # a shell stood between
        (["half way"], -9),  # DVC itself
    ],
)
def test_a_kill_names_figures_and_the_setting(heard: list[str], status: int) -> None:
    line = reason("retrain", heard, status, 2_000_000_000)
    assert line.startswith("stage retrain: killed by signal 9; was the memory exhausted? It was ")
    assert "seen to hold 2.0 GB; this machine has" in line
    assert "Lower retrain.batch_size, or set LOKY_MAX_CPU_COUNT" in line


@pytest.mark.parametrize(
    ("heard", "status", "said"),
    [
        ([f"{FAILED} -15"], 255, "stage retrain: ended by signal 15 (SIGTERM). Run it again."),
        (["error: a: b. C.", f"{FAILED} 1"], 255, "a: b. C."),
        (["KeyError: 3", f"{FAILED} 1"], 255, "stage retrain: its command broke off (KeyError: 3)"),
        ([f"{FAILED} 127"], 255, "stage retrain: it broke off (exit status 255)"),
        (["ERROR: no such file."], 255, "stage retrain: no such file. Mend that"),
    ],
)
def test_other_endings_are_told_as_what_they_are(heard: list[str], status: int, said: str) -> None:
    assert reason("retrain", heard, status, 0).startswith(said)


def test_each_stage_has_settings_that_lower_its_memory() -> None:
    assert set(LESS) == {*STAGES, OVER_ALL}
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    for text in LESS.values():
        section, name = text.removeprefix("Lower ").replace(",", "").split()[0].split(".")
        assert name in params[section]
