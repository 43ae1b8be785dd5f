"""One process or several (`torchrun`): the same code, with sums over all processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from edge_runtime.errors import CellgateError


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes that `torchrun` started, if it did; leave them at the end."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place."""
    if dist.is_initialized():
        on_host = values.cpu()
        dist.all_reduce(on_host)
        values.copy_(on_host)
    return values


def wait() -> None:
    """Wait until every process has come this far.

    Raises:
        CellgateError: one of them has ended.
    """
    if dist.is_initialized():
        try:
            dist.barrier()
        except RuntimeError as error:
            raise CellgateError("another process ended early; its own message says why") from error


def device() -> torch.device:
    """Where to compute: the first GPU if there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Convolutions in TF32, the default there, would move features by a thousandth.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")
