"""Which stages an edit of a file makes stale, and so runs again: `python -m bench.staleness`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def code_deps(line: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the code that each stage of ``dvc.yaml`` depends on, by stage."""
    return {
        name: [dep for dep in stage["deps"] if dep.startswith("tasks/")]
        for name, stage in line["stages"].items()
    }


def stale_stages(file: str, deps: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the stages that depend on a file, which stand on the folder above it perhaps."""
    return [stage for stage, of in deps.items() if any(Path(file).is_relative_to(d) for d in of)]


def main() -> None:
    """Print a table of all files of the stages' code."""
    deps = code_deps(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8")))
    files = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tasks").rglob("*")
        if path.suffix in (".py", ".j2") and path.stat().st_size > 0
    )
    print("| file | an edit runs again |\n|---|---|")
    for file in files:
        print(f"| `{file}` | {', '.join(stale_stages(file, deps)) or 'nothing'} |")


if __name__ == "__main__":
    main()
