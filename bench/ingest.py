"""Ingest beside a DataLoader, and packed images beside loose ones: ``python -m bench.ingest -h``.

Made-up photos (640 x 480, JPEG) are read by ingest and by torchvision's `ImageFolder` with a
DataLoader of as many workers as there are cores, in turns, each in a process of its own: once all
of them, once a tenth. Then DVC adds, pushes (to a folder) and checks out the files and the packed
set.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from flows.child import environment

ROOT = Path(__file__).parents[1]
NUMBER, ROUNDS, SIZE = 2_000, 3, 64
_CLASSES, _WIDTH, _HEIGHT, _QUALITY = 4, 640, 480, 85
_OCTAVES = 8
_SPARE = 1.2  # times: more memory at ten times as many images is not flat


@dataclass(frozen=True)
class Cost:
    """What one reader took: seconds by the clock and of the cores, and the most memory, in bytes.

    CPU seconds are of the process and those that it waited for; the memory is that of the largest.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def photo(number: int) -> Image.Image:
    """Return noise of eight octaves in three tints, as rich in detail as a photo."""
    rng = np.random.default_rng(number)
    total = np.full((_HEIGHT, _WIDTH, 3), rng.uniform(70, 180, 3), np.float32)
    for octave in range(_OCTAVES):
        wide = 5 * 2**octave
        grey = rng.normal(0, 60 * 0.6**octave, (wide * _HEIGHT // _WIDTH, wide))
        whole = Image.fromarray(grey.astype(np.float32)).resize((_WIDTH, _HEIGHT))
        total += np.asarray(whole)[..., None] * rng.uniform(0.6, 1.0, 3).astype(np.float32)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def draw_photos(folder: Path, number: int) -> None:
    """Write so many photos into class folders."""
    for one in range(number):
        home = folder / f"class {one % _CLASSES}"
        home.mkdir(parents=True, exist_ok=True)
        photo(one).save(home / f"{one:06d}.jpg", quality=_QUALITY)


def ingested(photos: Path, out: Path, size: int) -> None:
    """Read as ingest does, twins aside, into a packed set."""
    from tasks.contracts.params.line import load_params
    from tasks.data.reading import decode
    from tasks.data.sources import items_of

    params = load_params(ROOT / "params.yaml").ingest.model_copy(update={"image_size": size})
    items = items_of(photos).items
    images, _ = decode(items, params, lambda share, text: None, out)
    images.save(out)


def loaded(photos: Path, out: Path, size: int) -> None:
    """Read by the DataLoader and go through what it gives; nothing is written."""
    del out
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, PILToTensor, Resize

    torch.set_num_threads(1)
    data = ImageFolder(str(photos), Compose([Resize((size, size)), PILToTensor()]))
    cores = len(os.sched_getaffinity(0))
    for images, _ in DataLoader(data, batch_size=64, num_workers=cores):
        assert images.dtype == torch.uint8


READERS: dict[str, Callable[[Path, Path, int], None]] = {
    "ganlift": ingested,
    "DataLoader": loaded,
}


def measured(reader: str, photos: Path, out: Path, size: int) -> Cost:
    """Run one reader in a process of its own.

    Raises:
        SystemExit: it failed.
    """
    out.mkdir()
    words = [sys.executable, "-m", "bench.ingest", "--reader", reader, "--size", str(size)]
    since = time.perf_counter()
    child = subprocess.Popen(
        [*words, "--photos", str(photos), "--out", str(out)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    _, status, used = os.wait4(child.pid, 0)  # which tells what it took, as wait does not
    seconds = time.perf_counter() - since
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{reader} failed")
    shutil.rmtree(out)
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def reading(photos: Path, few: Path, number: int, rounds: int, size: int) -> list[str]:
    """Return the lines of the first table; readers take turns, and the median round counts."""
    found: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(rounds):
        for folder, count in ((few, number // 10), (photos, number)):
            for reader in READERS:
                cost = measured(reader, folder, folder.parent / "out", size)
                found.setdefault((reader, count), []).append(cost)
    lines = [
        "| reader | images | images/s | ms CPU an image | peak, MiB | peak to a tenth |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for (reader, count), costs in sorted(found.items()):
        seconds, cpu, peak = (
            float(np.median([getattr(one, name) for one in costs]))
            for name in ("seconds", "cpu_seconds", "peak_bytes")
        )
        tenth = np.median([one.peak_bytes for one in found[reader, number // 10]])
        cells = [f"{count:,}", f"{count / seconds:,.1f}", f"{cpu / count * 1e3:.2f}"]
        cells += [f"{peak / 2**20:.0f}", f"{peak / tenth:.2f}"]
        lines.append(f"| {reader} | {' | '.join(cells)} |")
    ours, theirs = (
        np.array([one.seconds for one in found[name, number]]) for name in ("ganlift", "DataLoader")
    )
    grown = np.median([one.peak_bytes for one in found["ganlift", number]]) / np.median(
        [one.peak_bytes for one in found["ganlift", number // 10]]
    )
    flat = "flat" if grown <= _SPARE else f"not flat (more than {_SPARE})"
    lines += ["", f"ganlift reads {np.median(theirs / ours):.2f} times as many images/s; {flat}."]
    return lines


def versioned(content: Path, home: Path) -> dict[str, float]:
    """Return the seconds that DVC takes to add, push to a folder, and check out some content."""
    work = home / "work"
    work.mkdir(parents=True)
    shutil.copytree(content, work / "data")

    def dvc(*words: str) -> float:
        since = time.perf_counter()
        command = [sys.executable, "-m", "dvc", *words]
        subprocess.run(command, cwd=work, env=environment(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - since

    dvc("init", "--no-scm", "-q")
    dvc("remote", "add", "-q", "-d", "store", str(home / "store"))
    seconds = {"add": dvc("add", "-q", "data"), "push": dvc("push", "-q")}
    shutil.rmtree(work / "data")
    seconds["checkout"] = dvc("checkout", "-q")
    start = dvc("version")
    return {name: max(took - start, 0.0) for name, took in seconds.items()}


def versions(photos: Path, home: Path, size: int) -> list[str]:
    """Return the lines of the second table: loose photos, loose small ones, and the packed set."""
    packed, small = home / "packed", home / "small"
    ingested(photos, packed, size)
    for number, image in enumerate(np.load(packed / "images.npy", mmap_mode="r")):
        (small / f"{number % _CLASSES}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(small / f"{number % _CLASSES}/{number:06d}.png")
    names = ("add", "push", "checkout")
    lines = ["| what DVC holds | add, s | push, s | checkout, s |", "|---|---:|---:|---:|"]
    took = {}
    for name, content in (("the photos", photos), ("PNGs", small), ("the packed set", packed)):
        took[name] = versioned(content, home / f"dvc {name}")
        lines.append(f"| {name} | {' | '.join(f'{took[name][one]:.2f}' for one in names)} |")
    ratios = [took["PNGs"][one] / max(took["the packed set"][one], 0.01) for one in names]
    lines.append(f"| PNGs to the packed set | {' | '.join(f'{one:.1f}' for one in ratios)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--number", type=int, default=NUMBER, help="photos; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels; default: %(default)s")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)  # this is the child
    parser.add_argument("--photos", type=Path, help="a folder of such photos that is there already")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.reader:
        READERS[given.reader](given.photos, given.out, given.size)
        return
    with tempfile.TemporaryDirectory(prefix="ganlift-ingest-") as folder:
        home = Path(folder)
        photos = given.photos or home / "photos"
        if given.photos is None:
            draw_photos(photos, given.number)
        few = home / "few"
        for one in sorted(photos.rglob("*.jpg"))[::10]:
            (few / one.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(one, few / one.parent.name / one.name)
        number = sum(1 for _ in photos.rglob("*.jpg"))
        print("\n".join(reading(photos, few, number, given.rounds, given.size)), end="\n\n")
        print("\n".join(versions(photos, home, given.size)))


if __name__ == "__main__":
    main()
