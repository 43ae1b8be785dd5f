"""cellgate's field runtime: finds, classifies and, where it does not know, rejects blood cells.

What stands in `__all__` is public. It is imported from here and loaded where it is first used, so that
`import edge_runtime` alone costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.bundle.classifier import Classifier
    from edge_runtime.bundle.files import Bundle, default_bundle, open_bundle
    from edge_runtime.bundle.manifest import Manifest
    from edge_runtime.bundle.scoring import CellScore, score_images
    from edge_runtime.bundle.verification import replay
    from edge_runtime.cells.cutting import cut_cells
    from edge_runtime.cells.segmentation import segment
    from edge_runtime.decision.decide import Decisions, decide
    from edge_runtime.decision.detector import Detector
    from edge_runtime.decision.evidence import Evidence
    from edge_runtime.device.doctor import examine
    from edge_runtime.device.labels import named_cells
    from edge_runtime.device.recalibration import recalibrate_bundle
    from edge_runtime.device.site import site_cells
    from edge_runtime.errors import (
        BundleError,
        CellgateError,
        CheckFailedError,
        ImageError,
        ProviderError,
        SourceError,
        StorageError,
    )
    from edge_runtime.exchange.exporting import export_slide
    from edge_runtime.record.readings import CellReading, Counts, FieldReading
    from edge_runtime.record.slide_record import SlideRecord
    from edge_runtime.report.page import write_report
    from edge_runtime.report.summary import SlideSummary
    from edge_runtime.simulator import simulate_field
    from edge_runtime.slide.judging import JudgedFrame, read_field
    from edge_runtime.slide.reading import read_slide
    from edge_runtime.sources.items import SkippedFrame, SourceNote

from edge_runtime.version import __version__ as __version__

__all__ = [
    "Bundle",
    "BundleError",
    "CellReading",
    "CellScore",
    "CellgateError",
    "CheckFailedError",
    "Classifier",
    "Counts",
    "Decisions",
    "Detector",
    "Evidence",
    "FieldReading",
    "ImageError",
    "JudgedFrame",
    "Manifest",
    "ProviderError",
    "SkippedFrame",
    "SlideRecord",
    "SlideSummary",
    "SourceError",
    "SourceNote",
    "StorageError",
    "cut_cells",
    "decide",
    "default_bundle",
    "examine",
    "export_slide",
    "named_cells",
    "open_bundle",
    "read_field",
    "read_slide",
    "recalibrate_bundle",
    "replay",
    "score_images",
    "segment",
    "simulate_field",
    "site_cells",
    "write_report",
]

_MODULES = {
    "Bundle": "bundle.files",
    "BundleError": "errors",
    "CellReading": "record.readings",
    "CellScore": "bundle.scoring",
    "CellgateError": "errors",
    "CheckFailedError": "errors",
    "Classifier": "bundle.classifier",
    "Counts": "record.readings",
    "Decisions": "decision.decide",
    "Detector": "decision.detector",
    "Evidence": "decision.evidence",
    "FieldReading": "record.readings",
    "ImageError": "errors",
    "JudgedFrame": "slide.judging",
    "Manifest": "bundle.manifest",
    "ProviderError": "errors",
    "SkippedFrame": "sources.items",
    "SlideRecord": "record.slide_record",
    "SlideSummary": "report.summary",
    "SourceError": "errors",
    "SourceNote": "sources.items",
    "StorageError": "errors",
    "cut_cells": "cells.cutting",
    "decide": "decision.decide",
    "default_bundle": "bundle.files",
    "examine": "device.doctor",
    "export_slide": "exchange.exporting",
    "named_cells": "device.labels",
    "open_bundle": "bundle.files",
    "read_field": "slide.judging",
    "read_slide": "slide.reading",
    "recalibrate_bundle": "device.recalibration",
    "replay": "bundle.verification",
    "score_images": "bundle.scoring",
    "segment": "cells.segmentation",
    "simulate_field": "simulator",
    "site_cells": "device.site",
    "write_report": "report.page",
}

if not TYPE_CHECKING:  # or a type checker would believe that every name is here

    def __getattr__(name: str) -> object:
        """Load a public name from its module."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
