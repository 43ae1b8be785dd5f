"""Train, validation and test cells, by image (the paper's way) or by patient (the honest one).

Usually 60:10:30. For cross-fitting each of several parts is the test cells of a run of its own; and a network
that is to be used, not measured, needs none.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError

SplitBy = Literal["image", "patient"]
PARTS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.1, 0.3)
THIRTY, NONE = "30%", "none"  # which cells test; or "2/5", the second of five parts


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

    def trusting(self, trusted: NDArray[np.bool_]) -> "Split":
        """The same, but nothing is fitted to cells of a doubtful label: bool [N], which are trusted.

        Test cells stay: figures are given with them and without.
        """
        train, validation = (part[trusted[part]] for part in (self.train, self.validation))
        return replace(self, train=train, validation=validation)


def split_cells(
    names: Sequence[str],
    labels: NDArray[np.int64],
    patients: Sequence[str],
    *,
    by: SplitBy,
    seed: int,
    test: str = THIRTY,
    kinds: NDArray[np.int64] | None = None,
) -> Split:
    """Split cells, every kind in about the same shares in every part.

    By patient, all cells of one patient fall into the same part; with few or very unequal patients the
    shares are only approximate.

    Args:
        names: of the N cells; they enter the digest.
        labels: int64 [N], class indices.
        patients: N prefixes.
        by: "image" or "patient".
        seed: of the shuffling.
        test: which cells test: "30%", "2/5" (the second of five parts, which together hold every cell once),
            or "none". A tenth of all cells are validation cells, the rest train.
        kinds: int64 [N], what has its share in every part beside "30%"; the labels if None.

    Raises:
        SourceError: `test` is something else.
    """
    rng = np.random.default_rng(seed)
    of = labels if kinds is None or test == THIRTY else kinds

    def parts(chosen: NDArray[np.int64], fractions: Sequence[float]) -> NDArray[np.int64]:
        if by == "image":
            return _part_by_image(of[chosen], rng, fractions)
        return _part_by_patient(of[chosen], np.asarray(patients)[chosen], rng, fractions)

    every = np.arange(len(names))
    if test == THIRTY:
        part = parts(every, FRACTIONS)
        train, validation, tested = (every[part == number] for number in range(3))
    else:
        number, count = _part(test)
        part = parts(every, [1 / count] * count) if count else np.ones(len(names), np.int64)
        tested, rest = every[part == number - 1], every[part != number - 1]
        share = FRACTIONS[1] * len(names) / len(rest)
        among = parts(rest, (1 - share, share))
        train, validation = rest[among == 0], rest[among == 1]
    digest = hashlib.sha256()
    for part_name, members in zip(PARTS, (train, validation, tested), strict=True):
        digest.update(f"{part_name}\n".encode())
        digest.update("\n".join(sorted(names[int(i)] for i in members)).encode())
    return Split(train, validation, tested, digest.hexdigest())


def _part(test: str) -> tuple[int, int]:
    """Which of how many parts tests, from 1; (0, 0) for none.

    Raises:
        SourceError: neither "none" nor "2/5".
    """
    if test == NONE:
        return 0, 0
    if found := re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", test):
        number, count = int(found[1]), int(found[2])
        if number <= count and count > 1:
            return number, count
    raise SourceError(f"{test}: cannot say which cells test; give {THIRTY}, a part such as 2/5, or {NONE}")


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


def _part_by_image(
    labels: NDArray[np.int64], rng: np.random.Generator, fractions: Sequence[float]
) -> NDArray[np.int64]:
    part = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        bounds = np.round(np.cumsum(fractions)[:-1] * len(members)).astype(int)
        for number, chunk in enumerate(np.split(members, bounds)):
            part[chunk] = number
    return part


def _part_by_patient(
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    rng: np.random.Generator,
    fractions: Sequence[float],
) -> NDArray[np.int64]:
    """Give each patient, the largest first, to the part that lacks most cells of the patient's classes."""
    unique, patient_index = np.unique(patients, return_inverse=True)
    counts = np.zeros((len(unique), labels.max() + 1))
    np.add.at(counts, (patient_index, labels), 1)
    wanted = np.outer(fractions, counts.sum(axis=0))
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
