"""How often is the verdict wrong? Runs on pools of a known effect; see bench/README.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.datasets import ROOT
from bench.ledger import Ledger, code_digest, work_off
from bench.verdict_pool import POOLS
from bench.verdict_run import CODE, MOST_RUNS, VerdictRun, small_params
from bench.verdict_tables import calibration_report
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def calibrate(
    mode: Annotated[str, typer.Option(help=f"One of {', '.join(POOLS)}.")],
    runs: Annotated[int, typer.Option(min=1, max=MOST_RUNS)] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of splits, GANs, pools and classifiers.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    scratch: Annotated[Path, typer.Option(help="Results are kept here.")] = (
        ROOT / ".ganlift" / "bench"
    ),
    print_only: Annotated[bool, typer.Option("--print", help="What is done so far.")] = False,
    fresh: Annotated[bool, typer.Option(help="Do again what older code did.")] = False,
) -> None:
    """Do the runs that are not done yet, then tell what all of them say."""
    if mode not in POOLS:
        raise typer.BadParameter(f"no mode {mode!r}; there are {', '.join(POOLS)}")
    params = small_params(load_params(ROOT / "params.yaml"))
    wanted = [VerdictRun(mode, seed, number, params, scratch) for number in range(runs)]
    ledger = Ledger(scratch / "verdict_calibration.jsonl", code_digest(*CODE))
    missing = ledger.missing(wanted, fresh=fresh)
    if missing and not print_only:
        work_off(missing, ledger, jobs)
    rows = ledger.find(wanted)
    codes = {row["code"] for row in rows}
    print(f"{len(rows)} of {runs} runs done, by {len(codes)} version(s) of the code.\n")
    print(calibration_report(mode, rows))


def main() -> None:
    """Run the command line."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
