"""Training as it stands: written now and then, so that a run that was cut off goes on bit by bit the same."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from edge_runtime.errors import SourceError
from training.history import Epoch
from training.networks import Network
from training.run import CHECKPOINT, save_weights


@dataclass
class State:
    """What a checkpoint holds: enough to go on as if nothing had happened.

    Attributes:
        network: as it is trained.
        average: its moving average, which is kept in the end.
        optimiser: of the network.
        schedule: of the optimiser's learning rate.
        step: number of steps that were done.
        seconds: of training until then.
        history: what came of each epoch that has ended.
        best: the averaged weights of the best epoch; empty where nobody asked for them.
    """

    network: Network
    average: Network
    optimiser: torch.optim.SGD
    schedule: torch.optim.lr_scheduler.OneCycleLR
    step: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(
        default_factory=dict
    )  # averaged weights of the best epoch, where asked for

    def save(self, folder: Path) -> None:
        """Write checkpoint.pt of a run, whole or not at all."""
        save_weights(
            folder / CHECKPOINT,
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "history": [asdict(epoch) for epoch in self.history],
                "best": self.best,
            },
        )

    def load(self, folder: Path) -> None:
        """Take all from checkpoint.pt of a run.

        Raises:
            SourceError: it is damaged.
        """
        path = folder / CHECKPOINT
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            self.history = [Epoch(**epoch) for epoch in stored["history"]]
            self.best = stored["best"]
        except Exception as error:  # torch raises half a dozen unrelated types here
            raise SourceError(f"{path}: damaged; remove it and --resume trains from the start") from error
        self.network.load_state_dict(stored["network"])
        self.average.load_state_dict(stored["average"])
        self.optimiser.load_state_dict(stored["optimiser"])
        self.schedule.load_state_dict(stored["schedule"])
        self.step, self.seconds = stored["step"], stored["seconds"]
