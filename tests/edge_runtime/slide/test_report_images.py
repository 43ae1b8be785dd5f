"""The words of the report."""

from typing import get_args

from edge_runtime.decision.decide import Reason
from edge_runtime.slide.pictures import reason_text


def test_every_reason_has_words_of_its_own() -> None:
    reasons = set(get_args(Reason)) - {""}
    assert "unstable" in reasons
    assert len({reason_text(reason) for reason in reasons} - reasons) == len(reasons)
