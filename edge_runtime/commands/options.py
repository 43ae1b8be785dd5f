"""Options that several commands share."""

import math
from pathlib import Path
from typing import get_args

import click

from edge_runtime.bundle.classifier import Provider
from edge_runtime.report.texts import LANGUAGES

bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="The bundle folder; the default bundle, which came with cellgate, if left out.",
)
bundle_argument = click.argument("bundle", required=False, type=click.Path(path_type=Path))
provider_option = click.option(
    "--provider",
    type=click.Choice(get_args(Provider)),
    default="cpu",
    show_default=True,
    help="Where to compute; an error if it is not to be had.",
)
threads_option = click.option("--threads", type=click.IntRange(1), help="CPU threads; all cores if left out.")
language_option = click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="Of the report and the verdict.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def finite(_: click.Context, __: click.Parameter, seconds: float) -> float:
    """Refuse nan, which no range excludes, and inf."""
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is no number of seconds; give one from 0 on, such as 2")
    return seconds
