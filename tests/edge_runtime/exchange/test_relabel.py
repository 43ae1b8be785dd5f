"""The pack of reviewed cells: the person's labels, and what is left out is counted."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from exchange_samples import CELLS, HEADER, calls_of, field

from edge_runtime.device.labels import named_cells
from edge_runtime.errors import SourceError
from edge_runtime.exchange.relabel import LABELS, RelabelPack, write_relabel_pack
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.sources.rows import read_rows

STAGES = ("uninfected", "late stage", "ring")


def pack_of(path: Path, out: Path) -> RelabelPack:
    with SlideRecord.open(path) as record:
        return write_relabel_pack(record, out)


def rows_of(out: Path, *columns: str) -> list[tuple[str, ...]]:
    rows, _ = read_rows(out / LABELS, ("path", *columns))
    return [tuple(row.values[name] for name in columns) for row in rows]


def test_the_persons_answer_is_the_label_and_the_models_stands_beside_it(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = recorded(
        field(1, CELLS["parasitized"], CELLS["uninfected"], CELLS["suspect"]),
        field(2, CELLS["parasitized"], CELLS["not-judged"], CELLS["uninfected"]),
        calls=calls_of((2, 3, "none"), (1, 1, "none"), (1, 3, "parasite"), (2, 1, "cannot-tell")),
    )
    out = tmp_path / "pack"
    assert pack_of(path, out) == RelabelPack(
        {"uninfected": 2, "parasitized": 1}, class_by_model=0, cannot_tell=1, without_class=0, without_crop=0
    )
    assert rows_of(out, "label", "patient", "model", "reviewer") == [
        ("uninfected", "S-17", "parasitized", "N. Khumalo"),
        ("parasitized", "S-17", "rejected", "N. Khumalo"),
        ("uninfected", "S-17", "uninfected", "N. Khumalo"),
    ]
    for (written,) in rows_of(out, "path"):
        assert (out / written).read_bytes() == CELLS["parasitized"].crop


def test_recalibrate_reads_it(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    calls = calls_of((1, 1, "none"), (1, 2, "parasite"))
    pack_of(recorded(field(1, CELLS["parasitized"], CELLS["uninfected"]), calls=calls), tmp_path / "pack")
    named, skipped = named_cells(tmp_path / "pack" / LABELS, 44, ("uninfected", "parasitized"))
    assert list(named.labels) == [0, 1]
    assert skipped == []


@pytest.mark.parametrize(
    ("remark", "model", "label", "by"),
    [
        ("Ring", "late stage", "ring", "person"),
        ("two of them", "late stage", "late stage", "model"),
        ("", "uninfected", "", ""),
    ],
)
def test_which_of_several_classes_a_parasite_is_of(
    recorded: Callable[..., Path],
    tmp_path: Path,
    remark: str,
    model: str,
    label: str,
    by: str,
) -> None:
    """By the remark where it names one, else by the model's where that is one of a parasite."""
    several = replace(HEADER, classes=STAGES, parasitized=STAGES[1:])
    calls = [*calls_of((1, 1, "parasite"), remark=remark), *calls_of((1, 2, "none"))]
    one = field(1, replace(CELLS["suspect"], label=model), CELLS["uninfected"])
    pack = pack_of(recorded(one, header=several, calls=calls), tmp_path / "pack")
    *named, healthy = rows_of(tmp_path / "pack", "label", "class_by")
    assert named == ([(label, by)] if label else [])
    assert healthy == ("uninfected", "person")
    assert (pack.without_class, pack.class_by_model) == (not label, by == "model")


def test_a_cell_that_turned_out_to_be_dirt_is_left_out(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    calls = calls_of((1, 1, "none"), (1, 2, "parasite"))
    second = replace(CELLS["uninfected"], box=(90, 90, 30, 30))
    path = recorded(field(1, CELLS["parasitized"], second), calls=calls, finished=None)
    with SlideRecord.open(path) as record:
        header = record.header()
    with SlideRecord.begin(path, header) as record:  # the reading goes on
        record.add_field(field(2), [(1, second.box)])
    pack = pack_of(path, tmp_path / "pack")
    assert (pack.without_crop, dict(pack.cells)) == (1, {"uninfected": 1})


def test_a_pack_of_nothing_is_refused_and_leaves_nothing(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = recorded(field(1, CELLS["parasitized"]), calls=calls_of((1, 1, "cannot-tell")))
    with pytest.raises(SourceError, match=r"1 cells were reviewed, and none .* 'cellgate review'"):
        pack_of(path, tmp_path / "pack")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["read"]


def test_a_slides_code_may_hold_anything(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    for number, slide in enumerate(("../../up", ".hidden", "S 1/2:é", "…", "x" * 300)):
        calls = calls_of((1, 1, "parasite"))
        path = recorded(field(1, CELLS["parasitized"]), header=replace(HEADER, slide=slide), calls=calls)
        out = tmp_path / f"pack-{number}"
        pack_of(path, out)
        ((written, patient),) = rows_of(out, "path", "patient")
        assert patient == slide
        assert (out / written).is_file()
        assert (out / written).resolve().is_relative_to(out)
        assert not Path(written).name.startswith((".", "-"))
        shutil.rmtree(path.parent)
