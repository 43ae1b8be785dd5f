"""The report's words: one file of texts per language, and how that language writes numbers and times.

The files lie beside this one, in `texts/`: the same keys in each, each with the same {placeholders}. A text
that depends on a number, which it calls `count`, has two forms, "one" and "other". A further language is a
further file and its name in LANGUAGES.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_runtime.errors import SourceError

LANGUAGES = ("en", "fr")
DEFAULT = "en"
_RECORDED = "en"  # the language of the sentences that a slide record brings along

_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\+00:00")


@dataclass(frozen=True)
class Texts:
    """The texts of one language.

    Attributes:
        language: its code (ISO 639-1).
        entries: texts by key, with {placeholders}; of those with a `count`, the two forms.
    """

    language: str
    entries: Mapping[str, str | Mapping[str, str]]

    def say(self, key: str, **values: object) -> str:
        """A text with its placeholders filled; whole numbers are written as the language writes them."""
        entry = self.entries[key]
        if not isinstance(entry, str):
            entry = entry["one" if str(values["count"]) in self._format("one").split() else "other"]
        shown = {name: self.number(of) if isinstance(of, int) else of for name, of in values.items()}
        return entry.format(**shown)

    def of_record(self, kind: str, code: str, own: str) -> str:
        """What a code means: the record's own sentence, in other languages its translation if there is one.

        Args:
            kind: what the keys of such codes begin with: "reason", "stop", "advice" or "class".
            code: of the reason, gate or class.
            own: the sentence of the record.
        """
        entry = self.entries.get(f"{kind}.{code}", own)
        return own if self.language == _RECORDED or not isinstance(entry, str) else entry

    def number(self, value: int) -> str:
        """A whole number, its thousands apart."""
        return f"{value:,}".replace(",", self._format("thousands"))

    def figure(self, value: float, digits: int) -> str:
        """A number with so many digits that count."""
        return f"{value:.{digits}g}".replace(".", self._format("decimal"))

    def decimal(self, value: float) -> str:
        """A number with one digit after the point."""
        return f"{value:.1f}".replace(".", self._format("decimal"))

    def percent(self, share: float) -> str:
        """A share as a percentage: two digits after the point, since at low parasitaemia one hides all."""
        return f"{100 * share:.2f}\u00a0%".replace(".", self._format("decimal"))

    def probability(self, share: float) -> str:
        """A probability as a percentage; no classifier is certain, so 99.97 % is not rounded to 100."""
        if math.isnan(share):
            return self.say("probability.unknown")
        return self.say("probability.over-99") if share > 0.99 else f"{100 * share:.0f}\u00a0%"

    def density(self, value: float) -> str:
        """A density with two digits that count: none is known any better."""
        if value <= 0:
            return "0"
        step = 10 ** (math.floor(math.log10(value)) - 1)
        return self.number(round(round(value / step) * step))

    def time(self, stamp: str) -> str:
        """A time in UTC, given in ISO 8601; what is none stays as it is."""
        if not (found := _STAMP.fullmatch(stamp)):
            return stamp
        parts = zip(("year", "month", "day", "hour", "minute", "second"), found.groups(), strict=True)
        return self._format("time").format(**dict(parts))

    def either(self, phrases: Iterable[str]) -> str:
        """Phrases joined by commas, the last by "or"; empty if there are none."""
        *before, last = list(phrases) or [""]
        return f"{', '.join(before)} {self._format('or')} {last}" if before else last

    def _format(self, name: str) -> str:
        entry = self.entries[f"format.{name}"]
        assert isinstance(entry, str)
        return entry


@cache
def texts_in(language: str) -> Texts:
    """The texts of a language.

    Raises:
        SourceError: there are none.
    """
    if language not in LANGUAGES:
        raise SourceError(f"no texts in the language '{language}'; choose one of {', '.join(LANGUAGES)}")
    file = Path(__file__).with_name("texts") / f"{language}.json"
    return Texts(language, json.loads(file.read_text(encoding="utf-8")))


ENGLISH = texts_in(DEFAULT)
