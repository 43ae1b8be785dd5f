"""Which classes there are, which of them count as parasitized, and the order that the logits have."""

import re
from collections.abc import Iterable, Sequence

from edge_runtime.errors import SourceError

# What data sets call a cell that holds a parasite; a stage of the parasite says so as well.
_PARASITIZED = re.compile(
    r"(parasiti[sz]ed|parasite|infected|positive|malaria|plasmodium|falciparum|vivax|malariae|ovale|knowlesi"
    r"|rings?|trophozoites?|schizonts?|gametocytes?)([ _-](red[ _-])?(blood[ _-])?(cells?|stages?|rbcs?))?"
)
# What a device says of cells that it does not call by a class.
_RESERVED = {"rejected", "not-judged", "suspect", "all", "cells"}


def class_name(text: str) -> str:
    """A label as all sources write it: small letters, no space around."""
    return text.strip().lower()


def order_classes(
    found: Iterable[str], parasitized: Sequence[str], source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes in the order of the logits, uninfected ones first, and those that count as parasitized.

    Args:
        found: names of the classes of some cells.
        parasitized: which of them count as parasitized; where it is empty, those that are called so.
        source: where the cells come from, for errors.

    Raises:
        SourceError: fewer than two classes, a name that cannot be one, or no telling which are parasitized.
    """
    names = sorted(set(found))
    listed = ", ".join(names)
    if len(names) < 2:
        raise SourceError(f"{source}: cells of {listed or 'no class'}; at least two classes are needed")
    for name in names:
        if name in _RESERVED or not name.isprintable() or len(name) > 40:
            raise SourceError(
                f"{source}: no class can be called '{name}'; choose a short name that is none of "
                f"{', '.join(sorted(_RESERVED))}"
            )
    asked = {class_name(name) for name in parasitized}
    if unknown := sorted(asked - set(names)):
        raise SourceError(
            f"{source}: no cells of {', '.join(unknown)}; choose --parasitized among the classes {listed}"
        )
    count = asked or {name for name in names if _PARASITIZED.fullmatch(name)}
    if not 0 < len(count) < len(names):
        which = "all" if count else "none"
        raise SourceError(
            f"{source}: the classes are {listed}, and {which} of them would count as parasitized; say which "
            "do with --parasitized NAME, and have one at least that does not"
        )
    return tuple(sorted(names, key=lambda name: (name in count, name))), tuple(
        name for name in names if name in count
    )
