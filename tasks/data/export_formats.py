"""An ImageSet in the forms that other tools read: class folders of PNGs, Parquet, arrays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.image_set import SHARES, Images, ImageSet
from tasks.data.pictures import to_picture

METADATA = "metadata.csv"
# folders that mean something else
_TAKEN = {"train", "val", "test", "unlabelled", "unlabeled", "other_domain", "related"}
_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)  # of Windows
_NO_FILE_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_LONGEST = 120  # bytes of a folder's name
_ROWS = 512  # of Parquet that are made at a time
_SPLIT_FILES = {"val": "validation"}  # as `datasets` calls them
_LIST = "list of "
_TYPES = {  # column -> type; any other column is a score
    **dict.fromkeys(("gan_seed", "latent_seed", "original_width", "original_height"), "int64"),
    SHARES: f"{_LIST}float32",
    **dict.fromkeys(("image_id", "origin", "source", "group", "checkpoint", "split"), "string"),
}

Parts = Mapping[str, ImageSet]
"""Sets by split, or one set under "", all of one image shape and the same classes."""


def write_folder(parts: Parts, folder: Path) -> None:
    """Write one folder a class of PNGs (below one a split), and `METADATA` that lists them.

    The columns are file_name, label (the class as the data call it), split where there are
    several, and those of the manifest. `ganlift run --source` takes the folder.
    """
    names = folder_names(_class_names(parts))
    tables = []
    for split, images in parts.items():
        files = []
        for row, label in enumerate(images.labels):
            file = folder / split / names[label] / f"{row:06d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_png(images.images[row]))
            files.append(file.relative_to(folder).as_posix())
        told = images.manifest.drop(columns=["label", "class_name"])
        if SHARES in told:
            told[SHARES] = [None if soft is None else json.dumps(soft) for soft in _soft(told)]
        told.insert(0, "file_name", files)
        told.insert(1, "label", images.manifest["class_name"].tolist())
        if split:
            told.insert(2, "split", split)
        tables.append(told)
    pd.concat(tables).to_csv(folder / METADATA, index=False, lineterminator="\n")


def write_parquet(parts: Parts, folder: Path) -> None:
    """Write a Parquet file a split that `datasets.load_dataset("parquet", ...)` reads.

    Images are PNGs in a struct of bytes and path; what a column is (`Image`, `ClassLabel` with
    the names of the classes, `Value`) stands as JSON under "huggingface" in the schema, as
    `datasets.Features.arrow_schema` writes it.
    """
    names = _class_names(parts)
    for split, images in parts.items():
        told = images.manifest.drop(columns=["label", "class_name"]).reset_index(drop=True)
        if SHARES in told:
            told[SHARES] = pd.Series(_soft(told), dtype=object)
        columns = {str(name): _TYPES.get(str(name), "float64") for name in told}
        schema = _schema(names, columns)
        file = f"{_SPLIT_FILES.get(split, split) or 'train'}-00000-of-00001.parquet"
        with pq.ParquetWriter(folder / file, schema) as writer:
            for start in range(0, len(images), _ROWS):
                rows = slice(start, start + _ROWS)
                png = [
                    {"bytes": _png(image), "path": f"{start + row:06d}.png"}
                    for row, image in enumerate(images.images[rows])
                ]
                arrays = {"image": png, "label": images.labels[rows]} | {
                    name: _nullable(told[name].iloc[rows], kind) for name, kind in columns.items()
                }
                writer.write_table(pa.table(arrays, schema=schema))


def write_npz(parts: Parts, folder: Path) -> None:
    """Write ``SPLIT.npz`` (``images.npz`` of one set), which NumPy reads without a pickle.

    Arrays: images uint8 ``[N, H, W, C]``, labels int64 ``[N]``, class_names ``[K]``, and image_id,
    origin, group (text ``[N]``) and gan_seed (int64 ``[N]``, -1 of a real image); label_shares
    (float32 ``[N, K]``, NaN of an image without) where there are soft labels.
    """
    names = np.array(_class_names(parts), dtype=np.str_)
    for split, images in parts.items():
        told = images.manifest
        columns: dict[str, npt.NDArray[Any]] = {
            name: told[name].to_numpy(np.str_) for name in ("image_id", "origin", "group")
        }
        if "gan_seed" in told:
            gan_seed = told["gan_seed"].fillna(-1).to_numpy(np.int64)
        else:
            gan_seed = np.full(len(told), -1)
        if SHARES in told:
            none = [np.nan] * len(names)
            soft = [none if one is None else one for one in _soft(told)]
            columns[SHARES] = np.array(soft, dtype=np.float32)
        np.savez_compressed(
            folder / f"{split or 'images'}.npz",
            images=images.images,
            labels=images.labels,
            class_names=names,
            gan_seed=gan_seed,
            allow_pickle=False,
            **columns,
        )


FORMATS: Mapping[str, Callable[[Parts, Path], None]] = {
    "folder": write_folder,
    "parquet": write_parquet,
    "npz": write_npz,
}


def folder_names(class_names: Sequence[str]) -> list[str]:
    """Return a folder's name for each class: its own where every file system takes that.

    Names differ by more than case, are no path, and are none of those that mean a split.
    """
    given: list[str] = []
    taken: set[str] = set()
    for label, name in enumerate(class_names):
        plain = _NO_FILE_NAME.sub("_", name.encode("utf-8", "replace").decode())
        plain = plain.encode()[:_LONGEST].decode(errors="ignore").rstrip(". ")
        reserved = _DEVICES.fullmatch(plain) or plain.casefold() in _TAKEN
        if not plain or plain.startswith((".", " ")) or reserved or plain.casefold() in taken:
            plain = f"class_{label}_{plain.lstrip('. ')}".rstrip("_")
        taken.add(plain.casefold())
        given.append(plain)
    return given


def _class_names(parts: Parts) -> list[str]:
    """Names of all K classes in the order of their labels."""
    pairs = pd.concat([images.manifest[["label", "class_name"]] for images in parts.values()])
    by_label = pairs.drop_duplicates("label").sort_values("label")
    return [str(name) for name in by_label["class_name"]]


def _soft(manifest: pd.DataFrame) -> list[list[float] | None]:
    """Soft labels of N images, the shares of the K classes; None of an image without."""
    return [
        shares.tolist() if isinstance(shares, np.ndarray) else None for shares in manifest[SHARES]
    ]


def _png(image: Images) -> bytes:
    stream = BytesIO()
    to_picture(np.ascontiguousarray(image)).save(stream, format="PNG")
    return stream.getvalue()


def _schema(class_names: Sequence[str], columns: Mapping[str, str]) -> pa.Schema:
    features: dict[str, object] = {
        "image": {"_type": "Image"},
        "label": {"names": list(class_names), "_type": "ClassLabel"},
        **{name: _feature(kind) for name, kind in columns.items()},
    }
    fields = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("label", pa.int64()),
        *(pa.field(name, _type(kind)) for name, kind in columns.items()),
    ]
    told = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": told})


def _feature(kind: str) -> dict[str, object]:
    value: dict[str, object] = {"dtype": kind.removeprefix(_LIST), "_type": "Value"}
    return {"feature": value, "_type": "Sequence"} if kind.startswith(_LIST) else value


def _type(kind: str) -> pa.DataType:
    one = pa.type_for_alias(kind.removeprefix(_LIST))
    return pa.list_(one) if kind.startswith(_LIST) else one


def _nullable(column: pd.Series, kind: str) -> pa.Array:
    return pa.Array.from_pandas(column, type=_type(kind), safe=False)
