"""`python -m training`: download, fit, calibrate, test, evaluate."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, get_args

import click
import torch

from edge_runtime.console import Commands, tell
from training import crossfit as crossfitting
from training import distributed, fitting
from training.audit import audit
from training.augmentation import Augmentation
from training.calibration import REJECTED, calibrate_run, known_anomaly
from training.cells.download import NIH, download_archive
from training.cells.source import CellSource, cell_source_options
from training.cells.splits import THIRTY, SplitBy
from training.crossfit import FOLDS
from training.evaluation.evaluate import CELLS, ROWS
from training.evaluation.evaluate import evaluate as run_evaluation
from training.evaluation.subject import load_subject
from training.networks import NETWORKS
from training.processor import has_bfloat16
from training.robustness import measure_corruptions, measure_ood
from training.run import Precision, RunConfig, load_run
from training.telling import tell_figures
from training.testing import measure_run


class _Recipe(NamedTuple):
    epochs: int
    batch_size: int
    learning_rate: float


# What each network gets where its options are left out. The larger ones stay long on a plateau at the start,
# which more and smaller steps leave sooner (docs/experiments/2026-11-26-accuracy.md).
_RECIPES = {
    "edge": _Recipe(24, 64, 0.1),
    "resnet18": _Recipe(20, 32, 0.03),
    "vgg19": _Recipe(20, 16, 0.02),
}

run_option = click.option(
    "--run", "folder", type=click.Path(path_type=Path), required=True, help="The run folder."
)


@click.group(cls=Commands)
@click.option("--threads", type=click.IntRange(1), help="CPU threads; all cores if left out.")
@click.option("--attended", is_flag=True, hidden=True, help="End as soon as standard input closes.")
def main(threads: int | None, attended: bool) -> None:
    """Train a blood-cell classifier and the statistics by which it knows when not to answer."""
    if threads:
        torch.set_num_threads(threads)
    if attended:
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if it was killed."""
    while os.read(0, 1):  # not by sys.stdin, whose lock would then be held when the process ends by itself
        pass
    os._exit(1)  # checkpoints are written whole or not at all


@main.command(context_settings={"ignore_unknown_options": True})
@run_option
@click.option(
    "--folds", type=click.IntRange(2, 20), default=FOLDS, show_default=True, help="Parts of the patients."
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Runs side by side; as many as there are cores if left out."
)
@click.option(
    "--measure-only", is_flag=True, help="Train no network for use; for the figures of a recipe alone."
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def crossfit(
    folder: Path, folds: int, jobs: int | None, measure_only: bool, options: tuple[str, ...]
) -> None:
    """Train the network for use on all patients, and others that measure it on those they never saw.

    OPTIONS are those of `fit`, but for --run, --test and --resume.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    tell_figures(crossfitting.cross_fit(folder, options, folds=folds, jobs=jobs, for_use=not measure_only))


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The file to make, cell_images.zip say."
)
@click.option("--url", default=NIH.url, help="A mirror of the archive; its checksum stays the official one.")
def download(out: Path, url: str) -> None:
    """Fetch the official NIH archive (353 MB), going on where an earlier try broke off."""
    fetched = download_archive(out, url=url)
    click.echo(f"{out}: {'complete' if fetched else 'complete already, nothing to do'}")


@main.command()
@cell_source_options
@click.option("--network", type=click.Choice(NETWORKS), default="edge", show_default=True)
@click.option("--split", type=click.Choice(get_args(SplitBy)), default="patient", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@run_option
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off, with its own settings.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training cells.")
@click.option("--batch-size", type=click.IntRange(2), help="Cells per step, over all processes.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak of the one-cycle schedule."
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="bfloat16 halves the time on processors that have it.",
)
@click.option(
    "--augmentation",
    type=click.Choice(get_args(Augmentation)),
    default="microscope",
    show_default=True,
    help="'harsh' is a worse microscope, 'paper' leaves out light, stain, focus and other segmentations.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="torchvision weights to start from.")
@click.option(
    "--test",
    "tested",
    default=THIRTY,
    show_default=True,
    help="Which cells test: 30%, one of several parts as 2/5, or none.",
)
@click.option(
    "--healthy-weight",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Weight in the loss of cells of patients without a parasite.",
)
@click.option(
    "--overlays",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of cells on which platelets and specks are laid, cut out of cells without a parasite.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after so many epochs without a better validation accuracy, and keep the best weights.",
)
def fit(
    source: CellSource,
    network: str,
    split: SplitBy,
    seed: int,
    folder: Path,
    resume: bool,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    precision: Precision,
    augmentation: Augmentation,
    weights: Path | None,
    tested: str,
    healthy_weight: float,
    overlays: float,
    patience: int | None,
) -> None:
    """Train a network and estimate its Gaussian statistics.

    In several processes: torchrun --nproc-per-node 2 -m -- training fit ...
    """
    with distributed.processes():
        if resume:
            info = fitting.resume(folder, source, _asked())
        else:
            if not source.where:
                raise click.UsageError("Missing option '--cells'.")
            recipe = _RECIPES[network]
            config = RunConfig(
                source.where,
                network,
                split,
                seed,
                epochs or recipe.epochs,
                batch_size or recipe.batch_size,
                learning_rate or recipe.learning_rate,
                str(weights) if weights else None,
                precision,
                augmentation,
                str(source.reread) if source.reread else None,
                source.parasitized,
                tested,
                healthy_weight,
                overlays,
                source.patients,
                patience,
            )
            if precision == "bfloat16" and not has_bfloat16():
                tell(
                    "note: this processor has no bfloat16 and imitates it: an epoch takes twenty times as "
                    "long; stop with Ctrl-C, and leave out --precision"
                )
            info = fitting.fit(config, folder, cache=source.cache)
        if distributed.rank() == 0:
            click.echo(json.dumps(dict(info.metrics), indent=2))


def _asked() -> dict[str, object]:
    """The settings of a run that stand on the command line, by their names in `RunConfig`."""
    context = click.get_current_context()
    # What is said of the cells is compared by what it comes to, when they are loaded.
    names = set(context.params) - {"source", "folder", "resume", "where", "reread", "parasitized", "cache"}
    typed = [n for n in names if context.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE]
    called = {"weights": "pretrained", "tested": "test", "patient_pattern": "patients"}
    values = {called.get(name, name): context.params[name] for name in sorted(typed)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


@main.command()
@run_option
@click.option(
    "--anomalies",
    help="One known anomaly to fit the layers against: images (folder or zip), or 'simulated'.",
)
@click.option("--epsilon", type=click.FloatRange(0, 0.1), help="Perturbation to use; chosen if left out.")
@click.option(
    "--alpha",
    type=click.FloatRange(0.001, 0.5),
    default=REJECTED,
    show_default=True,
    help="Share of good cells that may be rejected.",
)
@cell_source_options
def calibrate(
    folder: Path,
    anomalies: str | None,
    epsilon: float | None,
    alpha: float,
    source: CellSource,
) -> None:
    """Fit the layer weights and the threshold on validation cells."""
    anomaly = known_anomaly(anomalies, load_run(folder).input) if anomalies else None
    made = calibrate_run(folder, source, anomaly=anomaly, epsilon=epsilon, alpha=alpha)
    click.echo(json.dumps(asdict(made), indent=2))


@main.command()
@run_option
@cell_source_options
@click.option("--corruptions", is_flag=True, help="Also judge test cells in other light and out of focus.")
@click.option("--ood", help="Also judge what is no red cell: images, a kind per folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def test(
    folder: Path,
    source: CellSource,
    corruptions: bool,
    ood: str | None,
    as_json: bool,
) -> None:
    """Accuracy, sensitivity and specificity on the test cells, per patient too."""
    result = measure_run(folder, source)
    corrupted = measure_corruptions(folder, source) if corruptions else {}
    strange = measure_ood(folder, ood) if ood else {}
    if as_json:
        told = asdict(result)
        if corruptions:
            told["corruptions"] = {name: asdict(figures) for name, figures in corrupted.items()}
        if ood:
            told["ood"] = {name: asdict(kind) for name, kind in strange.items()}
        click.echo(json.dumps(told, indent=2))
        return
    tell_figures(result)
    for name, figures in corrupted.items():
        click.echo(
            f"{name:<40}{figures.accepted:>8.2%} of {figures.cells} accepted, "
            f"{figures.accuracy_of_accepted:.2%} of these right"
        )
    for name, kind in strange.items():
        click.echo(
            f"{name:<40}{kind.rejected:>8.2%} of {kind.images} rejected, {kind.refused} not judged, "
            f"{kind.parasitized:.0%} called parasitized"
        )


@main.command()
@run_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--rows", help="Kinds of images, with commas between; all of them if left out.")
@click.option(
    "--limit", type=click.IntRange(40), default=CELLS, show_default=True, help="Images per set at most."
)
@click.option("--ood", help="Images that are no red cells: a folder or zip, a kind per folder.")
@click.option("--published", help="The paper's second set as it is published: a folder or zip of images.")
@click.option("--resume", is_flag=True, help="Go on with an evaluation that was cut off.")
@cell_source_options
def evaluate(
    folder: Path,
    out: Path,
    rows: str | None,
    limit: int,
    ood: str | None,
    published: str | None,
    resume: bool,
    source: CellSource,
) -> None:
    """Measure every detector on every kind of image: JSON, tables and plots."""
    from training.evaluation.writing import write_evaluation  # noqa: PLC0415 - matplotlib takes a second

    wanted = ROWS if rows is None else tuple(name for name in ROWS if name in rows.split(","))
    if rows is not None and set(rows.split(",")) != set(wanted):
        raise click.UsageError(f"--rows {rows}: choose among {','.join(ROWS)}")
    subject = load_subject(folder, source)
    made = run_evaluation(subject, out, rows=wanted, limit=limit, ood=ood, published=published, resume=resume)
    for path in write_evaluation(made, out):
        click.echo(path)


main.add_command(audit)

if __name__ == "__main__":
    main(prog_name="python -m training")
