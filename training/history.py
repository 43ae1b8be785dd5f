"""What came of each epoch of training: history.csv in the run folder, and TensorBoard if it is installed."""

import csv
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from edge_runtime.storage import write_whole

HISTORY = "history.csv"
TENSORBOARD = "tensorboard"  # folder of its events, in the run folder


@dataclass(frozen=True)
class Epoch:
    """One pass over the training cells.

    Attributes:
        epoch: its number, from 1.
        loss: mean over its steps; of one that was cut off, over those after the last checkpoint.
        validation_accuracy: share of the validation cells that the averaged weights class as labelled.
        learning_rate: at its end.
        seconds: of training until then.
    """

    epoch: int
    loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the best validation accuracy, the first of several."""
    return max(history, key=lambda epoch: epoch.validation_accuracy)


def has_stalled(history: Sequence[Epoch], patience: int | None) -> bool:
    """Whether as many epochs as one is patient for went by without a better validation accuracy."""
    return (
        patience is not None and bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience
    )


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write history.csv whole, and the last epoch for TensorBoard if it is installed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    write_whole(folder / HISTORY, text.getvalue())
    if importlib.util.find_spec("tensorboard") is not None:
        _show(folder / TENSORBOARD, history[-1])


def _show(folder: Path, last: Epoch) -> None:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - it cannot be imported where it is not

    # What was written of this epoch and later ones before training was cut off is taken back.
    with SummaryWriter(str(folder), purge_step=last.epoch) as writer:
        for name in ("loss", "validation_accuracy", "learning_rate"):
            writer.add_scalar(name, getattr(last, name), last.epoch)
