"""The one training loop: any network, one process or several, cut off at any time and resumed.

SGD with Nesterov momentum on a one-cycle schedule; the weights that are kept are an exponential moving
average, which is what the Gaussian statistics are then estimated on.
"""

import copy
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.console import tell
from edge_runtime.errors import SourceError
from training import distributed
from training.augmentation import STRENGTHS, augment, draw
from training.cells.source import CellSet, CellSource
from training.cells.splits import NONE, Split
from training.checkpoint import State
from training.history import Epoch, best_epoch, has_stalled, write_history
from training.networks import Network, build_network, channels_last, load_pretrained
from training.overlays import COLUMNS, Planes, bank_of, overlaid
from training.reference import BLOCK
from training.run import (
    CHECKPOINT,
    RUN_FILE,
    WEIGHTS,
    Precision,
    RunConfig,
    RunInfo,
    add_metrics,
    load_network,
    load_run,
    load_split,
    make_split,
    new_run,
    save_run,
    save_weights,
)
from training.statistics import fit_statistics, predict, to_tensor

WEIGHT_DECAY = 5e-4
MOMENTUM = 0.9
LABEL_SMOOTHING = 0.05
WARM_UP = 0.2  # share of the steps in which the learning rate rises
AVERAGE_DECAY = 0.99  # of the moving average of the weights, per step
CHECKPOINT_SECONDS = 120.0


def fit(config: RunConfig, folder: Path, *, cache: Path | None = None) -> RunInfo:
    """Start a run: split the cells, train the network, estimate the Gaussian statistics.

    Args:
        config: what to make.
        folder: the run folder, which must not hold a run yet.
        cache: folder of the cache of cells.

    Raises:
        SourceError: the cells or weights cannot be used, or the folder holds a run already.
    """
    if (folder / RUN_FILE).exists():
        raise SourceError(f"{folder}: holds a run already; go on with --resume or choose another folder")
    cells = _load_once(config.source(cache))
    # In full: the run may be read from another folder.
    reread = str(Path(config.reread).resolve()) if config.reread else None
    config = replace(config, cells=cells.sources, reread=reread, parasitized=cells.parasitized)
    _check_known(config, cells)
    split = make_split(config, cells)
    tested = len(split.test) or config.test == NONE
    if not (len(split.train) >= config.batch_size and len(split.validation) and tested):
        raise SourceError(f"{cells.source}: {len(cells)} cells are too few to train on")
    _check_classes(cells, split)
    # Everything that could be refused is, before there is a run that a second try would trip over.
    _check_shares(config, split)
    bank_of(config, cells, split)
    layers = _build(config, len(cells.classes)).layers
    distributed.wait()
    if distributed.rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        save_run(folder, new_run(config, cells, split, layers))
    return _go_on(folder, cells, split)


def resume(folder: Path, source: CellSource, asked: Mapping[str, object] | None = None) -> RunInfo:
    """Go on with a run that was cut off; a run that has ended is left as it is.

    Args:
        folder: the run folder.
        source: where the run's cells are now, if they were moved.
        asked: settings that the run must have, by their names in `RunConfig`.

    Raises:
        SourceError: there is no run, its cells have changed, or it was begun with other settings.
    """
    info = load_run(folder)
    for name, value in (asked or {}).items():
        if value != getattr(info.config, name):
            told = f"{name.replace('_', ' ')} {getattr(info.config, name)}, not {value}"
            raise SourceError(f"{folder}: was begun with {told}; resume without it, or begin another run")
    if distributed.rank() != 0:
        distributed.wait()  # the first process fills the cache for all
    cells, split = load_split(info, source)
    if distributed.rank() == 0:
        distributed.wait()
    _check_shares(info.config, split)
    return _go_on(folder, cells, split)


def _load_once(source: CellSource) -> CellSet:
    if distributed.rank() != 0:
        distributed.wait()  # the first process fills the cache for all
    cells = source.load(InputSpec())
    if distributed.rank() == 0:
        distributed.wait()
    return cells


def _check_known(config: RunConfig, cells: CellSet) -> None:
    """Refuse a split by patients whom nobody knows."""
    unknown = cells.patients.count("")
    if unknown and config.split == "patient":
        raise SourceError(
            f"{cells.source}: nobody knows whom {unknown} of {len(cells)} cells were taken from; add a "
            "column patient or --patient-pattern, or split by image (--split image)"
        )
    if unknown and distributed.rank() == 0:
        tell(
            f"note: nobody knows whom {unknown} of {len(cells)} cells were taken from: cells of one patient "
            "may be trained on and tested on, which flatters every figure"
        )


def _check_classes(cells: CellSet, split: Split) -> None:
    """Refuse a class that is not there to be learnt and calibrated."""
    parts = (cells.labels, cells.labels[split.train], cells.labels[split.validation])
    counts = zip(*(np.bincount(part, minlength=len(cells.classes)) for part in parts), strict=True)
    for name, (every, train, validation) in zip(cells.classes, counts, strict=True):
        if train < 2 or not validation:
            raise SourceError(
                f"{cells.source}: of {every} cells of the class {name} {train} train and {validation} "
                "validate, too few; add some, of more patients, or leave the class out"
            )


def _check_shares(config: RunConfig, split: Split) -> None:
    """Refuse more processes than can have equal shares of a batch, and a block of cells each."""
    processes = distributed.world_size()
    if config.batch_size % processes or len(split.train) <= BLOCK * (processes - 1):
        raise SourceError(
            f"{processes} processes cannot share batches of {config.batch_size} of {len(split.train)} "
            "cells; choose a batch size that they divide, or fewer processes"
        )


def _build(config: RunConfig, classes: int) -> Network:
    """The network a run starts from."""
    torch.manual_seed(config.seed)
    network = build_network(config.network, classes)
    if config.pretrained is not None:
        load_pretrained(network, Path(config.pretrained))
    return network


def _go_on(folder: Path, cells: CellSet, split: Split) -> RunInfo:
    distributed.wait()
    info = load_run(folder)
    if not (folder / WEIGHTS).exists():
        _train(folder, info, cells, split)
    distributed.wait()
    if "validation_accuracy" not in info.metrics:
        network = load_network(folder, info, distributed.device())
        fit_statistics(folder, info, network, cells, split.train)
        accuracy = _accuracy(network, cells, split.validation)
        if distributed.rank() == 0:
            add_metrics(folder, validation_accuracy=accuracy)
            (folder / CHECKPOINT).unlink(missing_ok=True)
    distributed.wait()
    return load_run(folder)


def _start(config: RunConfig, classes: int, steps: int) -> State:
    network = channels_last(_build(config, classes).to(distributed.device()))
    optimiser = torch.optim.SGD(
        network.parameters(),
        config.learning_rate,
        MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        config.learning_rate,
        total_steps=steps + 1,
        # Of one step at least: the schedule divides by the length of its phases.
        pct_start=max(WARM_UP, min(1.0, 2 / (steps + 1))),
        cycle_momentum=False,
    )
    return State(network, copy.deepcopy(network), optimiser, schedule)


def _train(folder: Path, info: RunInfo, cells: CellSet, split: Split) -> None:
    """Train from wherever the run stands, and write its weights.

    Several processes each normalise by the statistics of their own share of a batch (torch has batch norm
    over all processes on GPUs only). The running statistics that are kept are those of process 0, whose
    share is a random part of every batch; weights.pt gives them to all.
    """
    config = info.config
    per_epoch = len(split.train) // config.batch_size
    steps = per_epoch * config.epochs
    cut_off = (folder / CHECKPOINT).exists()
    # Where a checkpoint goes on, the weights it once began with are not needed, and may be gone.
    state = _start(replace(config, pretrained=None) if cut_off else config, len(info.classes), steps)
    if cut_off:
        state.load(folder)
    assert isinstance(state.network, nn.Module)
    model: nn.Module = state.network
    if distributed.world_size() > 1:
        model = DistributedDataParallel(model)
    bank = bank_of(config, cells, split)
    while state.step < steps and not _has_stalled(state, config):
        epoch = state.step // per_epoch
        loss = _train_epoch(model, state, info, cells, split, bank, folder, epoch, per_epoch)
        if distributed.rank() == 0:
            _end_epoch(state, epoch + 1, loss, folder, config, cells, split)
    if distributed.rank() == 0:
        weights = state.best or state.average.state_dict()
        save_weights(folder / WEIGHTS, {k: v.cpu().contiguous() for k, v in weights.items()})
        if state.best:
            add_metrics(folder, best_epoch=best_epoch(state.history).epoch)
        add_metrics(folder, training_seconds=round(state.seconds, 1), processes=distributed.world_size())


def _end_epoch(
    state: State, number: int, loss: float, folder: Path, config: RunConfig, cells: CellSet, split: Split
) -> None:
    """Validate the averaged weights, and note, keep and tell what came of an epoch."""
    assert isinstance(state.average, nn.Module)
    accuracy = _accuracy(state.average.eval(), cells, split.validation)
    state.average.train()
    rate = float(state.schedule.get_last_lr()[0])
    state.history.append(Epoch(number, round(loss, 6), round(accuracy, 6), rate, round(state.seconds, 1)))
    if config.patience is not None and best_epoch(state.history).epoch == number:
        state.best = {name: value.clone() for name, value in state.average.state_dict().items()}
    state.save(folder)
    write_history(folder, state.history)
    click.echo(
        f"epoch {number}/{config.epochs}  loss {loss:.4f}  validation accuracy {accuracy:.2%}  "
        f"{state.seconds / 60:.1f} min",
        err=True,
    )


def _has_stalled(state: State, config: RunConfig) -> bool:
    """Whether to stop early; process 0 knows the validation accuracy, and the others stop with it."""
    if config.patience is None:
        return False
    stalled = distributed.rank() == 0 and has_stalled(state.history, config.patience)
    return bool(distributed.summed(torch.tensor([float(stalled)])).item())


def _train_epoch(
    model: nn.Module,
    state: State,
    info: RunInfo,
    cells: CellSet,
    split: Split,
    bank: Sequence[Planes],
    folder: Path,
    epoch: int,
    per_epoch: int,
) -> float:
    """Go on with one epoch from wherever it stands; returns the mean loss of what was left of it."""
    config = info.config
    order = np.random.default_rng([config.seed, epoch]).permutation(split.train)
    uniform = draw(len(cells), seed=config.seed, epoch=epoch)
    first = state.step - epoch * per_epoch
    share = slice(distributed.rank(), None, distributed.world_size())
    weights = torch.from_numpy(np.where(cells.healthy, config.healthy_weight, 1.0).astype(np.float32))
    laid = np.random.default_rng([config.seed, epoch, 2]).random((len(cells), COLUMNS), np.float32)
    device, strength = distributed.device(), STRENGTHS[config.augmentation]
    losses: list[Tensor] = []
    clock = saved = time.monotonic()
    model.train()
    numbers = range(first, per_epoch)
    hidden = distributed.rank() != 0
    with click.progressbar(numbers, label=f"epoch {epoch + 1}", hidden=hidden, file=sys.stderr) as bar:
        for number in bar:
            chosen = order[number * config.batch_size : (number + 1) * config.batch_size][share]
            crops = cells.images[chosen]
            if bank:
                crops = overlaid(crops, cells.infected[chosen], bank, laid[chosen], config.overlays)
            images = augment(to_tensor(crops).to(device), uniform[chosen], strength)
            labels = torch.from_numpy(cells.labels[chosen]).to(device)
            losses.append(_step(model, state, images, labels, weights[chosen].to(device), config.precision))
            now = time.monotonic()
            state.seconds, clock = state.seconds + now - clock, now
            if distributed.rank() == 0 and now - saved > CHECKPOINT_SECONDS:
                state.save(folder)
                saved = now
    return float(torch.stack(losses).mean())


def _step(
    model: nn.Module,
    state: State,
    images: Tensor,
    labels: Tensor,
    weights: Tensor,
    precision: Precision,
) -> Tensor:
    half = precision == "bfloat16"
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        logits, _ = model(images.contiguous(memory_format=torch.channels_last))
    of_cell = F.cross_entropy(logits.float(), labels, label_smoothing=LABEL_SMOOTHING, reduction="none")
    loss = (of_cell * weights).sum() / weights.sum()
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.schedule.step()
    state.step += 1
    _follow(state)
    return loss.detach()  # a tensor: whoever asks for its value waits until a GPU has it


@torch.no_grad()
def _follow(state: State) -> None:
    """Move the average towards the weights; early on faster, so that the start is forgotten."""
    decay = min(AVERAGE_DECAY, (1 + state.step) / (10 + state.step))
    current = state.network.state_dict()
    for name, value in state.average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - decay)
        else:
            value.copy_(current[name])


def _accuracy(network: Network, cells: CellSet, chosen: NDArray[np.int64]) -> float:
    logits, _ = predict(network, cells, chosen)
    return float((logits.argmax(axis=1) == cells.labels[chosen]).mean())
