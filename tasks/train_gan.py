"""Stage 3, train_gan: one class-conditional GAN per seed, on real/train alone."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import joblib
import numpy as np
from safetensors.torch import load_file, save_file

from tasks.adapters.tracking.gan import GanRun, gan_run, is_logged
from tasks.classifier.features import FeatureJudge, inception_judge, train_judge
from tasks.classifier.networks import SmallCnn
from tasks.classifier.pseudo_labels import pseudo_label, pseudo_labelled_set
from tasks.contracts.cluster import Cluster, cluster
from tasks.contracts.errors import UserError
from tasks.contracts.fork_server import fork_server
from tasks.contracts.gate import require_passed
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.kept import Kept
from tasks.contracts.killed import killed
from tasks.contracts.machine import one_thread
from tasks.contracts.outputs import Output
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.parent import die_with_parent
from tasks.contracts.progress import Report, progress
from tasks.contracts.stage import Setting, stage_main
from tasks.gan.draws import check_units, units_of
from tasks.gan.history import TOLD, History, save_tables
from tasks.gan.model import check_training_set, device_of
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.telling import Listener
from tasks.gan.worker import GanJob, content_key, states_of, train_one
from tasks.quality.evaluation import Evaluator

_STATES = Path(".ganlift/train_gan")  # outside the outputs: a run that fails puts none in place
_SAMPLES = Path(".ganlift/samples.png")  # the newest strip of any GAN, where it is easy to find
_KEPT, _KEPT_BYTES = Path(".ganlift/kept/train_gan"), 5_000_000_000
_SECRET = Path(".ganlift/noise_secret")  # who has it can take the noise of privacy away
_JUDGE_STEPS = 300
_JUDGED_PER_CLASS = 50
_MEMBERS = 4  # of the ensemble that pseudo-labels
_SECONDS_BETWEEN_LOOKS = 0.2  # at what GANs tell
_DECIDES_NOTHING = {"seeds", "state_kimg", "device"}  # of a GAN of one seed


def run(
    *,
    train: Path,
    val: Path,
    unlabelled: Path,
    other_domain: Path,
    related: Path,
    gate: Path,
    dataset: Annotated[str, Setting("ingest.source")],
    out: Output,
    pseudo: Output,
    metrics: Output,
    curves: Output,
    evaluations: Output,
    grids: Output,
    params: TrainGanParams,
    seed: int,
) -> None:
    """Train one GAN per seed in worker processes; keep checkpoints, curves and evaluations.

    A GAN that was finished before, on the same data by the same settings and code, is taken from
    ``.ganlift/kept``; one that was killed goes on from its last saved state.
    """
    require_passed(gate)
    labelled, held_out, loose = (ImageSet.load(path) for path in (train, val, unlabelled))
    others, beside = ImageSet.load(other_domain), ImageSet.load(related)
    check_training_set(labelled, params, others, beside)
    if params.private:
        check_units(labelled, params)
    turned = other_domain if params.network == "translator" else None
    joined = related if params.related == "joint" and len(beside) else None
    kept = Kept(_KEPT, _KEPT_BYTES)
    data = [labelled, held_out, *([] if params.unlabelled == "none" else [loose])]
    data += [] if turned is None else [others]
    data += [] if joined is None else [beside]
    settings = params.model_dump(mode="json", exclude=_DECIDES_NOTHING)
    # the same images in other groups are another promise, and may not share its noise
    hidden = [units_of(labelled)[0].tolist()] if params.private else []
    decides = content_key(data, [settings, device_of(params).type, seed, *hidden])
    keys = {s: hashlib.sha256(f"{decides} {s}".encode()).hexdigest() for s in params.seeds}
    work = states_of(_STATES, decides)
    told = params.model_dump(mode="json", exclude={"seeds"}) | {"seed": seed}
    with ExitStack() as stack:
        watch = stack.enter_context(progress("train_gan"))
        sure = _pseudo_labelled(labelled, held_out, loose, params, seed, kept, watch)
        sure.save(pseudo)
        histories = dict[int, History]()
        for gan_seed, key in keys.items():
            if (folder := kept.find(key)) is not None:
                print(f"GAN {gan_seed}: kept", flush=True)
                histories[gan_seed] = history = History.load(folder)
                history.place(out / str(gan_seed), grids / str(gan_seed))
        missing = [gan_seed for gan_seed in params.seeds if gan_seed not in histories]
        unlogged = [s for s in histories if not is_logged(dataset, histories[s].checkpoint)]
        runs = {
            gan_seed: stack.enter_context(
                gan_run(dataset=dataset, gan_seed=gan_seed, params=told, train=train)
            )
            for gan_seed in (*unlogged, *missing)
        }
        for gan_seed in unlogged:
            _replay(runs[gan_seed], histories[gan_seed])
        if missing:
            jobs = _jobs(missing, train, val, loose, sure, turned, joined, work, params, seed)
            if params.private:
                work.chmod(0o700)  # who reads a state can take its noise away
                jobs = [_with_secret(job, decides) for job in jobs]
            for gan_seed, history in _trained(jobs, runs, watch):
                histories[gan_seed] = history
                history.place(out / str(gan_seed), grids / str(gan_seed))
                kept.add(keys[gan_seed], history.copy)
    save_tables(histories, len(sure), metrics, curves, evaluations)
    shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class Judge:
    """Makes the `Evaluator` of one training where it is called, from files.

    Attributes:
        train: the set of labelled training images.
        val: the set of held-out images.
        seen: the sets that the GAN trains on, with and without a label, and of related classes.
        network: weights of the in-domain classifier.
        in_domain: whether its features describe images, or Inception's.
    """

    train: Path
    val: Path
    seen: tuple[Path, ...]
    network: Path
    in_domain: bool

    def __call__(self) -> Evaluator:
        """Open the files and describe the real images."""
        train, val = ImageSet.load(self.train), ImageSet.load(self.val)
        network = SmallCnn(channels=train.image_shape[2], classes=len(train.class_names))
        network.load_state_dict(load_file(self.network))
        judge = FeatureJudge(network.eval())
        features = judge.features if self.in_domain else inception_judge().features
        seen = [ImageSet.load(folder).images for folder in self.seen]
        images = seen[0] if len(seen) == 1 else np.concatenate(seen)
        return Evaluator(features, judge.probabilities, train, val, _JUDGED_PER_CLASS, images)


def _pseudo_labelled(
    labelled: ImageSet,
    held_out: ImageSet,
    loose: ImageSet,
    params: TrainGanParams,
    seed: int,
    kept: Kept,
    watch: Report,
) -> ImageSet:
    """Return the unlabelled images whose label an ensemble is sure of; perhaps none."""
    if params.unlabelled == "none" or not len(loose):
        return loose.take([])
    key = content_key([labelled, held_out, loose], ["pseudo labels", seed])
    if (folder := kept.find(key)) is not None:
        print("pseudo-labels: kept", flush=True)
        return ImageSet.load(folder)
    result = pseudo_label(
        labelled,
        held_out,
        loose,
        steps=_JUDGE_STEPS,
        members=_MEMBERS,
        seed=seed * 1000 + 700,
        watch=watch,
    )
    print(result.told())
    sure = pseudo_labelled_set(loose, result, labelled.class_names)
    kept.add(key, sure.save)
    return sure


def _jobs(
    seeds: Sequence[int],
    train: Path,
    val: Path,
    loose: ImageSet,
    sure: ImageSet,
    turned: Path | None,
    joined: Path | None,
    work: Path,
    params: TrainGanParams,
    seed: int,
) -> list[GanJob]:
    """Settle what each GAN is trained on and by whom it is judged, in files that workers open."""
    labelled, shared = ImageSet.load(train), work / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    judge = train_judge(labelled, _JUDGE_STEPS, seed * 1000 + 600)
    weights = {name: one.contiguous() for name, one in judge.network.state_dict().items()}
    save_file(weights, shared / "judge.safetensors")
    shown, rest = train, None
    if len(sure):
        shown = shared / "train"
        concatenate([labelled, sure]).save(shown)
    if params.unlabelled == "pseudo_label+unconditional":
        rest = shared / "unlabelled"
        known = loose.manifest["image_id"].isin(sure.manifest["image_id"]).to_numpy()
        loose.take(~known).save(rest)
    evaluate = Judge(
        train,
        val,
        tuple(seen for seen in (shown, rest, joined) if seen is not None),
        shared / "judge.safetensors",
        params.evaluation.features == "in_domain",
    )
    asked = secrets.token_hex(8)  # whom a training tells that a killed stage has left on a cluster
    return [
        GanJob(
            shown,
            rest,
            params,
            one,
            seed,
            folder,
            folder / TOLD / asked,
            evaluate,
            other_domain=turned,
            related=joined,
        )
        for one, folder in ((one, work / str(one)) for one in seeds)
    ]


def _with_secret(job: GanJob, decides: str) -> GanJob:
    from tasks.gan.private import noise_secret  # Opacus takes seconds to import

    return replace(job, secret=(noise_secret(_SECRET), f"{decides} {job.gan_seed}"))


def _trained(
    jobs: Sequence[GanJob], runs: Mapping[int, GanRun], watch: Report
) -> Iterator[tuple[int, History]]:
    """Train every GAN and yield each as it is finished; tell MLflow and whoever watches."""
    histories = {job.gan_seed: History(job.folder) for job in jobs}
    done, samples = dict.fromkeys(histories, 0.0), ""
    for gan_seed, news in _train_all(jobs):
        history = histories[gan_seed]
        if isinstance(news, GanOutcome):
            history.finish(news)
            _close(runs[gan_seed], history)
            done[gan_seed] = 1.0
            yield gan_seed, history
            continue
        history.add(news)
        tick, grid = history.told[-1]
        _tell(runs[gan_seed], history, tick, grid)
        if grid is not None:
            beside = _SAMPLES.with_name(f".{_SAMPLES.name}")
            shutil.copyfile(history.grids / grid, beside)
            beside.replace(_SAMPLES)  # at once: a viewer may have it open
            samples = f", samples {_SAMPLES}"
        done[gan_seed] = news.done
        text = f"GAN {gan_seed}: {news.kimg:.0f} kimg, {news.images_per_second:.0f} images/s"
        watch(min(1.0, sum(done.values()) / len(done)), text + samples)


def _replay(run: GanRun, history: History) -> None:
    """Tell MLflow of a GAN that was kept."""
    for tick, grid in history.told:
        _tell(run, history, tick, grid)
    _close(run, history)


def _tell(run: GanRun, history: History, tick: Tick, grid: str | None) -> None:
    row = history.row(tick) | {"images_per_second": tick.images_per_second}
    run.tick(row, None if grid is None else history.grids / grid)
    if tick.evaluation is not None:
        run.evaluated(tick.kimg, tick.evaluation)


def _close(run: GanRun, history: History) -> None:
    assert history.outcome is not None
    run.health(history.outcome.events, history.outcome.collapsed)
    drawn = sorted(path for path in history.grids.iterdir() if not path.stem.isdecimal())
    run.finish(history.weights, history.checkpoint, drawn)


def _train_all(jobs: Sequence[GanJob]) -> Iterator[tuple[int, Tick | GanOutcome]]:
    """Train every seed, as many at once as there are cores, one thread each, or on a cluster.

    One thread, because sums split over more threads round differently: the bytes of a
    checkpoint must not depend on how many cores there are. When one fails, the others leave at
    their next tick. A GAN on a GPU, or in several processes, is trained on this machine.

    Raises:
        UserError: a GAN could not be trained, its process was killed, or the cluster has failed.
    """
    stays = jobs[0].params.processes > 1 or device_of(jobs[0].params).type == "cuda"
    with ExitStack() as stack:
        others = None if stays else stack.enter_context(cluster())
        submit = stack.enter_context(_here(jobs)) if others is None else others.submit
        listeners = {job.gan_seed: Listener(job.told) for job in jobs}
        try:
            futures = {job.gan_seed: submit(train_one, job) for job in jobs}
            yield from _until_done(listeners, futures)
        except Exception as error:
            told = _told(error, others)
            if told is None:
                raise
            raise told from error
        finally:
            for listener in listeners.values():
                listener.leave()


@contextmanager
def _here(jobs: Sequence[GanJob]) -> Iterator[Callable[..., Future[int]]]:
    """Give what starts a job in a process of this machine; on a GPU one after the other."""
    many = joblib.cpu_count() // jobs[0].params.processes
    gpu = device_of(jobs[0].params).type == "cuda"
    workers = 1 if gpu else max(1, min(many, len(jobs)))
    pool = ProcessPoolExecutor(workers, mp_context=fork_server(), initializer=_start_worker)
    with pool:
        try:
            yield pool.submit
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _told(error: Exception, others: Cluster | None) -> UserError | None:
    """Return what a person reads of an error that is a worker's; None where it is a GAN's."""
    if isinstance(error, BrokenProcessPool):
        return killed(
            "train_gan: a training process",
            None,
            "Lower train_gan.width or batch_size, then run again: it goes on from its state",
        )
    return None if others is None else others.told(error)


def _until_done(
    listeners: Mapping[int, Listener], futures: Mapping[int, Future[int]]
) -> Iterator[tuple[int, Tick | GanOutcome]]:
    """Yield news as they come until all is heard; raise what the first to fail did."""
    waited = set(futures)
    while waited:
        done = {gan_seed for gan_seed in waited if futures[gan_seed].done()}
        told = {gan_seed: futures[gan_seed].result() for gan_seed in done}
        for gan_seed in sorted(waited):
            for news in listeners[gan_seed].news():
                yield gan_seed, news
        # a file may be seen later than the answer of who wrote it, on a shared folder
        waited -= {one for one, count in told.items() if listeners[one].heard >= count}
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _start_worker() -> None:
    die_with_parent()
    one_thread()


if __name__ == "__main__":
    stage_main(run)
