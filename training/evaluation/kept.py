"""What is kept of a set once it is scored: one npz file each, no pickle."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge_runtime.storage import whole_file
from training.evaluation.imagesets import Group, ImageSet

_ANSWER, _SCORE, _LAYERS, _VERSION = "answer ", "score ", "layers ", "version"
_SCHEMA = 2  # of a file


@dataclass(frozen=True)
class Kept:
    """A scored set.

    Attributes:
        set: the images.
        logits: float32 [N, K].
        answers: by name of the test, float64 [N]: what tests of the classifier's answer looked at (see
            `scorers.answer_values`).
        scores: by title of the scorer, float64 [N]; empty for an empty set.
        layers: by name of the family, float64 [N, L].
    """

    set: ImageSet
    logits: NDArray[np.float32]
    answers: Mapping[str, NDArray[np.float64]]
    scores: Mapping[str, NDArray[np.float64]]
    layers: Mapping[str, NDArray[np.float64]]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the classifier has each image right: bool [N]."""
        return np.asarray(self.logits.argmax(axis=1) == self.set.labels)

    def accepted(self, thresholds: Mapping[str, float], title: str) -> NDArray[np.bool_]:
        """Whether a scorer accepts each image: bool [N]."""
        return np.asarray(self.scores[title] >= thresholds[title])


def save_kept(folder: Path, kept: Kept) -> None:
    """Write a scored set, whole or not at all."""
    images = kept.set
    path = _path(folder, images.name)
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            **{_VERSION: np.array(_SCHEMA)},
            name=np.array(images.name),
            group=np.array(images.group),
            images=images.images,
            patients=images.patients.astype(str),
            labels=images.labels,
            attempts=np.array(images.attempts),
            logits=kept.logits,
            **{_ANSWER + name: value for name, value in kept.answers.items()},
            **{_SCORE + title: value for title, value in kept.scores.items()},
            **{_LAYERS + name: value for name, value in kept.layers.items()},
        )


def load_kept(folder: Path, name: str) -> Kept | None:
    """Read a scored set; None where it is not there, or was damaged and must be made again."""
    kept = load_file(_path(folder, name))
    # Another set's name can make the same file name.
    return kept if kept is not None and kept.set.name == name else None


def load_file(path: Path) -> Kept | None:
    """Read a scored set from its file; None where it is not there, damaged, or of an earlier version."""
    try:
        # np.load would leave a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if stored.get(_VERSION) != _SCHEMA:
        return None
    images = ImageSet(
        name=str(stored["name"]),
        group=cast("Group", str(stored["group"])),  # as it was written
        images=stored["images"],
        patients=stored["patients"],
        labels=stored["labels"],
        attempts=int(stored["attempts"]),
    )
    return Kept(
        set=images,
        logits=stored["logits"],
        answers={k.removeprefix(_ANSWER): v for k, v in stored.items() if k.startswith(_ANSWER)},
        scores={k.removeprefix(_SCORE): v for k, v in stored.items() if k.startswith(_SCORE)},
        layers={k.removeprefix(_LAYERS): v for k, v in stored.items() if k.startswith(_LAYERS)},
    )


def _path(folder: Path, name: str) -> Path:
    return folder / (re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") + ".npz")
