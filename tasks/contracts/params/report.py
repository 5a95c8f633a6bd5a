"""The section ``report`` of ``params.yaml``: the rule of the verdict."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.contracts.arms import ARMS
from tasks.contracts.nearest import nearest
from tasks.contracts.params.sections import NonNegative, Section

METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "log_loss")
RECALL = "recall:"  # and the name of a class
STRONGEST = "strongest"


class ReportParams(Section):
    """The rule of the verdict, declared before the result is seen.

    Attributes:
        primary_metric: one of `METRICS`, or ``recall:CLASS``.
        baseline: an arm, or ``strongest``: the arm without synthetic images that is best on
            real/val.
    """

    primary_metric: str
    baseline: str
    treatment: str
    level: Annotated[float, Field(ge=0.5, lt=1.0)]
    smallest_lift_pp: NonNegative
    resamples: int = Field(ge=2000)

    @field_validator("primary_metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS and not (name.startswith(RECALL) and len(name) > len(RECALL)):
            raise ValueError(_none_of("", name, (*METRICS, f"{RECALL}CLASS")))
        return name

    @model_validator(mode="after")
    def _check(self) -> ReportParams:
        if self.baseline not in (STRONGEST, *ARMS):
            raise ValueError(_none_of("baseline", self.baseline, (STRONGEST, *ARMS)))
        if self.treatment not in ARMS:
            raise ValueError(_none_of("treatment", self.treatment, ARMS))
        if self.baseline == self.treatment:
            raise ValueError(f"baseline and treatment are both {self.baseline!r}")
        return self


def _none_of(key: str, given: str, names: tuple[str, ...]) -> str:
    near = nearest(given, names)
    told = f"{key} {given!r} is none of {', '.join(names)}".lstrip()
    return f"{told}; the nearest is {near}" if near else told
