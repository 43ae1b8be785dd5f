"""Which features and which layers should decide? Every choice on the sets of an evaluation, as a table.

    python -m training evaluate --run runs/default --out evaluation --ood other.zip
    python -m scripts.compare_layers --run runs/default --evaluated evaluation

Each choice is a z-sum of the Mahalanobis confidences of some layers, together with the other tests of the
decision, with stability and without, calibrated as the shipped detector is. The sets are those that the
evaluation kept; nothing is attacked again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.console import Commands
from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.limits import Strictness, with_pictures
from edge_runtime.errors import SourceError
from training.calibration import Fusion, z_sum
from training.cells.source import CellSource, cell_source_options
from training.evaluation.counting import corruption_row
from training.evaluation.detectors.mahalanobis import fit_class_conditional, unit
from training.evaluation.detectors.observed import Array, Observed, observe
from training.evaluation.evaluate import CACHE, STATE
from training.evaluation.kept import Kept, load_file
from training.evaluation.metrics import separation
from training.evaluation.scorers import Fitted
from training.evaluation.standings import ATTACKS
from training.evaluation.subject import Subject, fitted_on, load_subject
from training.gaussians import relative_activations

FEATURES: dict[str, Callable[[NDArray[np.float32]], Array]] = {
    "as they are": lambda f: f.astype(np.float64),
    "length 1": unit,
    "relative": relative_activations,
}
NEAR, FAR = "nih_native_ood/masked", ("bccd_wbc", "wbc_tecom")


@dataclass(frozen=True)
class Choice:
    """One way to decide, and what it does; shares are 0 to 1, nan where the evaluation lacks the set.

    Attributes:
        features: a key of FEATURES.
        layers: the layers whose confidences are added.
        stable: whether the answer must be stable, too.
        rejected: share of clean test cells.
        near: AUROC and TNR on white cells, platelets and debris of the same slides.
        far: the same on white cells of other laboratories.
        segmentation: mean AUROC on segmentation errors.
        attacks: share of successful attacks rejected, per strength.
        harmless: mean share accepted under corruptions that cost no accuracy.
        harmful: accuracy of the accepted under corruptions that do.
    """

    features: str
    layers: str
    stable: bool
    rejected: float
    near: tuple[float, float]
    far: tuple[float, float]
    segmentation: float
    attacks: tuple[float, ...]
    harmless: float
    harmful: float


def choices(subject: Subject, kept: dict[str, Kept], on: Fitted) -> Iterator[Choice]:
    """Measure every kind of features with all layers, the deepest ones and the others, twice each."""
    seen = {
        name: observe(subject.trained.network, made.set.images)
        for name, made in kept.items()
        if len(made.set)
    }
    names = subject.trained.network.layers
    count = len(names)
    subsets = [range(count - deepest, count) for deepest in range(count, 0, -1)] + [range(count - 2)]
    detector = subject.trained.detector
    usual = Evidence.of_pictures(subject.cells.images[subject.split.train])
    column = [test.name for test in table.TESTS].index(table.CONFIDENCE)

    def others(images: Observed) -> Array:
        """The values of all tests; those of the confidence are replaced below."""
        nothing = np.zeros((len(images), len(detector.layers)))
        return table.measure(images.evidence(nothing), detector)

    halves = [(half, others(half)) for half in (on.fuse, on.limit)]
    rest = {name: others(images) for name, images in seen.items()}
    for features, transform in FEATURES.items():
        fitted = fit_class_conditional(_with(on.train, transform), on.labels)
        known = [(fitted(_with(half, transform)), values) for half, values in halves]
        outputs = {name: (fitted(_with(images, transform)), rest[name]) for name, images in seen.items()}
        for layers in map(list, subsets):
            told = names[layers[0]] if len(layers) == 1 else f"{names[layers[0]]} to {names[layers[-1]]}"
            fusion = z_sum(known[0][0][:, layers])

            def values(
                confidences: Array, others: Array, fusion: Fusion = fusion, layers: list[int] = layers
            ) -> Array:
                made = others.copy()
                made[:, column] = fusion.score(confidences[:, layers])
                return made

            cells = [values(*half) for half in known]
            strictness = Strictness.of(with_pictures(cells[0], usual, detector), on.alpha)
            made = {name: values(*given) for name, given in outputs.items()}
            for stable in (False, True):
                part = strictness if stable else strictness.without("stability")
                limit = conformal_limit(part.joint(cells[1]), on.alpha)
                scores = {name: part.joint(of_set) for name, of_set in made.items()}
                yield _choice(kept, (features, told), scores, limit, stable=stable)


def _with(images: Observed, transform: Callable[[NDArray[np.float32]], Array]) -> Observed:
    return replace(images, features=tuple(transform(layer).astype(np.float32) for layer in images.features))


def _choice(
    kept: dict[str, Kept], told: tuple[str, str], scores: dict[str, Array], threshold: float, *, stable: bool
) -> Choice:
    clean, accuracy = scores["clean"], float(kept["clean"].right.mean())

    def against(*starts: str) -> tuple[float, float]:
        found = [values for name, values in scores.items() if name.startswith(starts)]
        if not found:
            return float("nan"), float("nan")
        figures = separation(clean, np.concatenate(found))
        return figures.auroc, figures.tnr

    harmless: list[float] = []
    harmful: list[NDArray[np.bool_]] = []
    for name, made in kept.items():
        if made.set.group == "corruptions" and name in scores:
            taken = scores[name] >= threshold
            row = corruption_row(name, made.right, taken, accuracy)
            if row.verdict == "harmless":
                harmless.append(row.accepted)
            elif row.verdict == "harmful":
                harmful.append(made.right[taken])
    errors = [separation(clean, scores[n]).auroc for n, k in kept.items() if k.set.group == "segmentation"]
    return Choice(
        features=told[0],
        layers=told[1],
        stable=stable,
        rejected=float((clean < threshold).mean()),
        near=against(NEAR),
        far=against(*FAR),
        segmentation=_mean(errors),
        attacks=tuple(
            _mean(scores[name] < threshold) if name in scores else float("nan") for name in ATTACKS
        ),
        harmless=_mean(harmless),
        harmful=_mean(np.concatenate([*harmful, np.zeros(0, bool)])),
    )


def _mean(values: list[float] | NDArray[np.generic]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def as_table(found: list[Choice]) -> str:
    """The choices in Markdown."""
    head = [
        "features",
        "layers",
        "stable",
        "clean rejected",
        "near AUROC/TNR",
        "other WBC AUROC/TNR",
        "segmentation errors AUROC",
    ]
    head += ["BIM 2, 4, 8 rejected", "harmless accepted", "harmful: accuracy of accepted"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for one in found:
        shown = [
            _percent(one.rejected),
            " / ".join(map(_percent, one.near)),
            " / ".join(map(_percent, one.far)),
            _percent(one.segmentation),
            ", ".join(map(_percent, one.attacks)),
            _percent(one.harmless),
            _percent(one.harmful),
        ]
        lines.append(" | ".join([one.features, one.layers, "yes" if one.stable else "no", *shown]))
    return "\n".join(f"| {line} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="The run folder.")
@click.option(
    "--evaluated",
    type=click.Path(path_type=Path),
    required=True,
    help="What evaluate --out wrote for that run.",
)
@cell_source_options
def main(run: Path, evaluated: Path, source: CellSource) -> None:
    """Measure every choice of features and layers on the sets of an evaluation."""
    if not (evaluated / STATE).exists():
        raise SourceError(f"{evaluated}: no evaluation; make one with 'python -m training evaluate'")
    subject = load_subject(run, source)
    kept = [load_file(path) for path in sorted((evaluated / CACHE).glob("*.npz"))]
    by_name = {made.set.name: made for made in kept if made is not None}
    if "clean" not in by_name:
        raise SourceError(f"{evaluated}: an evaluation without its cells; make it again")
    on = fitted_on(subject, json.loads((evaluated / STATE).read_text())["limit"])
    click.echo(as_table(list(choices(subject, by_name, on))))


if __name__ == "__main__":
    main()
