"""Cross-fitting: a network for use that learned from all patients, measured by others that never saw them.

A network that is tested has to be kept from its test patients, so either it learns from fewer of them or its
figures are of few. Here the patients are parted; for each part a network is trained on the others and tested
on it, and one more, which is the one to use, is trained on them all. The recipe is the same, so the pooled
figures are those of the recipe: of every patient, and none of them seen.

In the same way all cells set the limits of the tests, and those of healthy patients how sure of a parasite an
answer must be: a run alone has a few validation patients, whose cells say little of others'. A part's own
limits are set by the other parts.
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
from edge_runtime.decision.limits import shared_limits
from edge_runtime.decision.table import CERTAINTY, TESTS, limits_of, passes
from edge_runtime.decision.values import log_odds
from edge_runtime.errors import CheckFailedError, SourceError
from training import distributed
from training.calibration import FALSE_POSITIVES, shows_rate, with_certainty
from training.calibration_file import Calibration, load_calibration, save_calibration
from training.cells.source import CellSet, CellSource
from training.cells.splits import NONE
from training.intervals import patient_correlation
from training.robustness import MOST_CELLS, CorruptionFigures, Outcome, corrupted, count
from training.run import CALIBRATION, RUN_FILE, add_metrics, load_run, load_split
from training.testing import Answers, CellFigures, summarise
from training.trained import TrainedDetector, load_trained

FOLDS = 5
_SHARING = np.array([test.fixed is None for test in TESTS])  # the tests that share in what may be rejected
LOG = "crossfit.log"  # in each run folder: what its steps said
_HOW_LIMITED = "thresholds: each test its share, conformal on {} cells that {} networks had not seen"
_HOW_CERTAIN = "certainty: of {} such cells of healthy patients at most 1 in {:.0f} is called parasitized"


def cross_fit(
    folder: Path, options: Sequence[str], *, folds: int = FOLDS, jobs: int = 2, for_use: bool = True
) -> CellFigures:
    """Fit and calibrate the network for use and those that measure it, and pool what these say.

    Cut off, the same call goes on where it stood. Every run computes on one thread, so that what comes out
    does not depend on how many run side by side.

    Args:
        folder: run folder of the network for use; those of the others are below it, in "folds".
        options: of `python -m training fit`, but for --run, --test and --resume.
        folds: number of parts.
        jobs: runs side by side.
        for_use: whether to train the network for use, too; a recipe can be measured without one.

    Raises:
        CheckFailedError: a step failed; the end of what it said is in the message.
        SourceError: as `pool`.
    """
    runs = {fold_folder(folder, number): f"{number}/{folds}" for number in range(1, folds + 1)}
    if for_use:
        runs[folder] = NONE
    with ThreadPoolExecutor(jobs) as pool_of_runs:
        made = [pool_of_runs.submit(_make, run, [*options, "--test", test]) for run, test in runs.items()]
        try:
            for run in made:
                run.result()
        except BaseException:
            pool_of_runs.shutdown(wait=False, cancel_futures=True)  # what has not begun need not fail, too
            raise
    return pool(folder, folds=folds) if for_use else measure_recipe(folder)


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
        decisions: about them, by the limits that its own few validation patients set.
        odds: float64 [N], log-odds of a parasite.
        healthy: bool [N], cells of patients without a parasite.
        agreed: bool [N], cells whose label is to be trusted; they set limits.
    """

    run: Path
    trained: TrainedDetector
    chosen: NDArray[np.int64]
    decisions: Decisions
    odds: NDArray[np.float64]
    healthy: NDArray[np.bool_]
    agreed: NDArray[np.bool_]


def pool(folder: Path, *, folds: int = FOLDS) -> CellFigures:
    """Set the limits of all runs by cells that were not seen, and note the pooled figures in the run for use.

    Args:
        folder: as `cross_fit` made it.
        folds: number of parts.

    Raises:
        SourceError: a run is missing, or its cells have changed.
    """
    held, cells = _held_out(folder, load_run(folder).config.source(), folds)
    limited, decisions = _limited(held)
    figures = summarise(*_answers(held, decisions, cells))
    for of, own in zip(held, limited, strict=True):
        save_calibration(of.run, own)
    patients = np.array(cells.patients)[np.concatenate([of.chosen for of in held])]
    rejected = np.concatenate([one.failed[:, _SHARING].any(axis=1) for one in decisions])
    correlation = min(patient_correlation(rejected, patients), 0.99)
    save_calibration(folder, replace(limited_by(load_calibration(folder), held), correlation=correlation))
    corruptions = _corruptions(held, limited, cells)
    add_metrics(
        folder,
        test=asdict(figures),
        folds=folds,
        corruptions={name: asdict(of) for name, of in corruptions.items()},
    )
    return figures


def measure_recipe(folder: Path, reread: Path | None = None) -> CellFigures:
    """The pooled figures of networks that measure, noted nowhere.

    Args:
        folder: as `cross_fit` made it, with a network for use or without.
        reread: a second reading by which to judge what was trained without one; the runs' own if None.

    Raises:
        SourceError: a run is missing, or its cells have changed.
    """
    return summarise(*held_out_answers(folder, reread))


def held_out_answers(folder: Path, reread: Path | None = None) -> tuple[Answers, CellSet, NDArray[np.int64]]:
    """What networks that measure answer of the cells that they never saw, by limits that others set.

    Args:
        folder: see `measure_recipe`.
        reread: likewise.

    Returns:
        The answers, the cells of the run, and which of them the answers are about, in their order.

    Raises:
        SourceError: a run is missing, or its cells have changed.
    """
    first = load_run(fold_folder(folder, 1))
    held, cells = _held_out(folder, first.config.source(), int(first.config.test.partition("/")[2]))
    if reread is not None:
        # The same cells in the same order; only what is said of them differs.
        cells = replace(first.config.source(), reread=reread).load(first.input)
        held = [_judged(of, cells) for of in held]
    return _answers(held, _limited(held)[1], cells)


def _limited(held: Sequence[HeldOut]) -> tuple[list[Calibration], list[Decisions]]:
    """Every part's calibration by the limits that the others set, and its decisions by these."""
    made = [limited_by(of.trained.calibration, [o for o in held if o is not of]) for of in held]
    return made, [
        replace(of.decisions, limits=limits_of(own.detector)) for of, own in zip(held, made, strict=True)
    ]


def _answers(
    held: Sequence[HeldOut], decisions: Sequence[Decisions], cells: CellSet
) -> tuple[Answers, CellSet, NDArray[np.int64]]:
    answers = Answers.joined([Answers.of(one, cells.counted) for one in decisions])
    return answers, cells, np.concatenate([of.chosen for of in held])


def _judged(held: HeldOut, cells: CellSet) -> HeldOut:
    """What a network says, with what is said of its cells taken from a set."""
    healthy = cells.healthy[held.chosen]
    return replace(held, healthy=healthy, agreed=cells.agreed[held.chosen] | healthy)


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
        of = HeldOut(
            run,
            trained,
            split.test,
            decide(trained.detector, evidence),
            log_odds(evidence.logits, trained.detector.parasitized),
            healthy=cells.healthy[split.test],
            agreed=cells.agreed[split.test] | cells.healthy[split.test],
        )
        held.append(of)
    return held, cells


def limited_by(made: Calibration, others: Sequence[HeldOut]) -> Calibration:
    """A run's calibration with the limits that cells ask for which other networks of the recipe never saw.

    Args:
        made: of the run alone. What is set by too few cells for its rate stays as it is there.
        others: what those networks say of their cells.
    """
    values = np.concatenate([of.decisions.values[of.agreed] for of in others])
    if len(values) < 1 / made.alpha:
        return made
    detector = shared_limits(made.detector, values, made.alpha)
    told = _HOW_LIMITED.format(len(values), len(others))
    made = replace(made, detector=detector, threshold_cells=len(values), how=_told(made.how, told))
    odds = np.concatenate([_accepted_of_healthy(of, detector) for of in others])
    if not shows_rate(len(odds)):
        return made
    told = _HOW_CERTAIN.format(len(odds), 1 / FALSE_POSITIVES)
    return replace(made, detector=with_certainty(detector, odds), how=_told(made.how, told))


def _accepted_of_healthy(held: HeldOut, detector: Detector) -> NDArray[np.float64]:
    """The log-odds of a parasite in the cells of healthy patients that pass, however sure they must be."""
    limits = limits_of(replace(detector, limits={**detector.limits, CERTAINTY: 0.0}))
    return held.odds[held.healthy & passes(held.decisions.values, limits).all(axis=1)]


def _told(how: str, part: str) -> str:
    """What is said of how a calibration was made, with one part in place of the one that begins alike."""
    begin = part.partition(":")[0]
    return "; ".join([*(one for one in how.split("; ") if not one.startswith(f"{begin}:")), part])


def _corruptions(
    held: Sequence[HeldOut], limited: Sequence[Calibration], cells: CellSet
) -> dict[str, CorruptionFigures]:
    """Corrupted cells of every part, by the network that never saw them."""
    outcomes: dict[str, list[Outcome]] = {}
    for of, calibration in zip(held, limited, strict=True):
        rng = np.random.default_rng(of.trained.info.config.seed)
        chosen = rng.permutation(of.chosen)[: MOST_CELLS // len(held)]
        for name, outcome in corrupted(replace(of.trained, calibration=calibration), cells, chosen).items():
            outcomes.setdefault(name, []).append(outcome)
    return {name: count(parts) for name, parts in outcomes.items()}
