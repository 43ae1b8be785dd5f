"""A slide's code must not be a patient's name: records are copied, and reports are printed."""

import re

_FEWEST_LETTERS = 2
_DATE = re.compile(r"\b(\d{1,2}[./-]\d{1,2}[./-](19|20)\d\d|(19|20)\d\d[./-]\d{1,2}[./-]\d{1,2})\b")
_TITLES = {"mr", "mrs", "ms", "dr", "mme", "mlle", "frau", "herr", "sr", "sra"}


def looks_like_a_name(code: str) -> bool:
    """Whether a code looks like a name: two words of letters alone, a title, or a word beside a date.

    It errs to both sides: it is a question, not a check.
    """
    words = [word for word in re.split(r"[\s,;_]+", _DATE.sub(" ", code)) if word]
    names = [word for word in words if word.replace("-", "").replace("'", "").isalpha()]
    long = [word for word in names if len(word) >= _FEWEST_LETTERS]
    titled = any(word.strip(".").lower() in _TITLES for word in words) and len(words) > 1
    return titled or len(long) >= 2 or (bool(long) and bool(_DATE.search(code)))
