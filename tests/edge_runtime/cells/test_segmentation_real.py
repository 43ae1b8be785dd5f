"""Segmentation on a real photograph through an eyepiece, against boxes that others located."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cells.segmentation import segment

FIELDS = Path(__file__).parents[4] / "shared" / "data" / "fields.zip"
FRAME = "IMG_20150818_101146.jpg"


@pytest.mark.real
@pytest.mark.skipif(not FIELDS.exists(), reason="../shared/data/fields.zip is not here")
def test_located_cells_of_a_phone_photograph_are_found() -> None:
    with zipfile.ZipFile(FIELDS) as archive:
        located = json.loads(archive.read("fields/nih_thin/annotations.json"))["frames"][FRAME]["cells"]
        data = np.frombuffer(archive.read(f"fields/nih_thin/frames/{FRAME}"), np.uint8)
    frame = np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    boxes = np.array([cell.box for cell in segment(frame)], float)
    true = np.array([[cell[side] for side in "xywh"] for cell in located], float)
    low = np.maximum(true[:, None, :2], boxes[None, :, :2])
    high = np.minimum((true[:, :2] + true[:, 2:])[:, None], (boxes[:, :2] + boxes[:, 2:])[None])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    together = true[:, 2:].prod(axis=1)[:, None] + boxes[:, 2:].prod(axis=1)[None] - shared
    found = (shared / together >= 0.5).any(axis=1)
    assert len(true) == 27
    assert found.mean() >= 0.9
