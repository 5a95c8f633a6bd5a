"""What the data set of a project is called, where a run is named and where somebody is told."""

from __future__ import annotations

from pathlib import Path

from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params
from tasks.contracts.params.reading import FILE


def data_set(root: Path) -> str:
    """Return the name of the folder or file of images; ``ganlift`` if params.yaml is wrong."""
    try:
        source = Path(load_params(root / FILE).ingest.source).resolve()
    except UserError:  # which the run says as it ends
        return "ganlift"
    return source.stem if source.is_file() else source.name
