"""What can lie on a simulated film."""

from typing import Literal

Kind = Literal["uninfected", "ring", "trophozoite", "schizont", "white_cell", "platelet", "debris"]

PARASITIZED_KINDS: frozenset[Kind] = frozenset({"ring", "trophozoite", "schizont"})
RED_CELL_KINDS: frozenset[Kind] = PARASITIZED_KINDS | {"uninfected"}
