"""The cost of the gates: its parts are within the whole."""

from pathlib import Path

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.simulator import simulate_field
from scripts.measure_cost import costs

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


def test_gates_take_a_part_of_a_fields_time() -> None:
    frames = [simulate_field(seed, 0, width=640, height=480, cells=22).frame for seed in range(2)]
    gates, place, field = costs(frames, Classifier.open(TINY, threads=1))
    assert 0 < gates < field
    assert place > 0
