"""`cellgate`: the command line of the device. The commands stand in `commands/`."""

import click

from edge_runtime.commands import bundles, cells, device, slides
from edge_runtime.console import Commands
from edge_runtime.version import __version__


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="cellgate")
def main() -> None:
    """Classify blood cells, and say when not to answer. Research use only."""


for command in (
    slides.read,
    slides.report,
    slides.review,
    slides.replay,
    slides.export,
    cells.score,
    bundles.recalibrate,
    bundles.verify,
    bundles.inspect,
    device.device,
    device.doctor,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="cellgate")
