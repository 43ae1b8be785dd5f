"""What a reading of a slide finds: the slide, its fields, their cells, and how many of which kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edge_runtime.cells.preprocessing import Box
from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.fields.gates import GATES
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate
from edge_runtime.statistics.stopping import DEFAULT

_SAME = ("slide", "source", "bundle_digest", "software", "until", "every")  # or a reading cannot go on

Status = Literal["uninfected", "parasitized", "rejected", "not-judged"]
Answer = Literal["parasite", "none", "cannot-tell"]


@dataclass(frozen=True)
class AppliedTest:
    """One test of the decision, as it was when the slide was read.

    Attributes:
        name: of its value.
        reason: code of the reason why a cell that fails is rejected.
        sentence: the same as a person reads it.
        whole: whether a cell that fails may still be one whole cell.
        side: where values are accepted, seen from the limit.
        limit: where it drew its line.
    """

    name: str
    reason: str
    sentence: str
    whole: bool
    side: table.Side
    limit: float

    def fails(self, value: float) -> bool:
        """Whether a cell with this value is rejected; one that is no number is."""
        return not (value >= self.limit if self.side == "at least" else value <= self.limit)


def applied_tests(detector: Detector) -> tuple[AppliedTest, ...]:
    """The table of tests with a detector's limits, gravest first."""
    return tuple(
        AppliedTest(
            name=test.name,
            reason=test.reason.code,
            sentence=test.reason.sentence,
            whole=test.reason.whole,
            side=test.side,
            limit=detector.limits[test.name],
        )
        for test in table.TESTS
    )


@dataclass(frozen=True)
class AppliedGate:
    """One gate of a frame, as it was when the slide was read.

    Attributes:
        name: of its value.
        reason: code of the reason why a frame that fails is not counted.
        sentence: the same as a person reads it.
        advice: what to do about it.
        side: where frames pass, seen from the limit.
        limit: where it drew its line.
    """

    name: str
    reason: str
    sentence: str
    advice: str
    side: table.Side
    limit: float


def applied_gates(limits: Mapping[str, float]) -> tuple[AppliedGate, ...]:
    """The table of gates with a bundle's limits, gravest first."""
    return tuple(
        AppliedGate(gate.name, gate.reason, gate.sentence, gate.advice, gate.side, limits[gate.name])
        for gate in GATES
    )


@dataclass(frozen=True)
class SlideHeader:
    """What holds for the whole slide.

    Attributes:
        slide: the slide's code (no patient's name).
        source: where the frames came from.
        bundle: title of the bundle that decided.
        bundle_digest: its sha256.
        tests: what cells were held against, gravest first.
        gates: what frames were held against, gravest first.
        classes: names of the classes.
        parasitized: which of them count as parasitized.
        usual: share of cells that is rejected on an ordinary slide (see `group.judge_group`).
        correlation: of rejection among the cells of an ordinary slide.
        provider: execution provider that was really used.
        software: cellgate's version.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601; None while reading, and for ever if it was cut off.
        repeats: looks at a video or a live source that showed once more what was read already.
        sensitivity: of the bundle, per cell that is accepted or suspect; unknown in older records.
        false_positives: likewise.
        findable: share of the parasitized cells that a review meets: called so, or suspect; unknown likewise.
        until: name of the preset that says how much is to be read (see `statistics.stopping.PRESETS`).
        every: seconds between two looks at a video or a live source; 0 in older records.
        operator: who reads the slide; empty where nobody said so.
        device: see `host.device_id`; empty in older records.
        libraries: see `host.libraries`; empty in older records.
    """

    slide: str
    source: str
    bundle: str
    bundle_digest: str
    tests: tuple[AppliedTest, ...]
    gates: tuple[AppliedGate, ...]
    classes: tuple[str, ...]
    parasitized: tuple[str, ...]
    usual: float
    correlation: float
    provider: str
    software: str
    started: str
    finished: str | None = None
    repeats: int = 0
    sensitivity: MeasuredRate = UNKNOWN
    false_positives: MeasuredRate = UNKNOWN
    findable: MeasuredRate = UNKNOWN
    until: str = DEFAULT
    every: float = 0.0
    operator: str = ""
    device: str = ""
    libraries: str = ""

    def differs_from(self, other: "SlideHeader") -> str:
        """Why a reading with another header cannot go on with this one's record; empty if it can."""
        for name in _SAME:
            before, now = getattr(self, name), getattr(other, name)
            if before != now:
                return f"{name.replace('_', ' ')} {before}, which this one, {now}"
        return ""

    @property
    def sentences(self) -> dict[str, str]:
        """What every reason for rejection means to a person, by its code; gravest first."""
        return {test.reason: test.sentence for test in self.tests}

    @property
    def stops(self) -> dict[str, AppliedGate]:
        """The gate behind every reason for which a frame is not counted, by its code; gravest first."""
        return {gate.reason: gate for gate in self.gates}


@dataclass(frozen=True)
class CellReading:
    """What was found at one place of a field.

    Attributes:
        box: (x, y, width, height) in pixels of the frame.
        status: the answer; "not-judged" cells were seen but not classified.
        reason: the gravest reason why a cell was rejected, or why it was not judged; else empty.
        label: the classifier's class even where it was rejected; empty if not judged.
        probability: of `label`, 0 to 1; nan if not judged.
        values: what each test looked at, by name; empty if not judged.
        confidences: M_l per layer; empty if not judged.
        crop: PNG of the masked crop; empty if not judged.
    """

    box: Box
    status: Status
    reason: str
    label: str
    probability: float
    values: Mapping[str, float]
    confidences: tuple[float, ...]
    crop: bytes

    @property
    def asked(self) -> bool:
        """Whether it was asked for a parasite: accepted, or suspect."""
        return self.status in {"uninfected", "parasitized"} or self.suspect

    @property
    def suspect(self) -> bool:
        """Whether it was rejected for being perhaps a parasite, and for nothing graver."""
        return self.status == "rejected" and self.reason == table.SUSPECT.code

    def failed(self, tests: Sequence[AppliedTest]) -> list[AppliedTest]:
        """Which tests this cell fails, gravest first; none if it was not judged."""
        return [test for test in tests if test.name in self.values and test.fails(self.values[test.name])]


@dataclass(frozen=True)
class Call:
    """What a person says of a cell. It stands beside what the model says, never over it.

    Attributes:
        field: number of the cell's field.
        cell: its own number in that field, from 1.
        answer: whether it holds a parasite; "cannot-tell" leaves the cell rejected.
        remark: species, stage or anything else; empty if nothing.
        reviewer: who says so.
        at: when, UTC, ISO 8601.
    """

    field: int
    cell: int
    answer: Answer
    remark: str
    reviewer: str
    at: str


@dataclass(frozen=True)
class FieldReading:
    """One frame, whose cells count if it passed every gate.

    Attributes:
        number: from 1, in the order of reading; frames that were not counted have one, too.
        name: of the frame in its source.
        width: of the frame in pixels.
        height: of the frame in pixels.
        overview: JPEG of the frame, possibly reduced.
        read_at: UTC, ISO 8601.
        reason: the gravest reason why the frame is not counted; empty if it is.
        values: what each gate looked at, by name.
        cells: what was found; none if the frame is not counted.
        moment: seconds from the start of a video or a live source, by the frame's own time; None for images.
    """

    number: int
    name: str
    width: int
    height: int
    overview: bytes
    read_at: str
    reason: str
    values: Mapping[str, float]
    cells: tuple[CellReading, ...]
    moment: float | None = None


@dataclass(frozen=True)
class FieldCounts:
    """Cells of one field that were asked for a parasite.

    Attributes:
        parasitized: accepted and called parasitized.
        asked: accepted, or rejected for being perhaps a parasite.
    """

    parasitized: int
    asked: int


@dataclass(frozen=True)
class Counts:
    """Cells of a slide by answer.

    Attributes:
        uninfected: accepted and of a class that does not count as parasitized.
        parasitized: accepted and of a class that does.
        rejected: classified, but not to be relied on.
        not_judged: clumped, cut by the edge, counted before, or dirt.
        fields: fields whose cells count.
        stopped: frames that were read, but whose cells do not count.
        skipped: frames that could not be read, or show what was read already.
        stops: of the stopped, how many for which reason (the gravest one of each); every reason that there
            is, gravest first.
        reasons: of the rejected, how many for which reason (the gravest one of each); every reason that there
            is, gravest first, also where no cell has it.
        broken: of the rejected, those that are no whole cell: segmentation errors.
        classes: of the accepted, how many of which class; every class, in the bundle's order.
    """

    uninfected: int
    parasitized: int
    rejected: int
    not_judged: int
    fields: int
    skipped: int
    stopped: int = 0
    stops: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    broken: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Cells that were classified, accepted or not."""
        return self.uninfected + self.parasitized + self.rejected

    @property
    def accepted(self) -> int:
        """Cells that got an answer."""
        return self.uninfected + self.parasitized

    @property
    def suspect(self) -> int:
        """Cells that were rejected for being perhaps a parasite, and for nothing graver."""
        return self.reasons.get(table.SUSPECT.code, 0)

    @property
    def asked(self) -> int:
        """Red cells that were asked for a parasite: accepted, or suspect."""
        return self.accepted + self.suspect

    @property
    def whole(self) -> int:
        """Whole cells that were classified: crowded fields have more of the others, and are not unusual."""
        return self.judged - self.broken

    @property
    def whole_rejected(self) -> int:
        """Whole cells that were rejected."""
        return self.rejected - self.broken


def by_class(header: SlideHeader, counts: Counts, status: Status) -> list[tuple[int, str]]:
    """The accepted cells of an answer by class, for people: empty where its one class is called as it is."""
    infected = status == "parasitized"
    names = [name for name in header.classes if (name in header.parasitized) == infected]
    return [] if names == [status] else [(counts.classes[name], name) for name in names]
