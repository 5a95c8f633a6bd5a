"""What every stage's ``main`` is: paths from the command line, its settings from ``params.yaml``.

python -m tasks.merge --train data/real/train --accepted data/synthetic/accepted ...
"""

from __future__ import annotations

import argparse
import ctypes
import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

from tasks.contracts.errors import UserError
from tasks.contracts.machine import hold_instructions
from tasks.contracts.outputs import EXPLANATION, OUTPUT, published
from tasks.contracts.params.reading import read_section

_PR_SET_PDEATHSIG = 1


def die_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing).

    Without it, killing DVC leaves a training run alive beside the next one. A process with
    children of its own that it ends on SIGTERM is better asked with that.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)


def stage_main(run: Callable[..., None], section: str | None = None) -> None:
    """Run a stage: each `Path` (or `str` or `int`) parameter of `run` is a required ``--option``.

    ``params`` is the stage's own section of ``params.yaml``, or the one that is named, and ``seed``
    the root seed. What is annotated as `Output` is written aside and put in place when the stage
    has succeeded (see `tasks.contracts.outputs`). A `UserError` becomes one line on stderr and exit
    status 1.
    """
    die_with_parent()
    hold_instructions()
    stage = Path(inspect.getfile(run)).stem
    hints, marked = get_type_hints(run), get_type_hints(run, include_extras=True)
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{stage}", description=run.__doc__)
    for name in inspect.signature(run).parameters:
        if name not in ("params", "seed"):
            parser.add_argument(f"--{name.replace('_', '-')}", type=hints[name], required=True)
    given: dict[str, Path | str | int] = vars(parser.parse_args())
    outputs = {name: Path(str(given[name])) for name in given if OUTPUT in get_args(marked[name])}
    telling = [name for name in outputs if EXPLANATION in get_args(marked[name])]
    try:
        params, seed = read_section(section or stage, hints["params"])
        with published(stage, outputs, telling) as aside:
            run(**(given | aside), params=params, seed=seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
