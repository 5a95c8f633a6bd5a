"""``lift.json``: everything that was found, as one model, schema ``ganlift/lift/5``.

`docs/lift.schema.json` is its schema, `tasks.lift.parts` what it is made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tasks.contracts.errors import UserError
from tasks.lift.parts import (
    ArmContrast,
    ArmResult,
    BaselineChoice,
    Classifier,
    ClassResult,
    Digests,
    Estimate,
    Floor,
    FoldLift,
    GanFlags,
    ImageCounts,
    Lift,
    Measured,
    MoreReal,
    NoiseSpread,
    Part,
    RarestClasses,
    Rounded,
    Rule,
    SeedPair,
    Seeds,
    Settle,
    Verdict,
    Worth,
)
from tasks.lift.sharing import Sharing

_MEND = "Run `ganlift run`, which makes it anew"


class LiftResult(Part):
    """The result of a whole run.

    Attributes:
        answer: the answer in one sentence, and `advice` what to do about it in another; both
            come from `tasks.answer.words` and are empty before.
        gan_luck: the interval covers the luck of the GANs.
        power: of the design at a true lift of `mde_pp`.
        settle: None where the verdict is settled, or the mean too small to matter.
        filter_lift_pp: filtered minus unfiltered, the filter's own part, if both arms ran.
        arm_lift_pp: every other arm minus the baseline. Exploratory: no claim rests on them.
        comparisons: the secondary ones.
        floors: by metric, what a classifier reaches that never looks at an image.
        majority_class: the one with the most real training images.
        rarest: None where no class has twice the real training images of another.
        folds: of a cross-validation, whose results this one puts together; empty for one split.
        sharing: whether the GANs and their images may be shared; None in results of versions
            that did not ask.
        arms: those that were compared; fractions of the real images stand in `worth` alone.
    """

    schema_: Literal["ganlift/lift/5"] = Field("ganlift/lift/5", alias="schema")
    verdict: Verdict
    answer: str = ""
    advice: str = ""
    primary_metric: str
    metric_name: str
    unit: str
    baseline: str
    baseline_choice: BaselineChoice
    treatment: str
    lift_pp: Lift
    noise_pp: NoiseSpread
    gan_luck: bool
    rule: Rule
    power: float
    mde_pp: Rounded
    settle: Settle | None
    filter_lift_pp: Estimate | None
    arm_lift_pp: dict[str, Estimate]
    comparisons: tuple[ArmContrast, ...]
    mcnemar: tuple[SeedPair, ...]
    floors: dict[str, Floor]
    majority_class: str
    rarest: RarestClasses | None
    arms: dict[str, ArmResult]
    worth: Worth | None
    more_real: MoreReal | None
    per_class: dict[str, ClassResult]
    gans: dict[str, GanFlags]
    counts: ImageCounts
    seeds: Seeds
    classifier: Classifier
    digests: Digests
    folds: tuple[FoldLift, ...] = ()
    sharing: Sharing | None = None

    @property
    def less_is_better(self) -> bool:
        """The primary metric is a loss: its values are nats, and lifts have its sign turned."""
        return self.primary_metric == "log_loss"

    def primary(self, arm: str) -> Measured:
        """Return the primary metric of an arm."""
        return self.arms[arm][self.primary_metric]

    @classmethod
    def load(cls, path: Path) -> LiftResult:
        """Read ``lift.json``.

        Raises:
            UserError: it is missing, damaged or of another schema.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise UserError(str(path), f"cannot be read ({error})", _MEND) from None

    @classmethod
    def parse(cls, content: str | Mapping[str, Any] | LiftResult, name: str) -> LiftResult:
        """Return a ``lift.json``, text or content, that an error calls by a name.

        Raises:
            UserError: it is damaged or of another schema.
        """
        try:
            if isinstance(content, str):
                return cls.model_validate_json(content)
            return cls.model_validate(content)
        except ValidationError as error:
            found = error.errors()[0]
            where = ".".join(map(str, found["loc"])) or "the file"
            reason = f"is no result of schema ganlift/lift/5 ({where}: {found['msg']})"
            raise UserError(name, reason, _MEND) from None

    @property
    def room_pp(self) -> float | None:
        """What a classifier without an error would be above the baseline, in points.

        None of the log loss, where being surer is always worth something.
        """
        if self.primary_metric == "log_loss":
            return None
        return 100.0 * (1.0 - self.arms[self.baseline][self.primary_metric].mean)

    @property
    def no_room(self) -> bool:
        """Whether not even a classifier without an error would be a lift that matters above it."""
        return self.room_pp is not None and self.room_pp <= self.rule.smallest_lift_pp

    def dumps(self) -> str:
        """Return the text of ``lift.json``."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def schema_text() -> str:
    """Return the JSON Schema of ``lift.json``, as ``docs/lift.schema.json`` publishes it."""
    return json.dumps(LiftResult.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path("docs/lift.schema.json").write_text(schema_text(), encoding="utf-8")
