"""Pictures of the cells that a person will look at, with a ring around what their decision hangs on."""

from itertools import islice

import cv2
import numpy as np

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.why import drawn, why_maps
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.review.queue import Key, queue
from edge_runtime.slide.judging import cut_again, decide_cut

MOST = 120  # cells of a slide; each costs as much as some thirty decisions
_AT_ONCE = 32
_QUALITY = 80


def maps_of(record: SlideRecord, classifier: Classifier, most: int = MOST) -> dict[Key, bytes]:
    """The pictures of the cells that come first in the review, by their numbers; WebP.

    A cell that is rejected for its size, outline or stain alone has none: all of it decides.

    Args:
        record: of the slide.
        classifier: that read it.
        most: how many cells to look at.
    """
    size, keys, pictures = classifier.bundle.manifest.input.size, iter(queue(record)[:most]), {}
    while some := list(islice(keys, _AT_ONCE)):
        cut = [cut_again(record.cell(*key), size) for key in some]
        resized = np.stack([cell.resized for cell in cut])
        maps = why_maps(classifier, resized, decide_cut(cut, classifier))
        for key, crop, why in zip(some, resized, maps, strict=True):
            if why.any():
                shown = cv2.cvtColor(drawn(crop, why), cv2.COLOR_RGB2BGR)
                pictures[key] = cv2.imencode(".webp", shown, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[
                    1
                ].tobytes()
    return pictures
