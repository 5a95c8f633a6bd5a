"""Great Expectations behind two nouns: suites of plain checks go in, findings come out.

The only module that imports Great Expectations, and only when a suite is checked: it costs
6 seconds. What the suites ask is in `suites`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.adapters.findings import FailingRow, Finding
from tasks.adapters.suites import Check, Suite

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )

_HASH = re.compile("[0-9a-f]{64}")
_EXAMPLES = 3


def check_suites(suites: Sequence[Suite]) -> list[Finding]:
    """Check every suite with Great Expectations, in an ephemeral context that writes nothing.

    Returns:
        One finding a check, in the order of the suites.

    Raises:
        RuntimeError: an expectation could not be evaluated, which is a bug and no finding.
    """
    context = _context()
    findings: list[Finding] = []
    for suite in suites:
        # It copies and hashes what it is given, so it gets the columns that it looks at.
        looked_at = dict.fromkeys(name for check in suite.checks for name in check.columns)
        frame = suite.frame[list(looked_at)].reset_index(drop=True)
        batch = _batch_definition(context, suite).get_batch({"dataframe": frame})
        answers = batch.validate(_expectation_suite(suite), result_format="COMPLETE")
        by_place = {
            config.meta["check"]: answer
            for answer in answers.results
            if (config := answer.expectation_config) is not None
        }
        findings += [
            _finding(suite, check, by_place[place].result, bool(by_place[place].success))
            for place, check in enumerate(suite.checks)
        ]
    return findings


def build_data_docs(suites: Sequence[Suite], out: Path) -> Path:
    """Build Great Expectations' own Data Docs of what the suites find, and return their page.

    Its pages load styles from a content delivery network and carry clock times, so they are
    made on request and are no output of the line.

    Args:
        suites: to check.
        out: folder to write the site into.
    """
    context = _context()
    import great_expectations as gx

    context.add_data_docs_site(
        site_name="ganlift",
        site_config={
            "class_name": "SiteBuilder",
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(out.resolve()),
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    for suite in suites:
        definition = gx.ValidationDefinition(
            name=suite.name,
            data=_batch_definition(context, suite),
            suite=context.suites.add(_expectation_suite(suite)),
        )
        context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": suite.frame.reset_index(drop=True)}
        )
    context.build_data_docs()
    return out / "index.html"


def _context() -> EphemeralDataContext:
    """Return a context that lives in memory, reports to nobody and draws no bars."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # some versions read it at their import
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _batch_definition(context: EphemeralDataContext, suite: Suite) -> BatchDefinition[Any]:
    source = context.data_sources.add_pandas(suite.name)
    return source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe(suite.name)


def _expectation_suite(suite: Suite) -> ExpectationSuite:
    """Return Great Expectations' own suite; ``meta`` keeps each check's place, results have none.

    No two checks of a suite may share expectation and column: it would keep only the last.
    """
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    severities = {"stop": FailureSeverity.CRITICAL, "warn": FailureSeverity.WARNING}

    configurations = [
        ExpectationConfiguration(
            check.expectation,
            dict(check.arguments),
            meta={"check": place},
            description=check.explanation,
            severity=severities[check.severity],
        )
        for place, check in enumerate(suite.checks)
    ]
    return gx.ExpectationSuite(suite.name, [one.to_domain_obj() for one in configurations])


def _finding(suite: Suite, check: Check, result: Mapping[str, Any], passed: bool) -> Finding:
    """Put Great Expectations' result into words."""
    if "element_count" in result:
        broken = suite.frame.iloc[[int(place) for place in result["unexpected_index_list"]]]
        if "unique" in check.expectation:  # copies side by side
            broken = broken.sort_values(list(check.columns), kind="stable")
        failing = tuple(_failing_row(suite, check, row) for row in broken.to_dict("records"))
        examples = ", ".join(dict.fromkeys(row.value for row in failing[:_EXAMPLES]))
        observed = f"{len(failing)} of {len(suite.frame)} {suite.unit} fail"
        observed += f" ({examples})" if examples else ""
    elif "observed_value" in result:
        failing = ()
        observed = f"{result['observed_value']} {suite.unit} found"
    else:
        raise RuntimeError(f"{check.expectation} on {suite.name} could not be evaluated: {result}")
    return Finding(
        check.expectation, suite.split, ", ".join(check.columns), passed, observed,
        check.explanation, check.mend, () if passed else failing, check.severity,
    )  # fmt: skip


def _failing_row(suite: Suite, check: Check, row: Mapping[Hashable, Any]) -> FailingRow:
    found = [f"{column} {_short(_plain(row[column]))}" for column in check.columns]
    return FailingRow(
        split=str(row.get("split", suite.split)),
        row=int(row["row"]) if "row" in row else None,
        image_id=_plain(row.get("image_id", "")),
        source=_plain(row.get("source", next(iter(row.values())))),
        value=", ".join(found),
    )


def _plain(value: Any) -> str:
    """Return one value in words, a missing one too."""
    if pd.isna(value):
        return "missing"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    """Return the beginning of a content hash, and any other text whole."""
    return f"{text[:12]}…" if _HASH.fullmatch(text) else text
