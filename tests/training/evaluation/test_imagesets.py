"""The sets of images: the paper's second set, and what is no red cell."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import ImageError
from training.evaluation.imagesets import image_set, ood_jobs, paper_jobs

SIZE = 32


def cells(count: int = 6) -> np.ndarray:
    made = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    for number, image in enumerate(made):
        cv2.circle(image, (16, 16), 14, (200, 150, 160), -1)
        cv2.circle(image, (10 + number, 16), 4, (90, 40, 120), -1)
    return made


def test_the_second_set_made_anew_has_two_levels_and_a_white_background() -> None:
    made = next(iter(paper_jobs(image_set("clean", "cells", cells()), None, 10))).make().images
    assert set(np.unique(made)) == {0, 255}
    assert (made[:, 0, 0] == 255).all()
    assert (made[..., :1] == made).all()


def test_images_of_the_second_set_that_are_the_same_count_once() -> None:
    same = image_set("clean", "cells", np.repeat(cells(1), 5, axis=0))
    assert len(next(iter(paper_jobs(same, None, 10))).make()) == 1


def test_the_published_set_may_be_grey(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    for number in range(4):
        grey = np.full((40, 50), 255, np.uint8)
        grey[number * 5 : number * 5 + 5] = 0
        cv2.imwrite(str(tmp_path / "Images" / f"{number}.png"), grey)
    _, published = paper_jobs(image_set("clean", "cells", cells()), str(tmp_path), 3)
    made = published.make()
    assert made.images.shape == (3, SIZE, SIZE, 3)
    (tmp_path / "Images" / "0.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="not an image that can be decoded"):
        published.make()


def test_ood_images_are_grouped_by_their_upper_folders(tmp_path: Path) -> None:
    for folder in ("other/lab/wbc/a", "other/lab/wbc/b", "other/slides"):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "one.png"), cells(1)[0])
    jobs = {job.name: job for job in ood_jobs(str(tmp_path), 10, SIZE)}
    assert set(jobs) == {"lab/wbc", "slides", "simulated OOD"}
    assert len(jobs["lab/wbc"].make()) == 2
    assert 0 < len(jobs["simulated OOD"].make()) <= 10
