"""What every stage's ``main`` is: paths from the command line, its settings from ``params.yaml``.

python -m tasks.merge --train data/real/train --accepted data/synthetic/accepted ...
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

from tasks.contracts.boundary import boundary
from tasks.contracts.errors import UserError
from tasks.contracts.fork_server import fork_the_server
from tasks.contracts.machine import hold_instructions
from tasks.contracts.outputs import EXPLANATION, OUTPUT, published
from tasks.contracts.params.reading import read_section, read_setting
from tasks.contracts.proxies import reach_this_machine_directly

_WORKERS = "tasks.contracts.workers"  # which a stage imports that may ask for other processes


@dataclass(frozen=True)
class Setting:
    """Marks a parameter of a stage's ``run`` as a value of ``params.yaml``, by its dotted key.

    It is read by the stage itself: a value in a command of ``dvc.yaml`` would be the shell's.
    ``dvc.yaml`` lists the key among the stage's params.
    """

    key: str


def stage_main(run: Callable[..., None], section: str | None = None) -> None:
    """Run a stage: each `Path` (or `str` or `int`) parameter of `run` is a required ``--option``.

    ``params`` is the stage's own section of ``params.yaml``, or the one that is named, and ``seed``
    the root seed; what is annotated as `Setting` is one value of another section. What is annotated
    as `Output` is written aside and put in place when the stage has succeeded (see
    `tasks.contracts.outputs`). What a person can mend becomes one line on stderr and exit status 1.
    """
    hold_instructions()
    reach_this_machine_directly()
    stage = Path(inspect.getfile(run)).stem
    if _WORKERS in sys.modules and run.__module__ == "__main__":
        fork_the_server()
    hints, marked = get_type_hints(run), get_type_hints(run, include_extras=True)
    settings = {name: key for name in hints if (key := _setting(marked[name]))}
    parser = _Parser(prog=f"python -m tasks.{stage}", description=run.__doc__)
    for name in inspect.signature(run).parameters:
        if name not in ("params", "seed", *settings):
            parser.add_argument(f"--{name.replace('_', '-')}", type=hints[name], required=True)
    with boundary():
        given: dict[str, Path | str | int] = vars(parser.parse_args())
        made = [name for name in given if OUTPUT in get_args(marked[name])]
        outputs = {name: Path(str(given[name])) for name in made}
        telling = [name for name in outputs if EXPLANATION in get_args(marked[name])]
        params, seed = read_section(section or stage, hints["params"])
        others = {name: read_setting(key, hints[name]) for name, key in settings.items()}
        with published(stage, outputs, telling) as aside:
            run(**(given | aside | others), params=params, seed=seed)


class _Parser(argparse.ArgumentParser):
    """One whose caller is ``dvc.yaml``, which may be of another version than the code."""

    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"dvc.yaml: {self.prog}",
            f"it is called as another version of ganlift took it ({message})",
            "Run `ganlift doctor`, which brings dvc.yaml to this version or says what differs",
        )


def _setting(hint: Any) -> str | None:
    """Return the key of what is annotated as `Setting`, None of anything else."""
    return next((one.key for one in get_args(hint) if isinstance(one, Setting)), None)
