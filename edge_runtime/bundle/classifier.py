"""A bundle in use: crops in, decisions out, on the execution provider that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_runtime.bundle.files import MODEL, Bundle, open_bundle
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.cells.preprocessing import resize_crop, to_input
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.evidence import OUTPUTS, Evidence
from edge_runtime.errors import BundleError, ProviderError

Provider = Literal["cpu", "cuda"]

_PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# The graph's gradient, and the input that says of what: of each cell the weights of its logits and distances.
ASKED, GRADIENT = "asked", "gradient.asked"

# Cells per run of the graph: large enough to keep the cores busy, small enough for a device's memory.
BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """An opened bundle with its session.

    Attributes:
        bundle: what decides.
        session: of onnxruntime.
        provider: the execution provider the session really uses.
    """

    bundle: Bundle
    session: ort.InferenceSession
    provider: str

    @classmethod
    def open(
        cls, path: str | Path | Bundle, *, provider: Provider = "cpu", threads: int | None = None
    ) -> "Classifier":
        """Open a bundle for classification.

        Args:
            path: the bundle's folder, or a bundle that is open already.
            provider: where to compute.
            threads: CPU threads; None lets onnxruntime use all cores.

        Raises:
            BundleError: the bundle cannot be trusted or used.
            ProviderError: the provider is not to be had.
        """
        bundle = path if isinstance(path, Bundle) else open_bundle(path)
        session = start_session(bundle.contents[MODEL], provider, threads)
        _check_graph(session, bundle)
        return cls(bundle, session, session.get_providers()[0])

    def decide(self, crops: Sequence[NDArray[np.uint8]]) -> Decisions:
        """Decide for crops of any size.

        Args:
            crops: uint8 [h, w, 3] RGB each, black outside the cell.

        Raises:
            ImageError: a crop that holds no cell.
        """
        size = self.bundle.manifest.input.size
        return self.decide_resized([resize_crop(crop, size) for crop in crops])

    def decide_resized(
        self,
        resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        relative_size: NDArray[np.float64] | None = None,
    ) -> Decisions:
        """Decide for crops that `preprocessing.resize_crop` has made.

        Args:
            resized: uint8 [N, size, size, 3] RGB.
            relative_size: see `Evidence`; None where no frame is known.
        """
        return decide(self.bundle.manifest.detector, self.evidence(resized, relative_size))

    def evidence(
        self,
        resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        relative_size: NDArray[np.float64] | None = None,
    ) -> Evidence:
        """What speaks for and against resized crops; the arguments are those of `decide_resized`."""
        starts = range(0, len(resized), BATCH)
        runs = [self.run(to_input(resized[start : start + BATCH]), OUTPUTS) for start in starts]
        outputs = {
            name: np.concatenate([np.zeros((0, width), np.float32), *(run[name] for run in runs)])
            for name, width in _columns(self.bundle.manifest).items()
        }
        return Evidence.of(outputs, resized, relative_size=relative_size)

    def run(
        self,
        images: NDArray[np.float32],
        outputs: Sequence[str],
        *,
        asked: NDArray[np.float32] | None = None,
        epsilon: float | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Run the graph.

        Args:
            images: float32 [N, 3, size, size] RGB in [0, 1].
            outputs: names of the outputs wanted.
            asked: float32 [N, K + L], what the output GRADIENT is the gradient of: of each cell the weights
                of its K logits and of its L layers' distances to the nearest class. None asks for no
                gradient, which then has no cells, and costs nothing.
            epsilon: magnitude of the perturbation; the manifest's if None.
        """
        columns = len(self.bundle.manifest.classes) + len(self.bundle.manifest.detector.layers)
        nothing = np.zeros((0, columns), np.float32)
        feed: dict[str, NDArray[np.float32]] = {"image": images, ASKED: nothing if asked is None else asked}
        if self.bundle.manifest.perturbation != "none":
            value = self.bundle.manifest.detector.epsilon if epsilon is None else epsilon
            feed["epsilon"] = np.array(value, np.float32)
        try:
            values = self.session.run(list(outputs), feed)
        except Exception as error:  # as below; most likely the memory did not suffice
            raise ProviderError(
                f"{self.provider} could not run the graph on {len(images)} cells ({_first_line(error)}); "
                "close other programs, or use another --provider"
            ) from error
        return dict(zip(outputs, values, strict=True))


def start_session(model: bytes, provider: Provider, threads: int | None) -> ort.InferenceSession:
    """Start a session on exactly this provider; onnxruntime alone would fall back to the CPU silently.

    Raises:
        ProviderError: the provider is not installed or did not start.
        BundleError: the graph cannot be loaded.
    """
    wanted = _PROVIDERS[provider]
    available = ort.get_available_providers()
    if wanted not in available:
        raise ProviderError(
            f"provider {provider}: not in this onnxruntime ({', '.join(available)}); "
            "use --provider cpu, or install onnxruntime-gpu in place of onnxruntime"
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(model, options, providers=[wanted])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise BundleError(
            f"{MODEL}: onnxruntime {ort.__version__} cannot load it ({_first_line(error)})"
        ) from error
    if session.get_providers()[0] != wanted:
        raise ProviderError(
            f"provider {provider}: did not start; see 'cellgate doctor', or use --provider cpu"
        )
    return session


def _check_graph(session: ort.InferenceSession, bundle: Bundle) -> None:
    """Refuse a graph that is not the one its manifest describes."""
    manifest = bundle.manifest
    side = manifest.input.size
    columns = len(manifest.classes) + len(manifest.detector.layers)
    expected: dict[str, list[int]] = {"image": [3, side, side], ASKED: [columns], GRADIENT: [3, side, side]}
    expected |= {name: [columns] for name, columns in _columns(manifest).items()}
    if manifest.perturbation != "none":
        expected["epsilon"] = []
    found = {value.name: list(value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())}
    wrong = {name for name, shape in expected.items() if found.get(name) != shape}
    wrong |= set(manifest.outputs) - set(found)
    wrong |= {value.name for value in session.get_inputs()} - set(expected)
    if wrong:
        raise BundleError(
            f"{bundle.path / MODEL}: {', '.join(sorted(wrong))} not as the manifest says; export it again"
        )


def _columns(manifest: Manifest) -> dict[str, int]:
    """Columns of the outputs that decide: confidences have one per layer, logits one per class."""
    return {
        name: len(manifest.detector.layers if name == "confidences" else manifest.classes) for name in OUTPUTS
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
