"""The whole evaluation of a run: sets of images, outputs, scores, rows.

Sets are made and scored one after another and kept below the output, so that an evaluation that was cut off
goes on where it stood; rows are then counted from what is kept.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from training.attacks.objectives import all_of, misclassified, sure, undetected
from training.augmentation import Strength, augment, draw
from training.calibration import Calibration, conformal_threshold, load_calibration
from training.cells import CellSet
from training.detection.fusion import fit_against
from training.detection.observed import observe
from training.evaluation.attacked import ATTACKS, KNOWN, Curve, adaptive_curve, attacked_set
from training.evaluation.changed import ChangeRow, change_row
from training.evaluation.imagesets import (
    Group,
    ImageSet,
    Job,
    change_jobs,
    failure_jobs,
    image_set,
    paper_jobs,
    stranger_jobs,
)
from training.evaluation.kept import Kept, load_kept, save_kept
from training.evaluation.rows import Row, measure
from training.evaluation.scorers import FUSED, Family, Fitted, Scorer, families, scorers
from training.gaussians import LayerGaussian
from training.networks import VGG, ResNet
from training.reference import BLOCK
from training.run import RunInfo, load_network, load_run, load_split, load_statistics, write_text
from training.splits import Split, calibration_halves
from training.statistics import as_images, to_tensor

ROWS: tuple[Group, ...] = ("paper", "strangers", "failures", "changes", "attacks")
CELLS = 500  # per set where --limit is left out: a share is then known to 4 points
LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # of the adaptive attack, in grey levels
ADAPTIVE_STEPS = 20
_ADAPTIVE_SHARE = 0.2  # of the cells: an attack on every layer costs three on the class
_TRAINING_FACTOR = 6  # training cells that rivals are fitted on, per test cell
_STATE, _CACHE, _CURVE = "state.json", "cache", "adaptive.json"
_SCHEMA = 1
FEWEST_KNOWN = 10  # anomalies that a fusion is fitted against: five folds need some in each
_FEWEST = 2  # images that a row can be counted from


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a fitted and calibrated run."""

    info: RunInfo
    network: ResNet | VGG
    gaussians: dict[str, LayerGaussian]
    calibration: Calibration
    cells: CellSet
    split: Split


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        subject: the network and its split, in words.
        clean: the in-distribution test cells, scored.
        sets: every other set, scored.
        rows: one per scorer and set.
        changes: the shipped detector under every change of a microscope.
        harmless_accepted: per scorer, mean share of cells accepted under harmless changes.
        curve: the adaptive attack; None where attacks were left out.
        scorers: names in the order of the tables.
    """

    subject: str
    clean: Kept
    sets: tuple[Kept, ...]
    rows: tuple[Row, ...]
    changes: tuple[ChangeRow, ...]
    harmless_accepted: dict[str, float]
    curve: Curve | None
    thresholds: dict[str, float]

    @property
    def clean_accuracy(self) -> float:
        """Share of the in-distribution test cells with the right class."""
        return float(self.clean.right.mean())


def load_subject(folder: Path, *, source: str | None = None, cache: Path | None = None) -> Subject:
    """Open a run.

    Raises:
        SourceError: it is not fitted or calibrated, or its cells have changed.
    """
    info = load_run(folder)
    cells, split = load_split(info, source=source, cache=cache)
    return Subject(
        info, load_network(folder, info), load_statistics(folder), load_calibration(folder), cells, split
    )


def evaluate(
    subject: Subject,
    out: Path,
    *,
    rows: Sequence[Group] = ROWS,
    limit: int = CELLS,
    strangers: str | None = None,
    published: str | None = None,
    resume: bool = False,
) -> Evaluation:
    """Evaluate a run, going on where an earlier try was cut off.

    Args:
        subject: the run.
        out: folder of everything that is written.
        rows: the kinds of sets wanted.
        limit: images per set at most.
        strangers: archive of images that are no red cells, a kind per folder; None for simulated ones only.
        published: archive of the paper's second set; None where it is not at hand.
        resume: go on with what `out` holds.

    Raises:
        SourceError: `out` holds an evaluation already, or one of another run or other settings.
    """
    _claim(out, subject, {"limit": limit, "strangers": strangers, "published": published}, resume=resume)
    cells = _sample(subject, limit)
    on = _fitted(subject, limit)
    layered = families(subject.network, subject.gaussians, on)
    columns = scorers(subject.network, subject.gaussians, subject.calibration, layered, on)
    clean = Job("clean", "cells", lambda: cells)
    jobs = [clean, *_jobs(subject, cells, rows, limit, strangers, published)]
    with click.progressbar(jobs, label="sets", show_pos=True, file=sys.stderr, item_show_func=_name) as bar:
        kept = [_done(job, out / _CACHE, subject, layered, columns) for job in bar]
    curve = _curve(subject, cells, out) if "attacks" in rows else None
    return _counted(subject, kept[0], kept[1:], columns, layered, on, curve)


def _name(job: Job | None) -> str:
    return "" if job is None else job.name


def _claim(out: Path, subject: Subject, settings: dict[str, object], *, resume: bool) -> None:
    """Note what is evaluated, so that results of another run are never taken for this one's."""
    weights = b"".join(value.numpy().tobytes() for value in subject.network.state_dict().values())
    state = {
        "schema": _SCHEMA,
        "weights": hashlib.sha256(weights).hexdigest(),
        "calibration": asdict(subject.calibration),
        "split": subject.info.split_digest,
        **settings,
    }
    state = json.loads(json.dumps(state))  # tuples become lists, as they will when read back
    path = out / _STATE
    if path.exists() and not resume:
        raise SourceError(f"{out}: holds an evaluation already; go on with --resume or choose another --out")
    if path.exists() and json.loads(path.read_text()) != state:
        raise SourceError(
            f"{out}: an evaluation of another run, or with other settings; choose another --out"
        )
    (out / _CACHE).mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(state, indent=2) + "\n")


def _sample(subject: Subject, limit: int) -> ImageSet:
    """Test cells in a random order."""
    chosen = np.random.default_rng(subject.info.config.seed).permutation(subject.split.test)[:limit]
    return _cells(subject, chosen)


def _cells(subject: Subject, chosen: NDArray[np.int64]) -> ImageSet:
    cells = subject.cells
    patients = np.array([cells.patients[i] for i in chosen])
    images = np.ascontiguousarray(cells.images[chosen])
    return image_set("clean", "cells", images, patients, cells.labels[chosen])


def _fitted(subject: Subject, limit: int) -> Fitted:
    """Observe what scorers are fitted on."""
    cells, split, seed = subject.cells, subject.split, subject.info.config.seed
    train = np.random.default_rng([seed, 1]).permutation(split.train)[: _TRAINING_FACTOR * limit]
    halves = calibration_halves(split.validation, cells.labels, seed=seed)
    fuse, threshold = (cells.images[half] for half in halves)
    known = attacked_set(subject.network, _cells(subject, halves[0][:limit]), KNOWN)
    return Fitted(
        train=observe(subject.network, _augmented(subject, train)),
        labels=cells.labels[train],
        fuse=observe(subject.network, fuse),
        limit=observe(subject.network, threshold),
        known=observe(subject.network, known.images) if len(known) >= FEWEST_KNOWN else None,
        alpha=subject.calibration.alpha,
    )


def _augmented(subject: Subject, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Training cells as the Gaussian statistics have seen them."""
    uniform = draw(len(subject.cells), seed=subject.info.config.seed, epoch=90_003)
    made = []
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        images = augment(as_images(subject.cells, block), uniform[block], Strength())
        made.append((images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy())
    return np.concatenate(made)


def _jobs(
    subject: Subject,
    cells: ImageSet,
    rows: Sequence[Group],
    limit: int,
    strangers: str | None,
    published: str | None,
) -> list[Job]:
    seed, size = subject.info.config.seed, subject.info.input.size
    attacks = [
        Job(attack.name, "attacks", partial(attacked_set, subject.network, cells, attack))
        for attack in ATTACKS
    ]
    every = {
        "paper": lambda: list(paper_jobs(cells, published, limit)),
        "strangers": lambda: list(stranger_jobs(strangers, limit, size)),
        "failures": lambda: list(failure_jobs(cells)),
        "changes": lambda: list(change_jobs(cells, seed=seed)),
        "attacks": lambda: attacks,
    }
    return [job for group in ROWS if group in rows for job in every[group]()]


def _done(
    job: Job, folder: Path, subject: Subject, layered: Sequence[Family], columns: Sequence[Scorer]
) -> Kept:
    """A scored set, made now or by an earlier try."""
    stored = load_kept(folder, job.name)
    if stored is not None:
        return stored
    images = job.make()
    if not len(images):
        kept = Kept(images, np.zeros((0, len(subject.info.classes)), np.float32), {}, {})
        save_kept(folder, kept)
        return kept
    seen = observe(subject.network, images.images)
    # Changes come in 75 sets; what needs gradients would cost more there than all the rest.
    wanted = [column for column in columns if not (column.slow and job.group == "changes")]
    kept = Kept(
        set=images,
        logits=seen.logits,
        scores={column.title: column.score(seen) for column in wanted},
        layers={f.name: f.layers(seen) for f in layered if f.name in FUSED},
    )
    save_kept(folder, kept)
    return kept


def _counted(
    subject: Subject,
    clean: Kept,
    sets: Sequence[Kept],
    columns: Sequence[Scorer],
    layered: Sequence[Family],
    on: Fitted,
    curve: Curve | None,
) -> Evaluation:
    rows: list[Row] = []
    for kept in sets:
        if kept.set.group != "changes" and len(kept.set) >= _FEWEST:
            rows += [_row(clean, kept, column) for column in columns]
            rows += _known_rows(clean, kept, layered, on)
    accuracy = float(clean.right.mean())
    thresholds = {column.title: column.threshold for column in columns}
    changed = [kept for kept in sets if kept.set.group == "changes"]
    changes = [
        change_row(k.set.name, k.right, k.accepted(thresholds, "shipped [0]"), accuracy) for k in changed
    ]
    harmless = [k for k, row in zip(changed, changes, strict=True) if row.verdict == "harmless"]
    accepted = {
        title: float(np.mean([k.accepted(thresholds, title).mean() for k in harmless]))
        for title in (harmless[0].scores if harmless else ())
    }
    config = subject.info.config
    return Evaluation(
        subject=f"{config.network}, split by {config.split}, {len(clean.set)} test cells of "
        f"{len(set(clean.set.patients))} patients",
        clean=clean,
        sets=tuple(sets),
        rows=tuple(rows),
        changes=tuple(changes),
        harmless_accepted=accepted,
        curve=curve,
        thresholds=thresholds,
    )


def _row(clean: Kept, kept: Kept, column: Scorer) -> Row:
    return measure(
        (clean.scores[column.title], kept.scores[column.title]),
        (clean.set.patients, kept.set.patients),
        column.threshold,
        images=kept.set.name,
        group=kept.set.group,
        detector=column.name,
        mode=column.mode,
    )


def _known_rows(clean: Kept, kept: Kept, layered: Sequence[Family], on: Fitted) -> list[Row]:
    """Mode K, the paper's way: fitted on every other image of the set, tested on the rest."""
    rows = []
    half = len(kept.set) // 2
    if half < FEWEST_KNOWN:
        return []
    by_name = {family.name: family for family in layered}
    for name, layers in kept.layers.items():
        fused = fit_against(by_name[name].layers(on.fuse), [layers[0 : 2 * half : 2]])
        rows.append(
            measure(
                (fused(clean.layers[name]), fused(layers[1::2])),
                (clean.set.patients, kept.set.patients[1::2]),
                conformal_threshold(fused(by_name[name].layers(on.limit)), on.alpha),
                images=kept.set.name,
                group=kept.set.group,
                detector=name,
                mode="K",
            )
        )
    return rows


def _curve(subject: Subject, cells: ImageSet, out: Path) -> Curve | None:
    """The adaptive attack on cells that are right and accepted; None if there are none."""
    path = out / _CURVE
    if path.exists():
        stored = json.loads(path.read_text())
        cells_attacked = int(stored.pop("cells"))
        return Curve(cells=cells_attacked, **{name: tuple(values) for name, values in stored.items()})
    some = np.arange(max(1, round(len(cells) * _ADAPTIVE_SHARE)))
    images, labels = to_tensor(cells.pixels[some]), torch.from_numpy(cells.labels[some])
    detector = subject.calibration.detector
    accepted = all_of(
        undetected(subject.network, subject.gaussians, detector), sure(subject.network, detector)
    )
    with torch.no_grad():
        usable = (subject.network(images)[0].argmax(dim=1) == labels) & (accepted(images) > 0)
    if not usable.any():
        return None
    turned = misclassified(subject.network, labels[usable])
    curve = adaptive_curve(images[usable], (turned, all_of(turned, accepted)), LEVELS, steps=ADAPTIVE_STEPS)
    write_text(path, json.dumps(asdict(curve), indent=2) + "\n")
    return curve
