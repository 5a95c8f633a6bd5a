"""A classifier back from MLflow's registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks.adapters.tracking.names import registered_name
from tasks.adapters.tracking.registry import CHAMPION
from tasks.adapters.tracking.store import Store, explain, quick, tracking_uri
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_MOST_LISTED = 8


@dataclass(frozen=True)
class Classifier:
    """A registered classifier.

    Attributes:
        name: of the model and its version, for people.
        verdict: of the result it comes from.
        image_size: pixels of the square images that it takes.
        channels: 1 or 3.
        fit: how an image that is not square becomes one, as `ingest.fit`.
        class_names: K names in the order of the probabilities.
        predict: images uint8 ``[N, H, W, C]`` to probabilities ``[N, K]``.
    """

    name: str
    verdict: str
    image_size: int
    channels: int
    fit: str
    class_names: Sequence[str]
    predict: Callable[[Images], npt.NDArray[np.float32]]


def load_classifier(dataset: str, version: int | None) -> Classifier:
    """Load the champion of a data set, or the version that is named.

    Args:
        dataset: the source as in ``params.yaml``; names the model.
        version: its number in the registry.

    Raises:
        UserError: no champion, no such version, or the registry cannot be reached.
    """
    store = Store(tracking_uri(), forgiving=False)
    try:
        with quick():
            return _load(store, _found(store, registered_name(dataset), version))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            "registry", explain(store.registry_uri, error), "Start the server, then try again"
        ) from error


def _found(store: Store, name: str, version: int | None) -> ModelVersion:
    versions = {int(one.version): one for one in _versions(store, name)}
    if not versions:
        raise UserError(
            f"model {name}", "no classifier is registered", "Run `ganlift run`, or `ganlift track`"
        )
    listed = ", ".join(
        f"{number} ({one.tags.get('ganlift.verdict', 'no verdict')})"
        for number, one in sorted(versions.items(), reverse=True)[:_MOST_LISTED]
    )
    if version is not None:
        if version not in versions:
            raise UserError(f"--model {version}", "no such version", f"{name} has {listed}")
        return versions[version]
    aliases = store.client().get_registered_model(name).aliases
    if CHAMPION not in aliases:
        raise UserError(
            f"model {name}",
            "no run has earned `champion`: none has shown that it helps",
            f"Name a version with --model VERSION; there are {listed}",
        )
    return versions[int(aliases[CHAMPION])]


def _versions(store: Store, name: str) -> list[ModelVersion]:
    return list(store.client().search_model_versions(f"name = '{name}'"))


def _load(store: Store, version: ModelVersion) -> Classifier:
    import mlflow

    # By its address: by its name, MLflow would look in the store of the process, not in this one.
    folder = mlflow.artifacts.download_artifacts(version.source, tracking_uri=store.uri)
    model = mlflow.pyfunc.load_model(folder)
    config: dict[str, Any] = model.unwrap_python_model().config
    return Classifier(
        name=f"{version.name} version {version.version}",
        verdict=version.tags.get("ganlift.verdict", "unknown"),
        image_size=config["image_size"],
        channels=config["channels"],
        fit=config["fit"],
        class_names=config["class_names"],
        predict=model.predict,
    )
