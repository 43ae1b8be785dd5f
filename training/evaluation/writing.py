"""Everything an evaluation leaves behind: JSON, two tables in Markdown, and the plots."""

import json
import math
from dataclasses import asdict
from pathlib import Path

from edge_runtime.storage import write_whole
from training.evaluation.counting import Evaluation
from training.evaluation.plots import draw_all
from training.evaluation.standings import standings
from training.evaluation.tables import honest_table, paper_table

RESULTS, PAPER, HONEST, PLOTS = "results.json", "paper.md", "honest.md", "plots"


def write_evaluation(made: Evaluation, out: Path) -> list[Path]:
    """Write an evaluation below `out`; returns what was written."""
    results = {
        "subject": made.subject,
        "clean_accuracy": made.clean_accuracy,
        "thresholds": made.thresholds,
        "rows": [row.as_json() for row in made.rows],
        "standings": [asdict(one) for one in standings(made)],
        "corruptions": [{**asdict(row), "verdict": row.verdict} for row in made.corruptions],
        "harmless_accepted": made.harmless_accepted,
        "attacks": {
            kept.set.name: {"attacked": kept.set.attempts, "turned": len(kept.set)}
            for kept in made.sets
            if kept.set.group == "attacks"
        },
        "adaptive": None if made.curve is None else asdict(made.curve),
    }
    write_whole(out / RESULTS, json.dumps(_plain(results), indent=2, allow_nan=False) + "\n")
    write_whole(out / PAPER, paper_table(made))
    write_whole(out / HONEST, honest_table(made))
    return [out / RESULTS, out / PAPER, out / HONEST, *draw_all(made, out / PLOTS)]


def _plain(value: object) -> object:
    """Values that JSON knows: what could not be counted is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
