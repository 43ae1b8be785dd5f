"""The whole evaluation of a run: sets of images, outputs, scores, rows.

Sets are made and scored one after another and kept below the output, so that an evaluation that was cut off
goes on where it stood; rows are then counted from what is kept.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch

from edge_runtime.errors import SourceError
from edge_runtime.storage import write_whole
from training.evaluation.attacked import ATTACKS, Curve, Wanted, adaptive_curve, as_tensors, attacked_set
from training.evaluation.attacks.objectives import Shared, all_of, misclassified
from training.evaluation.attacks.twins import Attackable, twins
from training.evaluation.counting import Evaluation, count
from training.evaluation.detectors.observed import observe
from training.evaluation.imagesets import (
    Group,
    ImageSet,
    Job,
    corruption_jobs,
    ood_jobs,
    paper_jobs,
    segmentation_jobs,
)
from training.evaluation.kept import Kept, load_kept, save_kept
from training.evaluation.scorers import FUSED, Family, Fitted, Scorer, answer_values, families, scorers
from training.evaluation.subject import Subject, drawn_test_cells, fitted_on

ADAPTIVE = "adaptive"  # the attacker who knows the decision: a curve, and hours of its own
_SETS: tuple[Group, ...] = ("paper", "ood", "segmentation", "corruptions", "attacks")
ROWS: tuple[str, ...] = (*_SETS, ADAPTIVE)
CELLS = 500  # per set where --limit is left out: a share is then known to 4 points
LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # of the adaptive attack, in grey levels
ADAPTIVE_STEPS = 40
_SOFTNESS = 0.3  # of the attacker's minimum, in units of score and margin
_ADAPTIVE_SHARE = 0.1  # of the cells: an attack on the whole decision costs a dozen on the class
STATE, CACHE, _CURVE = "state.json", "cache", "adaptive.json"
_SCHEMA = 3


def evaluate(
    subject: Subject,
    out: Path,
    *,
    rows: Sequence[str] = ROWS,
    limit: int = CELLS,
    ood: str | None = None,
    published: str | None = None,
    resume: bool = False,
) -> Evaluation:
    """Evaluate a run, going on where an earlier try was cut off.

    Args:
        subject: the run.
        out: folder of everything that is written.
        rows: the kinds of sets wanted, of ROWS.
        limit: images per set at most.
        ood: archive of images that are no red cells, a kind per folder; None for simulated ones only.
        published: archive of the paper's second set; None where it is not at hand.
        resume: go on with what `out` holds.

    Raises:
        SourceError: `out` holds an evaluation already, or one of another run or other settings.
    """
    _claim(out, subject, {"limit": limit, "ood": ood, "published": published}, resume=resume)
    cells = drawn_test_cells(subject, limit)
    on = fitted_on(subject, limit)
    layered = families(subject.trained.model, on)
    columns = scorers(subject.trained, layered, on)
    clean = Job("clean", "cells", lambda: cells)
    jobs = [clean, *_jobs(subject, cells, rows, limit, ood, published)]
    with click.progressbar(jobs, label="sets", show_pos=True, file=sys.stderr, item_show_func=_name) as bar:
        kept = [_done(job, out / CACHE, subject, on, layered, columns) for job in bar]
    curve = _curve(subject, cells, out) if ADAPTIVE in rows else None
    config = subject.trained.info.config
    told = f"{config.network}, split by {config.split}"
    return count(told, subject.trained.info.classes, kept[0], kept[1:], columns, layered, on, curve)


def _name(job: Job | None) -> str:
    return "" if job is None else job.name


def _claim(out: Path, subject: Subject, settings: dict[str, object], *, resume: bool) -> None:
    """Note what is evaluated, so that results of another run are never taken for this one's."""
    weights = b"".join(
        value.cpu().numpy().tobytes() for value in subject.trained.network.state_dict().values()
    )
    state = {
        "schema": _SCHEMA,
        "weights": hashlib.sha256(weights).hexdigest(),
        "calibration": asdict(subject.trained.calibration),
        "split": subject.trained.info.split_digest,
        **settings,
    }
    state = json.loads(json.dumps(state))  # tuples become lists, as they will when read back
    path = out / STATE
    if path.exists() and not resume:
        raise SourceError(f"{out}: holds an evaluation already; go on with --resume or choose another --out")
    if path.exists() and json.loads(path.read_text()) != state:
        raise SourceError(
            f"{out}: an evaluation of another run, or with other settings; choose another --out"
        )
    (out / CACHE).mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(state, indent=2) + "\n")


def _jobs(
    subject: Subject,
    cells: ImageSet,
    rows: Sequence[str],
    limit: int,
    ood: str | None,
    published: str | None,
) -> list[Job]:
    seed, size = subject.trained.info.config.seed, subject.trained.info.input.size
    every: dict[Group, Iterable[Job]] = {  # nothing is made before a group is asked for
        "paper": paper_jobs(cells, published, limit),
        "ood": ood_jobs(ood, limit, size),
        "segmentation": segmentation_jobs(cells),
        "corruptions": corruption_jobs(cells, seed=seed),
        "attacks": (
            Job(attack.name, "attacks", partial(attacked_set, subject.trained.network, cells, attack))
            for attack in ATTACKS
        ),
    }
    return [job for group in _SETS if group in rows for job in every[group]]


def _done(
    job: Job,
    folder: Path,
    subject: Subject,
    on: Fitted,
    layered: Sequence[Family],
    columns: Sequence[Scorer],
) -> Kept:
    """A scored set, made now or by an earlier try."""
    stored = load_kept(folder, job.name)
    if stored is not None:
        return stored
    images = job.make()
    if not len(images):
        nothing = np.zeros((0, len(subject.trained.info.classes)), np.float32)
        kept = Kept(images, nothing, {}, {}, {})
        save_kept(folder, kept)
        return kept
    seen = observe(subject.trained.network, images.images)
    # Corruptions come in 75 sets; what needs gradients would cost more there than all the rest.
    wanted = [column for column in columns if not (column.slow and job.group == "corruptions")]
    kept = Kept(
        set=images,
        logits=seen.logits,
        answers=answer_values(seen, on.detector),
        scores={column.title: column.score(seen) for column in wanted},
        layers={f.name: f.layers(seen) for f in layered if f.name in FUSED},
    )
    save_kept(folder, kept)
    return kept


def _curve(subject: Subject, cells: ImageSet, out: Path) -> Curve | None:
    """The adaptive attack on cells that are right and accepted; None if there are none."""
    path = out / _CURVE
    if path.exists():
        stored = json.loads(path.read_text())
        cells_attacked = int(stored.pop("cells"))
        return Curve(cells=cells_attacked, **{name: tuple(values) for name, values in stored.items()})
    some = np.arange(max(1, round(len(cells) * _ADAPTIVE_SHARE)))
    images, labels = as_tensors(subject.trained.network, cells, some)
    network = Shared(subject.trained.network)
    deployed = Attackable(subject.trained.model, subject.trained.detector)
    tests = twins(deployed, network)
    with torch.no_grad():
        right = subject.trained.network(images)[0].argmax(dim=1) == labels
        usable = right & (all_of(*tests)(images) > 0)
    if not usable.any():
        return None
    images, labels = images[usable], labels[usable]

    def wanted_of(some: torch.Tensor) -> Wanted:
        turned = misclassified(network, labels[some])
        return Wanted(turned, all_of(turned, *tests), all_of(turned, *tests, softness=_SOFTNESS))

    curve = adaptive_curve(images, labels, wanted_of, LEVELS, steps=ADAPTIVE_STEPS)
    write_whole(path, json.dumps(asdict(curve), indent=2) + "\n")
    return curve
