"""How WHO grades those who read slides (Malaria microscopy quality assurance manual, version 2, 2016)."""

# Level, and the least shares that it asks for: slides told right, and counts within a quarter of the truth.
LEVELS = (("level 1, expert", 0.90, 0.50), ("level 2", 0.80, 0.40), ("level 3", 0.70, 0.30))


def grade(detection: float, counts: float) -> str:
    """The best level whose demands are met; species, which cellgate does not tell, are left out.

    Args:
        detection: share of slides, with parasites and without, that are told right, 0 to 1.
        counts: share of slides with parasites whose count is within a quarter of the truth, 0 to 1.
    """
    met = (name for name, told, counted in LEVELS if detection >= told and counts >= counted)
    return f"WHO {next(met, 'level 4, below all that is asked for')} (species are not told)"
