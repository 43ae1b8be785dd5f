"""What the processor that trains can do by itself."""

import re
from pathlib import Path

import torch

_CPU = Path("/proc/cpuinfo")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names it on x86 and on ARM


def has_bfloat16() -> bool:
    """Whether training in bfloat16 is fast here; true also where that cannot be known."""
    if torch.cuda.is_available() or not _CPU.is_file():
        return True
    return not _BFLOAT16.isdisjoint(re.findall(r"\w+", _CPU.read_text(encoding="ascii", errors="replace")))
