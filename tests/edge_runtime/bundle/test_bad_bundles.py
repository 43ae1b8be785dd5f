"""What a technician sees when a bundle or a provider is bad: one line with what to do, exit code 1.

The same from every command that opens a bundle.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest
from click.testing import Result

Refusal = Callable[..., str]
Run = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]


def commands_on(bundle: Path, slide_folder: Path, out: Path) -> list[list[object]]:
    """Every command that opens a bundle."""
    return [
        ["score", slide_folder, "--bundle", bundle],
        ["read", slide_folder, "--bundle", bundle, "--slide", "S", "--out", out],
        ["verify", bundle],
        ["inspect", bundle],
    ]


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "reference.npz", "MODEL_CARD.md"])
def test_a_missing_bundle_file(
    tmp_path: Path, edited_bundle: Callable[..., Path], refusal: Refusal, slide_folder: Path, name: str
) -> None:
    bundle = edited_bundle()
    (bundle / name).unlink()
    for command in commands_on(bundle, slide_folder, tmp_path / "out"):
        assert refusal(*command) == f"{bundle / name}: missing from the bundle; copy the bundle again"
    assert not (tmp_path / "out").exists()


def test_one_changed_byte_in_the_model(
    tmp_path: Path, tiny_bundle: Path, refusal: Refusal, refusal_of_process: Refusal, slide_folder: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)
    expected = f"{bundle / 'model.onnx'}: altered since the bundle was sealed; copy the bundle again"
    for command in commands_on(bundle, slide_folder, tmp_path / "out"):
        assert refusal(*command) == expected
    assert refusal_of_process("verify", bundle) == expected


def test_a_manifest_with_an_unknown_key(
    tmp_path: Path, edited_bundle: Callable[..., Path], refusal: Refusal, slide_folder: Path
) -> None:
    bundle = edited_bundle(lambda manifest: manifest["detector"].update(temperature=2.0))
    for command in commands_on(bundle, slide_folder, tmp_path / "out"):
        assert refusal(*command) == (
            f"{bundle}: manifest.json, detector: unknown key 'temperature'; "
            "the bundle was made by another cellgate, export it again"
        )


def test_a_manifest_of_another_schema(
    tmp_path: Path, edited_bundle: Callable[..., Path], refusal: Refusal, slide_folder: Path
) -> None:
    bundle = edited_bundle(lambda manifest: manifest.update(schema=13))
    for command in commands_on(bundle, slide_folder, tmp_path / "out"):
        assert refusal(*command) == (
            f"{bundle}: manifest.json: schema 13, but this cellgate reads schema 12; "
            "export the bundle again, or install the cellgate that it was made for"
        )


def test_a_bundle_that_is_not_there(tmp_path: Path, refusal: Refusal, slide_folder: Path) -> None:
    for command in commands_on(tmp_path / "gone", slide_folder, tmp_path / "out"):
        assert refusal(*command).startswith(f"{tmp_path / 'gone'}: no such folder; check the path")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime has CUDA"
)
def test_a_provider_that_is_not_there(
    tmp_path: Path, refusal: Refusal, refusal_of_process: Refusal, tiny_bundle: Path, slide_folder: Path
) -> None:
    for command in commands_on(tiny_bundle, slide_folder, tmp_path / "out")[:3]:
        message = refusal(*command, "--provider", "cuda")
        assert message.startswith("provider cuda: not in this onnxruntime (")
        assert message.endswith("; use --provider cpu, or install onnxruntime-gpu in place of onnxruntime")
    assert refusal_of_process("verify", tiny_bundle, "--provider", "cuda").startswith("provider cuda: ")
