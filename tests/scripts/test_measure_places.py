"""The measurement of places: its frames, its table, and a small run of it."""

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.simulator import simulate_field
from scripts import measure_places
from scripts.measure_places import HEIGHT, WIDTH, Row, main, measure, moves, table, wilson


@pytest.mark.parametrize("share", measure_places.SHARES)
def test_every_move_leaves_its_share_of_a_frame(share: float) -> None:
    for x, y in moves(share):
        assert (WIDTH - abs(x)) * (HEIGHT - abs(y)) == pytest.approx(share * WIDTH * HEIGHT, rel=0.01)


def test_a_small_measurement_finds_the_overlap_and_an_empty_film_has_none() -> None:
    sizes = {"width": 3 * WIDTH, "height": 2 * HEIGHT}
    film = simulate_field(3, cells=120, **sizes).frame
    row = measure([film], 0.3, np.random.default_rng(0))
    assert (row.share, row.pairs, row.found, row.wrong, row.twice) == (0.3, 3, 3, 0, 0)
    assert row.error < 4
    empty = measure([np.full_like(film, 230)], 0.3, np.random.default_rng(0))
    assert (empty.pairs, empty.found, empty.twice) == (3, 0, 0)


def test_cells_that_both_frames_show_are_counted() -> None:
    film = simulate_field(3, width=WIDTH + 200, height=HEIGHT, cells=30).frame
    assert measure_places.cells_in_both(film[:, :WIDTH], film[:, 200:], 200, 0) > 7
    assert measure_places.cells_in_both(film[:, :WIDTH], film[:, 200:], 100, 0) < 4


def test_the_table_states_the_interval() -> None:
    shown = table([Row(0.1, 18, 17, 0, 1.25, 2)], (0, 72))
    assert "| 10 | 18 | 17 | 0 | 1.2 | 2 |" in shown
    assert "0 of 72 new fields" in shown
    assert "0.0 to 5.1 %" in shown
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_photographs_that_are_too_small_are_said(tmp_path: object) -> None:
    file = f"{tmp_path}/small.png"
    cv2.imwrite(file, np.full((480, 640, 3), 200, np.uint8))
    done = CliRunner().invoke(main, ["--photographs", file])
    assert done.exit_code == 1
    assert "no photograph large enough" in done.output
