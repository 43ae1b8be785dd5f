"""Cross-fitting: a network for use that learned from all patients, measured by others that never saw them.

A network that is tested has to be kept from its test patients, so either it learns from fewer of them or its
figures are of few. Here the patients are parted; for each part a network is trained on the others and tested
on it, and one more, which is the one to use, is trained on them all. The recipe is the same, so the pooled
figures are those of the recipe: of every patient, and none of them seen. In the same way the cells of all
healthy patients set how sure of a parasite an answer must be; a part's own limit is set by the other parts.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.table import CERTAINTY, limits_of
from edge_runtime.decision.values import log_odds
from edge_runtime.errors import CheckFailedError, SourceError
from training import distributed
from training.calibration import FALSE_POSITIVES, shows_rate, with_certainty
from training.calibration_file import load_calibration, save_calibration
from training.cells.source import CellSet, CellSource
from training.cells.splits import NONE
from training.robustness import MOST_CELLS, CorruptionFigures, Outcome, corrupted, count
from training.run import CALIBRATION, RUN_FILE, add_metrics, load_run, load_split
from training.testing import Answers, CellFigures, summarise
from training.trained import TrainedDetector, load_trained

FOLDS = 5
LOG = "crossfit.log"  # in each run folder: what its steps said
_HOW = "; certainty: of {} cells of healthy patients, unseen by {} networks, at most 1 in {:.0f} is called so"


def cross_fit(folder: Path, options: Sequence[str], *, folds: int = FOLDS, jobs: int = 2) -> CellFigures:
    """Fit and calibrate the network for use and those that measure it, and pool what these say.

    Cut off, the same call goes on where it stood. Every run computes on one thread, so that what comes out
    does not depend on how many run side by side.

    Args:
        folder: run folder of the network for use; those of the others are below it, in "folds".
        options: of `python -m training fit`, but for --run, --test and --resume.
        folds: number of parts.
        jobs: runs side by side.

    Raises:
        CheckFailedError: a step failed; the end of what it said is in the message.
        SourceError: as `pool`.
    """
    runs = {fold_folder(folder, number): f"{number}/{folds}" for number in range(1, folds + 1)}
    with ThreadPoolExecutor(jobs) as pool_of_runs:
        made = [
            pool_of_runs.submit(_make, run, [*options, "--test", test])
            for run, test in {**runs, folder: NONE}.items()
        ]
        try:
            for run in made:
                run.result()
        except BaseException:
            pool_of_runs.shutdown(wait=False, cancel_futures=True)  # what has not begun need not fail, too
            raise
    return pool(folder, folds=folds)


def fold_folder(folder: Path, number: int) -> Path:
    """The run folder of one of the networks that measure, from 1."""
    return folder / "folds" / str(number)


def _make(run: Path, options: Sequence[str]) -> None:
    """Fit and calibrate one run, as far as that is not done."""
    started = (run / RUN_FILE).exists()
    if not started or "validation_accuracy" not in load_run(run).metrics:
        _step(run, ["fit", "--run", str(run), *(["--resume"] if started else []), *options])
    if not (run / CALIBRATION).exists():
        _step(run, ["calibrate", "--run", str(run)])


def _step(run: Path, arguments: Sequence[str]) -> None:
    """One step in a process of its own, which ends with this one."""
    run.mkdir(parents=True, exist_ok=True)
    began, command = time.monotonic(), [sys.executable, "-m", "training", "--threads", "1", "--attended"]
    with (run / LOG).open("ab") as log:
        # Its standard input is never written to; it closes when this process ends, however it ends.
        with subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log) as step:
            code = step.wait()
    if code:
        said = (run / LOG).read_text(errors="replace").strip().splitlines()[-3:]
        raise CheckFailedError(f"{run}: {arguments[0]} ended with exit code {code}: {' / '.join(said)}")
    click.echo(f"{run}: {arguments[0]} done, {(time.monotonic() - began) / 60:.1f} min", err=True)


@dataclass(frozen=True)
class HeldOut:
    """What one network says of the cells that it never saw.

    Attributes:
        run: its run folder.
        trained: its detector.
        chosen: int64 [N], which cells of the set.
        decisions: about them, however unsure of a parasite.
        odds: float64 [N], log-odds of a parasite.
    """

    run: Path
    trained: TrainedDetector
    chosen: NDArray[np.int64]
    decisions: Decisions
    odds: NDArray[np.float64]


def pool(folder: Path, *, folds: int = FOLDS) -> CellFigures:
    """Set the limits of the certainty of all runs, and note the pooled figures in the run for use.

    Args:
        folder: as `cross_fit` made it.
        folds: number of parts.

    Raises:
        SourceError: a run is missing, or its cells have changed.
    """
    source = load_run(folder).config.source()
    held, cells = _held_out(folder, source, folds)
    healthy = [of.odds[cells.healthy[of.chosen] & ~of.decisions.rejected] for of in held]
    limited = [
        limited_by(of.trained.detector, [odds for other, odds in enumerate(healthy) if other != number])
        for number, of in enumerate(held)
    ]
    answers = [
        Answers.of(replace(of.decisions, limits=limits_of(detector)), cells.counted)
        for of, detector in zip(held, limited, strict=True)
    ]
    joined = Answers(
        *(np.concatenate(parts) for parts in zip(*(vars(a).values() for a in answers), strict=True))
    )
    figures = summarise(joined, cells, np.concatenate([of.chosen for of in held]))
    for of, detector in zip(held, limited, strict=True):
        save_calibration(of.run, replace(of.trained.calibration, detector=detector))
    _finish(folder, healthy, folds)
    corruptions = _corruptions(held, limited, cells)
    add_metrics(
        folder,
        test=asdict(figures),
        folds=folds,
        corruptions={name: asdict(of) for name, of in corruptions.items()},
    )
    return figures


def _held_out(folder: Path, source: CellSource, folds: int) -> tuple[list[HeldOut], CellSet]:
    held = []
    for number in range(1, folds + 1):
        run = fold_folder(folder, number)
        trained = load_trained(run, distributed.device())
        cells, split = load_split(trained.info, source)
        if trained.info.config.test != f"{number}/{folds}":
            raise SourceError(
                f"{run}: tests {trained.info.config.test}, expected {number}/{folds}; remove it"
            )
        evidence = trained.evidence(cells.images[split.test])
        detector = _unlimited(trained.detector)
        held.append(
            HeldOut(
                run,
                trained,
                split.test,
                decide(detector, evidence),
                log_odds(evidence.logits, detector.parasitized),
            )
        )
    return held, cells


def _unlimited(detector: Detector) -> Detector:
    return replace(detector, limits={**detector.limits, CERTAINTY: 0.0})


def limited_by(detector: Detector, odds: Sequence[NDArray[np.float64]]) -> Detector:
    """A detector with the certainty that cells of healthy patients ask for, if they are enough to show it.

    Args:
        detector: of a network.
        odds: float64 [N] each, log-odds of a parasite in such cells, by networks that never saw them.
    """
    every = np.concatenate(odds)
    return with_certainty(detector, every) if shows_rate(len(every)) else detector


def _finish(folder: Path, odds: Sequence[NDArray[np.float64]], folds: int) -> None:
    """Give the network for use the limit that all healthy patients ask for."""
    made = load_calibration(folder)
    detector = limited_by(made.detector, odds)
    if detector is not made.detector:
        cells = sum(map(len, odds))
        how = made.how.partition("; certainty")[0] + _HOW.format(cells, folds, 1 / FALSE_POSITIVES)
        made = replace(made, detector=detector, how=how)
    save_calibration(folder, made)


def _corruptions(
    held: Sequence[HeldOut], limited: Sequence[Detector], cells: CellSet
) -> dict[str, CorruptionFigures]:
    """Corrupted cells of every part, by the network that never saw them."""
    outcomes: dict[str, list[Outcome]] = {}
    for of, detector in zip(held, limited, strict=True):
        calibration = replace(of.trained.calibration, detector=detector)
        rng = np.random.default_rng(of.trained.info.config.seed)
        chosen = rng.permutation(of.chosen)[: MOST_CELLS // len(held)]
        for name, outcome in corrupted(replace(of.trained, calibration=calibration), cells, chosen).items():
            outcomes.setdefault(name, []).append(outcome)
    return {name: count(parts) for name, parts in outcomes.items()}
