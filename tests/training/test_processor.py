"""What is said before training in a precision that the processor only imitates."""

from pathlib import Path

import pytest
import torch

from training import processor


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags\t: fpu sse2 avx2 avx512f avx512bw", False),
        ("flags\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("Features\t: fp asimd i8mm", False),
    ],
)
def test_bfloat16_is_known_by_the_processors_flags(
    flags: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\nbugs\t: spectre\n")
    monkeypatch.setattr(processor, "_CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert processor.has_bfloat16() is has


def test_where_nothing_is_known_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_CPU", tmp_path / "none")
    assert processor.has_bfloat16()
