"""What a bundle was measured to do on cells that took no part in making it, as the manifest states it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PatientCounts:
    """The cells of one patient, by labels on which all readings agree; of healthy patients all of them.

    Attributes:
        healthy: the patient has no parasite.
        parasitized: number of parasitized cells.
        parasitized_accepted: how many of them are accepted.
        parasitized_suspect: how many of them are rejected for being perhaps a parasite, and for nothing else.
        parasitized_called: how many of them are accepted and called parasitized.
        uninfected: number of cells without a parasite.
        uninfected_accepted: how many of them are accepted.
        uninfected_suspect: how many of them are rejected for being perhaps a parasite, and for nothing else.
        uninfected_called: how many of them are accepted and called parasitized.
    """

    healthy: bool
    parasitized: int
    parasitized_accepted: int
    parasitized_suspect: int
    parasitized_called: int
    uninfected: int
    uninfected_accepted: int
    uninfected_suspect: int
    uninfected_called: int


@dataclass(frozen=True)
class Rate:
    """A share of accepted cells that are called parasitized, and how much it differs between patients.

    Attributes:
        called: cells called parasitized.
        accepted: of so many accepted cells; 0 where there were none to measure it on.
        interval: 95 % bounds, low and high, that draw patients; 0 and 1 where nothing can be said.
        correlation: of a beta-binomial distribution, between the cells of one patient: 0 where patients do
            not differ, towards 1 where each has either all of its cells called so or none.
    """

    called: int
    accepted: int
    interval: tuple[float, float]
    correlation: float

    @property
    def share(self) -> float:
        """The share itself, 0 to 1; no number of no cells."""
        return self.called / self.accepted if self.accepted else float("nan")


@dataclass(frozen=True)
class Performance:
    """Figures on test cells that nothing else has used. Shares are of all cells, rejected or not.

    Intervals are 95 % bounds, low and high, that count patients as drawn at random, not cells.

    Attributes:
        split: how the test cells were set apart, "image" or "patient".
        folds: number of networks that were tested, each on a part of the cells that it never saw; 1 if the
            very network of the bundle was tested.
        patients: number of test patients.
        parasitized: number of parasitized test cells.
        uninfected: number of uninfected test cells.
        accuracy: share of cells with the right class.
        accuracy_interval: its bounds.
        sensitivity: share of parasitized cells called parasitized.
        sensitivity_interval: its bounds.
        false_positive_rate: share of uninfected cells called parasitized.
        false_positive_rate_interval: its bounds.
        rejected: share of cells rejected.
        rejected_interval: its bounds.
        accuracy_of_accepted: share of the accepted cells with the right class.
        agreed: number of test cells on which all readings agree.
        agreed_accuracy: of these, the share with the right class.
        agreed_accuracy_of_accepted: of these accepted, the share with the right class.
        called_of_parasitized: parasitized cells, by agreed labels, that are called so where accepted.
        called_of_healthy: cells of patients without a parasite that are called parasitized where accepted.
        counts: the same per patient, for whoever asks another question.
        ood_rejected: share rejected of images that are no red cells, by kind and number.
        corruptions_accepted: share accepted of test cells under a corruption, by corruption.
        corruptions_accuracy: share of those accepted with the right class, by corruption.
    """

    split: str
    folds: int
    patients: int
    parasitized: int
    uninfected: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    sensitivity: float
    sensitivity_interval: tuple[float, float]
    false_positive_rate: float
    false_positive_rate_interval: tuple[float, float]
    rejected: float
    rejected_interval: tuple[float, float]
    accuracy_of_accepted: float
    agreed: int
    agreed_accuracy: float
    agreed_accuracy_of_accepted: float
    called_of_parasitized: Rate
    called_of_healthy: Rate
    counts: tuple[PatientCounts, ...]
    ood_rejected: Mapping[str, float]
    corruptions_accepted: Mapping[str, float]
    corruptions_accuracy: Mapping[str, float]
