"""Simulated fields of Giemsa-stained thin blood films, with the truth about every object on them.

The runtime's simulated camera and the data of the demonstration and the tests. Good enough to train on and to
look at, it is no substitute for real slides: figures measured on it say nothing about patients.
"""

from edge_runtime.simulator.field import SimulatedField, SimulatedObject, simulate_field
from edge_runtime.simulator.kinds import PARASITIZED_KINDS, RED_CELL_KINDS, Kind

__all__ = [
    "PARASITIZED_KINDS",
    "RED_CELL_KINDS",
    "Kind",
    "SimulatedField",
    "SimulatedObject",
    "simulate_field",
]
