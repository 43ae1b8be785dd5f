"""One simulated field: what lies on it, where, and how the camera sees it."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from edge_runtime.simulator.camera import photograph
from edge_runtime.simulator.kinds import RED_CELL_KINDS, Kind
from edge_runtime.simulator.other_objects import draw_debris, draw_platelet, draw_white_cell
from edge_runtime.simulator.placement import Layout
from edge_runtime.simulator.preparation import Slide, prepare_slide
from edge_runtime.simulator.red_cells import draw_red_cell
from edge_runtime.simulator.shapes import Patch, Plane, smooth_noise

_SLIDE_STREAM, _FIELD_STREAM = 0, 1  # keep the chance of slides and of fields apart
_STAGES: tuple[Kind, ...] = ("ring", "trophozoite", "schizont")
_STAGE_WEIGHTS = (0.6, 0.25, 0.15)  # peripheral blood shows mostly rings
_USUAL_AREA = 1280 * 960  # pixels, for which the numbers of white cells, platelets and specks hold
_MOST = {"white_cell": 3, "platelet": 6, "debris": 4}
_CUT_BY_EDGE = 0.06  # fraction of red cells laid across the frame's edge
_CLUMPED = 0.55  # of two cells' reaches: their centres are at least so far apart
_SMALL_KINDS: tuple[Kind, ...] = ("platelet", "debris")
_FREE_GAP = 3  # pixels: nearer objects cannot be told apart by segmentation
_SMALLEST_SIDE = 160  # pixels: room for a white cell


@dataclass(frozen=True)
class SimulatedObject:
    """The truth about one object.

    Attributes:
        kind: what it is.
        box: x, y, width, height in pixels, tight around what is visible of it in the frame.
        free: it touches no other object, not even within 3 pixels, and not the frame's edge.
        mask: bool [height, width], where in the box it is; of a parasitized cell, where its parasite is.
    """

    kind: Kind
    box: tuple[int, int, int, int]
    free: bool
    mask: NDArray[np.bool_] = field(compare=False, repr=False)


@dataclass(frozen=True)
class SimulatedField:
    """One field of view.

    Attributes:
        frame: uint8 [height, width, 3], RGB.
        objects: everything that is at least partly in the frame.
    """

    frame: NDArray[np.uint8]
    objects: tuple[SimulatedObject, ...]


@dataclass(frozen=True)
class _Laid:
    """The part of an object's mask inside the frame, its top left corner there, and the parasite's mask."""

    kind: Kind
    mask: NDArray[np.bool_]
    x: int
    y: int
    parasite: NDArray[np.bool_] | None = None


def simulate_field(
    seed: int,
    index: int = 0,
    *,
    width: int = 1280,
    height: int = 960,
    cells: int = 90,
    parasitized_fraction: float = 0.1,
    on_cells: float = 0.0,
    defocus: float = 0.0,
    gain: float = 1.0,
    colour_cast: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> SimulatedField:
    """Simulate one field of a Giemsa-stained thin blood film. The same arguments give the same field.

    Args:
        seed: the slide, 0 or more: fixes stain, size of cells, lamp and camera.
        index: the field on that slide, 0 or more: fixes what lies where.
        width: of the frame, pixels, 160 or more.
        height: of the frame, pixels, 160 or more.
        cells: number of red cells; where no room is left they lie on each other.
        parasitized_fraction: chance, 0-1, that a red cell is parasitized.
        on_cells: chance, 0-1, that a platelet or a speck lies on a cell or against it.
        defocus: added blur, Gaussian sigma in pixels, 0 or more.
        gain: exposure; below 1 darker, above about 1.1 the background saturates.
        colour_cast: factors on red, green and blue, above 0.

    Returns:
        the frame and the truth about every object in it. A red cell is about 80 pixels wide.

    Raises:
        SourceError: an argument out of its range.
    """
    _check(seed, index, width, height, cells, parasitized_fraction, on_cells, defocus, gain, colour_cast)
    slide = prepare_slide(np.random.default_rng([seed, _SLIDE_STREAM]))
    rng = np.random.default_rng([seed, _FIELD_STREAM, index])
    layout, film = Layout(width, height), _bare_film(rng, slide, width, height)
    laid: list[_Laid] = []
    for kind in _contents(rng, width * height, cells, parasitized_fraction):
        patch = _draw(rng, slide, kind)
        x, y = _place(rng, slide, layout, kind, patch.reach, on_cells)
        visible = _lay(film, patch, kind, x, y)
        if visible is not None:
            laid.append(visible)
    frame = photograph(film, slide, rng, defocus=defocus, gain=gain, colour_cast=colour_cast)
    return SimulatedField(frame, _truth(laid, width, height))


def _check(
    seed: int,
    index: int,
    width: int,
    height: int,
    cells: int,
    parasitized_fraction: float,
    on_cells: float,
    defocus: float,
    gain: float,
    colour_cast: tuple[float, float, float],
) -> None:
    for name, value, least in (
        ("seed", seed, 0),
        ("index", index, 0),
        ("width", width, _SMALLEST_SIDE),
        ("height", height, _SMALLEST_SIDE),
        ("cells", cells, 0),
        ("defocus", defocus, 0),
    ):
        if not least <= value < np.inf:
            raise SourceError(f"{name}: {value}; give a number of at least {least}")
    for name, share in (("parasitized_fraction", parasitized_fraction), ("on_cells", on_cells)):
        if not 0 <= share <= 1:
            raise SourceError(f"{name}: {share}; give 0 to 1")
    if not 0 < gain < np.inf:
        raise SourceError(f"gain: {gain}; give a number above 0")
    if len(colour_cast) != 3 or not all(0 < factor < np.inf for factor in colour_cast):
        raise SourceError(f"colour_cast: {colour_cast}; give three numbers above 0 (RGB)")


def _bare_film(rng: np.random.Generator, slide: Slide, width: int, height: int) -> Plane:
    """Return the absorbance [height, width, 3] of dried plasma: faint, tinted, cloudy."""
    cloud = 1 + np.float32(0.2) * smooth_noise(rng, (height, width), 160.0)
    cloud += np.float32(0.12) * smooth_noise(rng, (height, width), 14.0)
    return np.asarray(cloud[..., None] * slide.plasma, np.float32)


def _contents(rng: np.random.Generator, area: int, cells: int, parasitized_fraction: float) -> list[Kind]:
    """Draw what lies on a field, in the order of placing: large things first, small ones into the gaps."""
    half = min(1.0, 0.5 * area / _USUAL_AREA)
    red: list[Kind] = [
        _STAGES[int(rng.choice(3, p=_STAGE_WEIGHTS))] if rng.random() < parasitized_fraction else "uninfected"
        for _ in range(cells)
    ]
    white: list[Kind] = ["white_cell"] * int(rng.binomial(_MOST["white_cell"], half))
    platelets: list[Kind] = ["platelet"] * (1 + int(rng.binomial(_MOST["platelet"] - 1, half)))
    debris: list[Kind] = ["debris"] * int(rng.binomial(_MOST["debris"], half))
    return [*white, *red, *platelets, *debris]


def _draw(rng: np.random.Generator, slide: Slide, kind: Kind) -> Patch:
    if kind == "white_cell":
        return draw_white_cell(rng, slide)
    if kind == "platelet":
        return draw_platelet(rng, slide)
    if kind == "debris":
        return draw_debris(rng, slide)
    return draw_red_cell(rng, slide, kind)


def _place(
    rng: np.random.Generator, slide: Slide, layout: Layout, kind: Kind, reach: float, on_cells: float
) -> tuple[float, float]:
    chance = rng.random()
    if kind in RED_CELL_KINDS and chance < _CUT_BY_EDGE:
        return layout.place_on_edge(rng, reach)
    clumped = kind in RED_CELL_KINDS and chance < _CUT_BY_EDGE + slide.clumping
    overlaid = kind in _SMALL_KINDS and chance < on_cells
    if layout.places and (clumped or overlaid):
        other = layout.places[int(rng.integers(len(layout.places)))]
        return layout.place_against(rng, reach, other, 0.0 if overlaid else _CLUMPED)
    return layout.place_alone(rng, reach)


def _lay(film: Plane, patch: Patch, kind: Kind, x: float, y: float) -> _Laid | None:
    """Add a patch to the film, in place: light passes one object after the other, so absorbances add up."""
    half = patch.mask.shape[0] // 2
    left, top = round(x) - half, round(y) - half
    height, width = film.shape[:2]
    right, bottom = min(left + 2 * half + 1, width), min(top + 2 * half + 1, height)
    into_x, into_y = max(left, 0), max(top, 0)
    if right <= into_x or bottom <= into_y:
        return None
    part = (slice(into_y - top, bottom - top), slice(into_x - left, right - left))
    film[into_y:bottom, into_x:right] += patch.density[part]
    mask = patch.mask[part]
    parasite = None if patch.parasite is None else patch.parasite[part]
    return _Laid(kind, mask, into_x, into_y, parasite) if mask.any() else None


def _truth(laid: list[_Laid], width: int, height: int) -> tuple[SimulatedObject, ...]:
    border = _FREE_GAP
    taken = np.zeros((height + 2 * border, width + 2 * border), np.uint8)
    for item in laid:
        rows, columns = item.mask.shape
        taken[item.y + border :, item.x + border :][:rows, :columns] += item.mask
    return tuple(_object(item, taken, width, height) for item in laid)


def _object(item: _Laid, taken: NDArray[np.uint8], width: int, height: int) -> SimulatedObject:
    left, top, box_width, box_height = cv2.boundingRect(item.mask.astype(np.uint8))
    x, y = item.x + left, item.y + top
    inside = x > 0 and y > 0 and x + box_width < width and y + box_height < height
    own = np.pad(item.mask.astype(np.uint8), _FREE_GAP)
    around = np.asarray(cv2.dilate(own, np.ones((2 * _FREE_GAP + 1,) * 2, np.uint8)), np.uint8)
    rows, columns = own.shape
    # In `taken`, padded by the gap, the padded mask starts at the unpadded mask's own corner.
    others = taken[item.y : item.y + rows, item.x : item.x + columns] - own
    alone = not (others & around * 255).any()
    meant = item.mask if item.parasite is None else item.parasite
    seen = meant[top : top + box_height, left : left + box_width]
    return SimulatedObject(item.kind, (x, y, box_width, box_height), inside and alone, seen)
