"""`cellgate inspect`, `verify` and `recalibrate`: a bundle on this device."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from edge_runtime.bundle.classifier import Classifier, Provider
from edge_runtime.bundle.files import MODEL_CARD, default_bundle, open_bundle
from edge_runtime.commands.device import note_fit
from edge_runtime.commands.options import (
    bundle_argument,
    bundle_option,
    json_option,
    provider_option,
    threads_option,
)
from edge_runtime.console import answer, tell_skipped, to_json


@click.command()
@click.argument("cells", type=click.Path(path_type=Path))
@click.option("--site", required=True, help="A name for the site; it becomes part of the bundle's name.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle to make.")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="CSV path,label: crops of this site, and their classes."
)
@bundle_option
@provider_option
@threads_option
@json_option
def recalibrate(
    cells: Path,
    site: str,
    out: Path,
    labels: Path | None,
    bundle: Path | None,
    provider: Provider,
    threads: int | None,
    as_json: bool,
) -> None:
    """Fit a bundle to a site's stain and light, from unlabelled red cells of ordinary slides.

    CELLS is a folder that 'read' wrote, one that holds such folders and the device's history, or crops: a
    folder or zip; at least 100 cells. Named cells and known-negative slides fit nothing: they tell whether
    the answers can be relied on.
    """
    from edge_runtime.device.labels import named_cells
    from edge_runtime.device.recalibration import recalibrate_bundle
    from edge_runtime.device.site import negative_cells, site_cells
    from edge_runtime.device.trust import tell_false, tell_named

    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    manifest = classifier.bundle.manifest
    found, skipped = site_cells(cells, manifest.input.size, manifest.gates)
    tell_skipped(skipped)
    named = None
    if labels is not None:
        named, skipped = named_cells(labels, manifest.input.size, manifest.classes)
        tell_skipped(skipped)
    negative = negative_cells(cells, manifest.input.size, manifest.gates)
    made = recalibrate_bundle(classifier, found, site, out, named, negative)
    title = open_bundle(out).title
    note_fit(cells, site, title)
    if as_json:
        measured = {name: value for name, value in asdict(made).items() if name != "detector"}
        answer(to_json({"bundle": title, **measured}, indent=2))
        return
    before, after = made.rejected_before, made.rejected_after
    answer(f"{made.cells} cells: {before:.1%} were rejected before, {after:.1%} are now")
    if made.named:
        answer(tell_named(made.named))
    if made.false:
        answer(tell_false(made.false))
    answer(f"bundle {title} in {click.format_filename(out)}")


@click.command()
@bundle_argument
@provider_option
@threads_option
@json_option
def verify(bundle: Path | None, provider: Provider, threads: int | None, as_json: bool) -> None:
    """Replay a bundle's reference vectors on this device; exit code 1 if it decides otherwise.

    BUNDLE is its folder; the default bundle, which came with cellgate, if left out.
    """
    from edge_runtime.bundle.parity import all_passed
    from edge_runtime.bundle.verification import replay

    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    checks = replay(classifier)
    passed = all_passed(checks)
    if as_json:
        told = {
            "bundle": classifier.bundle.title,
            "provider": classifier.provider,
            "passed": passed,
            "checks": [{**asdict(check), "passed": check.passed} for check in checks],
        }
        answer(to_json(told, indent=2))
        sys.exit(0 if passed else 1)
    for check in checks:
        answer(str(check))
    verdict = (
        "decides here as its PyTorch reference did" if passed else "does NOT decide as its reference did"
    )
    answer(f"{classifier.bundle.title} {verdict}, on {classifier.provider}")
    sys.exit(0 if passed else 1)


@click.command()
@bundle_argument
@json_option
def inspect(bundle: Path | None, as_json: bool) -> None:
    """Check a bundle's hashes and show what it says about itself.

    BUNDLE is its folder; the default bundle, which came with cellgate, if left out.
    """
    opened = open_bundle(bundle or default_bundle())
    if as_json:
        answer(to_json({"digest": opened.digest, **asdict(opened.manifest)}, indent=2))
        return
    answer(f"{click.format_filename(opened.path)}: {opened.title}, every hash is right")
    answer(f"sha256 {opened.digest}\n")
    answer(opened.contents[MODEL_CARD].decode("utf-8", errors="replace"))
