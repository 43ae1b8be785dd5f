"""Whom a crop was taken from, by the name of its file: as the NIH archive has it, or as somebody says."""

import re
from collections.abc import Sequence

from edge_runtime.errors import SourceError

# C68P29N_ThinF_IMG_…: clinic number and patient number; what follows ("N", "Re", "AP", "thinF") names the
# slide.
_PATIENT = re.compile(r"C\d+(?:[A-Z]?P\d+)?")
# A name that may be another data set's is not taken for one of the archive.
_CROP = re.compile(r"C\d+[A-Z]?P\d+.*|C\d+.*_cell_\d+\.\w+")


def patient_of(file_name: str) -> str:
    """The patient a crop of the NIH archive was taken from.

    Raises:
        SourceError: the name does not begin as the archive's names do.
    """
    match = _PATIENT.match(file_name)
    if match is None:
        raise SourceError(
            f"{file_name}: no patient in the name; expected C<number>P<number>…_IMG_…_cell_N.png"
        )
    return match[0]


def patients_of(file_names: Sequence[str], pattern: str | None, source: str) -> list[str]:
    """The patients of some files, "" each if nobody knows.

    Args:
        file_names: names of files, without folders.
        pattern: a regular expression with one group, which is the patient; None for the archive's own names.
        source: where the files lie, for errors.

    Raises:
        SourceError: the pattern is none, or a name does not fit it; or some names are the archive's, and
            some are not.
    """
    if pattern is None:
        archives = [_CROP.fullmatch(name) is not None for name in file_names]
        if not any(archives):
            return [""] * len(file_names)
        if not all(archives):
            other = file_names[archives.index(False)]
            raise SourceError(
                f"{source}: {other}: no patient in the name, as other files have it; expected "
                "C<number>P<number>…_cell_N.png, or say where it stands with --patient-pattern"
            )
        return [patient_of(name) for name in file_names]
    compiled = _compiled(pattern)
    return [_patient(compiled, name, source) for name in file_names]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SourceError(f"--patient-pattern '{pattern}': no regular expression ({error})") from error
    if compiled.groups != 1:
        raise SourceError(
            f"--patient-pattern '{pattern}': {compiled.groups} groups; expected one, around the patient, as "
            "in '^([A-Z]+[0-9]+)_'"
        )
    return compiled


def _patient(pattern: re.Pattern[str], name: str, source: str) -> str:
    match = pattern.search(name)
    if match is None or not match[1]:
        raise SourceError(
            f"{source}: {name}: --patient-pattern '{pattern.pattern}' finds no patient in this name; "
            "expected one in every name"
        )
    return match[1]
