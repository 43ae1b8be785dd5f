"""The texts: the same keys in every language, all of them used, and numbers written as the language has them."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import edge_runtime.report
from edge_runtime.cells.cutting import WHY_NOT_CUT
from edge_runtime.decision.table import TESTS
from edge_runtime.errors import SourceError
from edge_runtime.fields.gates import GATES
from edge_runtime.report.colours import PENS
from edge_runtime.report.texts import ENGLISH, LANGUAGES, Texts, texts_in

ROOM = Path(edge_runtime.report.__file__).parent
FRENCH = texts_in("fr")
CODED = ("reason.", "stop.", "advice.", "class.", "format.")  # asked for by a code, or by `texts` itself


def forms(texts: Texts, key: str) -> Iterator[str]:
    entry = texts.entries[key]
    yield from [entry] if isinstance(entry, str) else entry.values()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_with_the_same_placeholders(language: str) -> None:
    texts = texts_in(language)
    assert list(texts.entries) == list(ENGLISH.entries)
    for key, entry in texts.entries.items():
        assert isinstance(entry, str) == isinstance(ENGLISH.entries[key], str), key
        for form, english in zip(forms(texts, key), forms(ENGLISH, key), strict=True):
            assert placeholders(form) == placeholders(english), key


def test_every_text_is_used_and_every_text_that_is_used_is_there() -> None:
    files = [file for file in ROOM.iterdir() if file.suffix in {".py", ".html", ".css"}]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in files)
    quoted = set(re.findall(r"""["']([a-z0-9][a-z0-9.-]*)["']""", sources))
    said = set(re.findall(r"""\bsay\(\s*["']([a-z0-9.-]+)["']\s*[,)]""", sources))
    assert said <= set(ENGLISH.entries)
    begun = tuple(re.findall(r"""\bsay\(f?["']([a-z.-]+\.)["{]""", sources))  # say("call." ~ answer)
    ended = tuple(re.findall(r"""\bsay\(\w+ ~ ["'](\.[a-z-]+)["']""", sources))  # say(answer ~ ".lead")
    known = [
        key
        for key in ENGLISH.entries
        if key in quoted or key.startswith((*CODED, *begun)) or key.endswith(ended)
    ]
    assert list(ENGLISH.entries) == known


def test_what_the_record_brings_along_is_known_to_the_translator() -> None:
    """In English the record's own sentence is shown: this holds the texts from which others translate."""
    wanted = {f"reason.{test.reason.code}": test.reason.sentence for test in TESTS}
    wanted |= {f"reason.{code}": sentence for code, sentence in WHY_NOT_CUT.items()}
    wanted |= {f"stop.{gate.reason}": gate.sentence for gate in GATES}
    wanted |= {f"advice.{gate.reason}": gate.advice for gate in GATES}
    known = {key: text for key, text in ENGLISH.entries.items() if key.startswith(CODED[:3])}
    assert known == wanted
    assert {f"pen.{answer}" for answer in PENS} <= set(ENGLISH.entries)


def test_a_code_is_translated_and_what_nobody_translated_stays_as_it_was_recorded() -> None:
    assert ENGLISH.of_record("reason", "suspect", "was called otherwise then") == "was called otherwise then"
    assert FRENCH.of_record("reason", "suspect", "perhaps a parasite") == "peut-être un parasite"
    assert FRENCH.of_record("reason", "blue", "bluer than blood") == "bluer than blood"


def test_french_is_punctuated_as_french_is() -> None:
    """A space that does not break stands before what is made of two signs, and inside quotation marks."""
    for key in FRENCH.entries:
        for form in forms(FRENCH, key):
            assert not re.search(r"(?<![\u00a0\u202f])[;!?»%]|«(?!\u00a0)| [:;!?%]", form), (key, form)


@pytest.mark.parametrize(
    ("language", "number", "share", "odds", "small", "time"),
    [
        ("en", "1,234,567", "12.35\u00a0%", "87\u00a0%", "0.085", "2025-01-02 03:04:05 UTC"),
        ("fr", "1\u202f234\u202f567", "12,35\u00a0%", "87\u00a0%", "0,085", "02/01/2025 à 03:04:05 UTC"),
    ],
)
def test_numbers_and_times_are_written_as_the_language_writes_them(
    language: str, number: str, share: str, odds: str, small: str, time: str
) -> None:
    texts = texts_in(language)
    assert texts.number(1_234_567) == number
    assert texts.say("verdict.none-called", cells=1_234_567).count(number) == 1
    assert texts.percent(0.12349) == share
    assert texts.probability(0.873) == odds
    assert texts.figure(0.085, 4) == small
    assert texts.time("2025-01-02T03:04:05+00:00") == time
    assert texts.time("<yesterday>") == "<yesterday>"


def test_a_probability_is_never_rounded_to_certainty() -> None:
    assert "99" in ENGLISH.probability(0.9997)
    assert FRENCH.probability(0.9997) == "plus de 99\u00a0%"
    assert FRENCH.probability(math.nan) == "inconnue"


@pytest.mark.parametrize(("count", "one"), [(0, ["fr"]), (1, ["en", "fr"]), (2, [])])
def test_one_and_several_are_told_apart_as_the_language_does(count: int, one: list[str]) -> None:
    for language in LANGUAGES:
        texts = texts_in(language)
        entry = texts.entries["repeats"]
        assert not isinstance(entry, str)
        form = entry["one" if language in one else "other"]
        assert texts.say("repeats", count=count) == form.format(count=count)


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (7.31, "7"), (148, "150"), (68_030, "68,000"), (1_249_000, "1,200,000")]
)
def test_a_density_has_two_digits_that_count(value: float, shown: str) -> None:
    assert ENGLISH.density(value) == shown


def test_phrases_are_joined_by_commas_and_or() -> None:
    assert FRENCH.either(["a", "b", "c"]) == "a, b ou c"
    assert FRENCH.either(["a"]) == "a"
    assert FRENCH.either([]) == ""


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(SourceError, match="no texts in the language 'xx'; choose one of en, fr"):
        texts_in("xx")
