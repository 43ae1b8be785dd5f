"""Train, validation and test cells, 60:10:30, by image (the paper's way) or by patient (the honest one)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SplitBy = Literal["image", "patient"]
PARTS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.1, 0.3)


@dataclass(frozen=True)
class Split:
    """Indices into a set of cells, int64, sorted; together they hold every cell once.

    Attributes:
        train: fit the network and the Gaussian statistics.
        validation: fit the fusion of the layers and the threshold (see `calibration_halves`).
        test: touched by `test` and `evaluate` alone.
        digest: sha256 over the names of the cells in each part.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    digest: str


def split_cells(
    names: Sequence[str],
    labels: NDArray[np.int64],
    patients: Sequence[str],
    *,
    by: SplitBy,
    seed: int,
) -> Split:
    """Split cells 60:10:30, both classes in about these shares in every part.

    By patient, all cells of one patient fall into the same part; with few or very unequal patients the
    shares are only approximate.

    Args:
        names: of the N cells; they enter the digest.
        labels: int64 [N], class indices.
        patients: N prefixes.
        by: "image" or "patient".
        seed: of the shuffling.
    """
    rng = np.random.default_rng(seed)
    part = (
        _part_by_image(labels, rng) if by == "image" else _part_by_patient(labels, np.asarray(patients), rng)
    )
    train, validation, test = (np.flatnonzero(part == number).astype(np.int64) for number in range(3))
    digest = hashlib.sha256()
    for part_name, members in zip(PARTS, (train, validation, test), strict=True):
        digest.update(f"{part_name}\n".encode())
        digest.update("\n".join(sorted(names[int(i)] for i in members)).encode())
    return Split(train, validation, test, digest.hexdigest())


def calibration_halves(
    validation: NDArray[np.int64], labels: NDArray[np.int64], *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Halve the validation cells, per class: one half fits the fusion, the other only the threshold."""
    rng = np.random.default_rng([seed, 1])
    first = np.zeros(len(validation), bool)
    for label in np.unique(labels[validation]):
        members = rng.permutation(np.flatnonzero(labels[validation] == label))
        first[members[: len(members) // 2]] = True
    return validation[first], validation[~first]


def _part_by_image(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    part = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        bounds = np.round(np.cumsum(FRACTIONS)[:-1] * len(members)).astype(int)
        for number, chunk in enumerate(np.split(members, bounds)):
            part[chunk] = number
    return part


def _part_by_patient(
    labels: NDArray[np.int64], patients: NDArray[np.str_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give each patient, the largest first, to the part that lacks most cells of the patient's classes."""
    unique, patient_index = np.unique(patients, return_inverse=True)
    counts = np.zeros((len(unique), labels.max() + 1))
    np.add.at(counts, (patient_index, labels), 1)
    wanted = np.outer(FRACTIONS, counts.sum(axis=0))
    lacking = wanted.copy()
    chosen = np.empty(len(unique), np.int64)
    shuffled = rng.permutation(len(unique))
    # Coarse size classes keep the draw random among patients of similar size.
    order = shuffled[np.argsort(-np.log2(counts.sum(axis=1)[shuffled]).round(), kind="stable")]
    for patient in order:
        need = (counts[patient] * lacking / np.maximum(wanted, 1)).sum(axis=1)
        chosen[patient] = int(np.argmax(need))
        lacking[chosen[patient]] -= counts[patient]
    return chosen[patient_index]
