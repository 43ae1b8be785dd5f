"""How many cells of a record have which answer."""

import sqlite3
from typing import Literal

from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import Counts, FieldCounts, SlideHeader

_ACCEPTED = "status IN ('uninfected', 'parasitized')"


View = Literal["cell_now", "cell_reviewed", "cell_uncalled"]  # see `schema`


def count_fields(connection: sqlite3.Connection, view: View) -> list[FieldCounts]:
    """Of every field that counts, its parasitized cells and those that were asked."""
    rows = connection.execute(
        f"SELECT sum(status = 'parasitized'), count(*) FROM {view} WHERE {_ACCEPTED} "  # noqa: S608 - ours
        "OR (status = 'rejected' AND reason = ?) GROUP BY field",
        (SUSPECT.code,),
    )
    return [FieldCounts(*row) for row in rows.fetchall()]


def count_cells(connection: sqlite3.Connection, header: SlideHeader, view: View) -> Counts:
    """Cells by answer."""

    def counted(what: str, where: str) -> dict[str, int]:
        query = f"SELECT {what}, count(*) FROM {where} GROUP BY {what}"  # noqa: S608 - our names
        return dict(connection.execute(query).fetchall())

    by_status = counted("status", view)
    by_reason = counted("reason", f"{view} WHERE status = 'rejected'")
    by_class = counted("label", f"{view} WHERE {_ACCEPTED}")
    by_stop = counted("reason", "field")
    (skipped,) = connection.execute("SELECT count(*) FROM skipped").fetchone()
    no_cell = {test.reason for test in header.tests if not test.whole}
    return Counts(
        uninfected=by_status.get("uninfected", 0),
        parasitized=by_status.get("parasitized", 0),
        rejected=by_status.get("rejected", 0),
        not_judged=by_status.get("not-judged", 0),
        fields=by_stop.get("", 0),
        stopped=sum(number for reason, number in by_stop.items() if reason),
        stops={reason: by_stop.get(reason, 0) for reason in header.stops},
        skipped=skipped,
        reasons={reason: by_reason.get(reason, 0) for reason in header.sentences},
        broken=sum(by_reason.get(reason, 0) for reason in no_cell),
        classes={name: by_class.get(name, 0) for name in header.classes},
    )
