"""``ganlift export model``: the classifier of the winning arm, with all that it takes to use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from flows.export import new_folder
from flows.folds import see_line
from flows.line_file import paths, white_level
from tasks.adapters.tracking.saved_model import copy_rooms, pinned
from tasks.answer import words
from tasks.classifier.saved import CONFIG, WEIGHTS, ClassifierConfig, load_classifier
from tasks.contracts.arms import FILTERED
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params
from tasks.lift.result import LiftResult

_REQUIREMENTS = (
    *("torch", "torchvision", "timm", "safetensors", "numpy", "pillow"),
    *("pandas", "pydantic", "pyyaml", "scikit-learn"),
)
_LOADER = '''\
"""`python load.py PHOTO ...` prints classes; `from load import probabilities` gives numbers."""
import sys
from pathlib import Path
import numpy as np
import torch
sys.path.insert(0, str(Path(__file__).resolve().parent / "code"))
from tasks.classifier.saved import load_classifier
from tasks.data.batches import to_tensor
from tasks.data.decoding import open_image, to_pixels

network, config = load_classifier(Path(__file__).resolve().parent)
asked = {"size": config.image_size, "channels": config.channels, "fit": "FIT", "white": WHITE}
def probabilities(files):
    """Return the probabilities of the classes, float32 [N, K], of image files."""
    size, fit = asked["size"], asked["fit"]
    images = [open_image(Path(file), size=size, fit=fit) for file in files]
    pixels = [to_pixels(image, **asked) for image in images]
    with torch.inference_mode():
        return network(to_tensor(np.stack(pixels))).softmax(dim=1).numpy()

if __name__ == "__main__":
    for file, p in zip(sys.argv[1:], probabilities(sys.argv[1:])):
        print(file, config.class_names[p.argmax()], f"{p.max():.6f}", sep="\\t")
'''
_README = """\
# A classifier from ganlift

The verdict of the comparison on real test images is **{verdict}**: {headline}, {against}.
So this is the classifier of the arm `{arm}`: of its runs the one that is best on the validation
images (classifier seed {seed}{gan}).

- Network: {network}; weights in `{weights}`, how to build it in `{config}`.
- Input: images of {size} x {size} pixels with {channels}; an image that is not square is brought
  to a square by `{fit}`, and pixels 0 to 255 become -1 to 1. `load.py` does all of this.
- Output: a probability for each of {count} classes, in this order:

      {classes}

    pip install -r requirements.txt
    python load.py PHOTO.png
"""


def export_model(folder: Path) -> str:
    """Write the classifier of the winning arm into a new folder.

    The treatment wins where the verdict is "helps"; otherwise its baseline does, the best arm
    without images of a GAN.

    Returns:
        A line that says which classifier it is.

    Raises:
        UserError: there is no result, its classifier is missing, or a folder is in the way.
    """
    where = paths()
    see_line(where["lift"])
    found = LiftResult.load(where["lift"])
    arm = found.treatment if found.verdict == "helps" else found.baseline
    kept = where["classifier"] if arm == FILTERED else where["classifiers"] / arm
    _, config = load_classifier(kept)
    if config.arm != arm or list(config.class_names) != list(found.per_class):
        raise UserError(
            str(kept),
            f"it is not the classifier of {arm!r} that {where['lift']} tells of",
            "Run `ganlift run --from retrain`, which makes both again",
        )
    fit = load_params().ingest.fit
    with new_folder(folder) as part:
        for name in (WEIGHTS, CONFIG):
            shutil.copy(kept / name, part)
        copy_rooms(part / "code", "classifier")
        loader = _LOADER.replace("FIT", fit).replace("WHITE", repr(white_level()))
        (part / "load.py").write_text(loader, encoding="utf-8")
        requirements = "".join(f"{line}\n" for line in pinned(_REQUIREMENTS))
        (part / "requirements.txt").write_text(requirements, encoding="utf-8")
        (part / "README.md").write_text(_readme(found, config, fit), encoding="utf-8")
    return f"the classifier of {arm!r} (verdict: {found.verdict}): {folder}"


def _readme(found: LiftResult, config: ClassifierConfig, fit: str) -> str:
    return _README.format(
        verdict=found.verdict,
        headline=words.headline(found),
        against=words.against(found),
        arm=config.arm,
        seed=config.seed,
        gan="" if config.gan_seed is None else f", images of GAN {config.gan_seed}",
        network=config.classifier,
        weights=WEIGHTS,
        config=CONFIG,
        size=config.image_size,
        channels="one channel (grey)"
        if config.channels == 1
        else "three channels (red, green, blue)",
        fit=fit,
        count=len(config.class_names),
        classes=json.dumps(list(config.class_names), ensure_ascii=False),
    )
