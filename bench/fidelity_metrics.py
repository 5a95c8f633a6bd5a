"""Our fidelity numbers against slow textbook loops, torch-fidelity and prdc: value and time.

torch-fidelity installs a package named ``tests``, which would hide ours, so it stays outside
the environment, and comes after everything else on the path:

    uv pip install --python .venv --no-deps --target /tmp/peers torch-fidelity
    OMP_NUM_THREADS=1 PYTHONPATH=. python bench/fidelity_metrics.py --peers /tmp/peers
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from prdc import compute_prdc
from sklearn.datasets import load_digits

from tasks.classifier.features import FeatureJudge
from tasks.classifier.networks import SmallCnn
from tasks.quality.fidelity import frechet_distance, kernel_distance, prdc
from tests.reference.fidelity_distances import frechet, kernel
from tests.reference.fidelity_manifolds import prdc_of

Numbers = list[float]
_K = 5
_REPEATS = 3


@dataclass(frozen=True)
class Contest:
    """One way to compute what we compute: numbers in the same order."""

    measure: str
    rival: str
    ours: Callable[[], Numbers]
    theirs: Callable[[], Numbers]
    slow: bool = False


def feature_sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, real and fake features: random ones, and two of real images."""
    rng = np.random.default_rng(0)
    yield (
        "random 64-D",
        *(rng.normal(shift, 1, (n, 64)) for n, shift in ((250, 0.0), (500, 0.2))),
    )
    yield "random 2048-D", *(np.maximum(rng.normal(size=(n, 2048)), 0) for n in (100, 200))
    digits = load_digits().images
    # grey levels tie, and on the border of a ball torch-fidelity counts what we and prdc do not
    untied = digits + rng.normal(0, 1e-3, digits.shape)
    yield (
        "digits, pixels",
        *(part.reshape(len(part), -1) for part in (untied[:250], untied[250:750])),
    )
    torch.manual_seed(0)
    judge = FeatureJudge(SmallCnn(channels=1, classes=10).eval())
    features = judge.features((digits[..., None] * 15).astype(np.uint8))
    yield "digits, CNN", features[:250], features[250:750]


def contests(real: np.ndarray, fake: np.ndarray) -> Iterator[Contest]:
    """Pair us with every rival on the same features, in float64."""
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    real, fake = real.astype(np.float64), fake.astype(np.float64)
    reals, fakes = torch.from_numpy(real), torch.from_numpy(fake)
    n = min(100, len(real))  # the size of a subset: all subsets of so few are the same

    def their_fid() -> Numbers:
        ours, theirs = (metric_fid.fid_features_to_statistics(part) for part in (reals, fakes))
        return list(metric_fid.fid_statistics_to_metric(ours, theirs, verbose=False).values())

    def their_kid() -> Numbers:
        found = metric_kid.kid_features_to_metric(
            reals[:n], fakes[:n], kid_subsets=100, kid_subset_size=n, verbose=False
        )
        return [found["kernel_inception_distance_mean"]]

    def their_precision() -> Numbers:
        found = metric_prc.prc_features_to_metric(fakes, reals, prc_neighborhood=_K, verbose=False)
        return [found["precision"], found["recall"]]

    def our_fid() -> Numbers:
        return [frechet_distance(real, fake)]

    def our_kid() -> Numbers:
        return [kernel_distance(real[:n], fake[:n])]

    def our_prdc() -> Numbers:
        return list(prdc(real, fake, _K).values())

    yield Contest("fid", "textbook", our_fid, lambda: [frechet(real, fake)], slow=True)
    yield Contest("fid", "torch-fidelity", our_fid, their_fid)
    yield Contest("kid", "textbook", our_kid, lambda: [kernel(real[:n], fake[:n])], slow=True)
    yield Contest("kid", "torch-fidelity", our_kid, their_kid)
    yield Contest(
        "prdc", "textbook", our_prdc, lambda: list(prdc_of(real, fake, _K).values()), slow=True
    )
    yield Contest(
        "prdc", "prdc", our_prdc, lambda: list(compute_prdc(real, fake, nearest_k=_K).values())
    )
    yield Contest("prec., rec.", "torch-fidelity", lambda: our_prdc()[:2], their_precision)


def timed(compute: Callable[[], Numbers], repeats: int) -> tuple[Numbers, float]:
    """Return the numbers and the median processor seconds of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()  # of one thread: a busy machine does not count
        with contextlib.redirect_stdout(None):  # prdc prints
            found = compute()
        seconds.append(time.process_time() - start)
    return [float(value) for value in found], float(np.median(seconds))


def main() -> None:
    """Print the table; fails where a value differs by more than 1e-4, absolutely and relatively."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True, help="where torch-fidelity lies")
    sys.path.append(str(parser.parse_args().peers))
    torch.set_num_threads(1)
    print("| features | measure | against | difference | relative | ours, ms | theirs / ours |")
    print("|---|---|---|---:|---:|---:|---:|")
    wrong = 0
    for name, real, fake in feature_sets():
        for contest in contests(real, fake):
            theirs, their_seconds = timed(contest.theirs, 1 if contest.slow else _REPEATS)
            ours, seconds = timed(contest.ours, _REPEATS)
            difference = np.abs(np.subtract(ours, theirs))
            relative = difference / np.maximum(np.abs(theirs), 1e-12)
            wrong += bool((np.minimum(difference, relative) > 1e-4).any())
            print(
                f"| {name} | {contest.measure} | {contest.rival} | {difference.max():.1e} "
                f"| {relative.max():.1e} | {1000 * seconds:.1f} | {their_seconds / seconds:.2f} |",
                flush=True,
            )
    if wrong:
        sys.exit(f"{wrong} differ by more than 1e-4")


if __name__ == "__main__":
    main()
