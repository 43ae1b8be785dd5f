"""Where objects lie on the film: mostly free, some against each other, some cut by the frame."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

GAP = 6.0  # pixels kept free around an object that is to stand alone
_CANDIDATES = 128  # places tried at once
_ROUNDS = 6  # how often, before an object is laid where it disturbs least


@dataclass
class Layout:
    """The places taken so far on a frame of width x height pixels; grows as objects are placed."""

    width: int
    height: int
    places: list[tuple[float, float, float]] = field(default_factory=list)

    def place_alone(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """Take a place where a circle of radius `reach` pixels touches nothing, if there is one."""
        best, best_room = (self.width / 2, self.height / 2), -np.inf
        for _ in range(_ROUNDS):
            spots = self._spots_inside(rng, reach)
            room = self._room(spots, reach)
            # The first that fits, not the roomiest: the roomiest would spread the cells like a grid.
            pick = int(np.argmax(room >= GAP)) if (room >= GAP).any() else int(np.argmax(room))
            if room[pick] > best_room:
                best, best_room = (float(spots[pick, 0]), float(spots[pick, 1])), room[pick]
            if best_room >= GAP:
                break
        return self._take(best, reach)

    def place_against(
        self, rng: np.random.Generator, reach: float, other: tuple[float, float, float], nearest: float
    ) -> tuple[float, float]:
        """Take a place that touches or overlaps `other` (x, y, reach) and, if possible, nothing else.

        The centres lie apart by at least the share `nearest` of both reaches: at 0 one may lie in the middle
        of the other.
        """
        angles = rng.uniform(0, 2 * np.pi, _CANDIDATES)
        apart = (reach + other[2]) * rng.uniform(nearest, 0.97, _CANDIDATES)
        spots = np.stack([other[0] + apart * np.cos(angles), other[1] + apart * np.sin(angles)], axis=1)
        room = self._room(spots, reach, ignore=other)
        inside = ((spots > reach) & (spots < (self.width - reach, self.height - reach))).all(axis=1)
        room = np.where(inside, room, room - reach)
        pick = int(np.argmax(room >= GAP)) if (room >= GAP).any() else int(np.argmax(room))
        return self._take((float(spots[pick, 0]), float(spots[pick, 1])), reach)

    def place_on_edge(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """Take a place where the frame's edge cuts the object."""
        spots = rng.uniform((0, 0), (self.width, self.height), (_CANDIDATES, 2))
        side = rng.integers(0, 4, _CANDIDATES)
        beyond = rng.uniform(-0.5, 0.8, _CANDIDATES) * reach
        spots[side == 0, 0] = beyond[side == 0]
        spots[side == 1, 0] = self.width - 1 - beyond[side == 1]
        spots[side == 2, 1] = beyond[side == 2]
        spots[side == 3, 1] = self.height - 1 - beyond[side == 3]
        room = self._room(spots, reach)
        pick = int(np.argmax(room >= GAP)) if (room >= GAP).any() else int(np.argmax(room))
        return self._take((float(spots[pick, 0]), float(spots[pick, 1])), reach)

    def _spots_inside(self, rng: np.random.Generator, reach: float) -> NDArray[np.float64]:
        size = np.array((self.width, self.height), np.float64)
        margin = np.minimum(reach + 2, size / 2)
        return rng.uniform(margin, size - margin, (_CANDIDATES, 2))

    def _room(
        self,
        spots: NDArray[np.float64],
        reach: float,
        ignore: tuple[float, float, float] | None = None,
    ) -> NDArray[np.float64]:
        """Return for each spot the distance in pixels to the nearest object; negative: overlap."""
        others = np.array([place for place in self.places if place != ignore]).reshape(-1, 3)
        apart = np.hypot(spots[:, None, 0] - others[None, :, 0], spots[:, None, 1] - others[None, :, 1])
        return np.asarray((apart - others[:, 2] - reach).min(axis=1, initial=np.inf))

    def _take(self, spot: tuple[float, float], reach: float) -> tuple[float, float]:
        self.places.append((*spot, reach))
        return spot
